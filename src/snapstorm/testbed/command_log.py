"""The target's commands: kept for evidence while their operation is judged, and recorded in the ledger for replay."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext

from snapstorm.ledger.ledger import CommandRow
from snapstorm.runtime.meter import Work
from snapstorm.runtime.process import CompletedCommand, on_behalf_of
from snapstorm.testbed.context import RunContext

BUFFERED_MAX = 64
WATCHED_SECONDS = 1.0
"""While somebody watches, commands are written after this time even if they are few."""


class CommandLog:
    """The commands of one run, as its `ProcessRunner` reports them. Those before `begin` belong to no run and are
    dropped."""

    def __init__(self) -> None:
        self.leaving: list[CompletedCommand] = []
        """Commands that have left temporary files, and are not judged yet."""
        self._run: RunContext | None = None
        self.by_operation: dict[str, list[CompletedCommand]] = {}
        """Evidence, until their operation is judged."""
        self._unwritten: list[CommandRow] = []
        self._is_watched = False
        self._written_seconds = 0.0

    def begin(self, run: RunContext, *, is_watched: bool) -> None:
        """From now on commands belong to this run."""
        self._run, self._is_watched = run, is_watched

    def around_command(self) -> AbstractContextManager[None]:
        """The block in which a command runs: the target is at work."""
        return nullcontext() if self._run is None else self._run.meter.busy[Work.TARGET]

    def __call__(self, command: CompletedCommand) -> None:
        """Take a command that has ended."""
        run, operation = self._run, on_behalf_of.get()
        if run is None:
            return
        if operation is not None:
            self.by_operation.setdefault(operation, []).append(command)
        if command.left_files:
            self.leaving.append(command)
        self._unwritten.append(
            CommandRow(
                run=run.number,
                operation=operation,
                argv=json.dumps(command.argv),
                began_seconds=command.began_seconds - run.began_seconds,
                seconds=command.seconds,
                exit_code=command.exit_code,
                timed_out=command.timed_out,
                directory=None if command.cwd is None else str(command.cwd),
            )
        )
        is_waited_for = self._is_watched and run.now_seconds() - self._written_seconds > WATCHED_SECONDS
        if is_waited_for or len(self._unwritten) >= BUFFERED_MAX:
            self.write()

    def write(self) -> None:
        """Write the commands to the ledger that are not there yet. Together, because a commit for each would cost more
        than it is worth: they are for replay and benchmarks, no verdict rests on them."""
        rows, self._unwritten = self._unwritten, []
        if self._run is not None and rows:
            self._written_seconds = self._run.now_seconds()
            self._run.ledger.add_commands(rows)
