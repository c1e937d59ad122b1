"""Processes: a child never outlives its block.

One `ProcessRunner` per run starts every child, each as the leader of its own process group. However the block is left
(the command ended, it timed out, the task was cancelled, an error), the whole group is ended: TERM, a grace period,
KILL, and a bounded wait. If snapstorm itself is killed, no block is left at all. For this case the runner has one
watchdog process for all its children (see `watchdog`), so that starting a command costs nothing extra. A process that
leaves its group is found by its owner's mark or, if this process is snapstorm's own, because it was adopted (see
`adoption`).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self, TypeAlias

import anyio
import anyio.to_thread

from snapstorm.errors import HarnessError
from snapstorm.runtime import adoption, watchdog
from snapstorm.runtime.adoption import Adopted
from snapstorm.runtime.child import KILL_SECONDS_MAX, Child, Environment
from snapstorm.runtime.lifeline import Lifeline
from snapstorm.runtime.output import BoundedOutput
from snapstorm.runtime.polling import until

# A listing of many thousand snapshots as JSON is tens of megabytes, and useless if truncated.
_STDOUT_HEAD_BYTES_MAX = 256 << 20
_STDERR_HEAD_BYTES_MAX = 256 << 10

_DRAIN_SECONDS_MAX = 1.0
"""How long to read on after a command has ended: a grandchild that left the group may keep the pipe open."""
_POLL_SECONDS = 0.01


on_behalf_of: ContextVar[str | None] = ContextVar("snapstorm_on_behalf_of", default=None)
"""The operation on whose behalf this task runs commands."""


@dataclass(frozen=True)
class CompletedCommand:
    """A command that was started and has ended, by itself or because we ended it."""

    argv: tuple[str, ...]
    """Never contains a secret. Path bytes that are not UTF-8 are surrogates (`os.fsencode` restores them)."""
    env: Mapping[str, str]
    """The variables that it was given, without secret ones, inherited ones, and the owner's mark."""
    exit_code: int
    """The exit status, or the negative number of the signal that ended it."""
    stdout: bytes
    stderr: bytes
    """What it wrote. The middle of a huge output is left out, and replaced by a line that says so. Empty for a
    long-lived process, which writes to its log."""
    began_seconds: float
    """When it was started, by `time.monotonic()`."""
    seconds: float
    """How long it ran, until its whole group was gone."""
    timed_out: bool = False
    """Whether we ended it because it timed out."""
    cwd: Path | None = None
    """The directory in which it ran; None for snapstorm's own."""
    left_files: Sequence[str] = ()
    """What it left in its temporary directory although it ended by itself. It has been removed since."""


class TemporaryPlaces(Protocol):
    """Provides a temporary directory for each command."""

    def make(self) -> Path:
        """A new directory. Raises HarnessError."""
        ...

    async def clear(self, place: Path) -> Sequence[str]:
        """Remove the directory, and return the names of what was left in it."""
        ...


Listener: TypeAlias = Callable[[CompletedCommand], None]


def _ignore(command: CompletedCommand) -> None:
    """A listener that does nothing."""


class ProcessRunner:
    """Starts all child processes of one run on one testbed, and ensures that none is left behind.

    Use it as an async context manager. `on_command` is called for every command that has ended, including long-lived
    and cancelled ones, in the order in which they ended. Each command that is not long-lived runs inside an
    `around_command()`. Processes of the target get a temporary directory of their own, if there are `temporaries`.
    """

    def __init__(
        self,
        testbed: str,
        *,
        grace_seconds: float = 2.0,
        on_command: Listener = _ignore,
        around_command: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
        temporaries: TemporaryPlaces | None = None,
    ) -> None:
        self.owner = f"{testbed}/{secrets.token_hex(8)}"
        """Marks our processes, in their environment: the testbed's id and a token of this runner."""
        self._grace_seconds = grace_seconds
        self._on_command = on_command
        self._around_command = around_command
        self._temporaries = temporaries
        self._lifeline: Lifeline | None = None
        self._children: set[Child] = set()
        self._has_ended_by_signal = False

    async def __aenter__(self) -> Self:
        self._lifeline = Lifeline(self.owner)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as endings:
                for child in tuple(self._children):
                    endings.start_soon(self._end, child)
            # What left its group (`setsid`) is found by its mark. Not in a thread: nothing may start meanwhile.
            watchdog.end_owned_processes(self.owner, seconds_max=KILL_SECONDS_MAX)
            adoption.end_adopted(self._groups, seconds_max=KILL_SECONDS_MAX)
            if self._lifeline is not None:
                await self._lifeline.close()
                self._lifeline = None

    async def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Environment | Mapping[str, str],
        seconds_max: float,
        cwd: Path | None = None,
        stdin: int = subprocess.DEVNULL,
        secret_words: Collection[str] = (),
        is_of_target: bool = True,
    ) -> CompletedCommand:
        """Run a command until it ends, whatever its exit status. It and its group have ended when this returns.

        `env` is its whole environment. Of the arguments listed in `secret_words`, only the option's name is recorded.
        `stdin` is an open descriptor. With `is_of_target` false it does work of snapstorm's own, and listeners are not
        called. Raises HarnessError if it can't be started.
        """
        environment = env if isinstance(env, Environment) else Environment(env)
        outputs = BoundedOutput(_STDOUT_HEAD_BYTES_MAX), BoundedOutput(_STDERR_HEAD_BYTES_MAX)
        child = self._start(argv, environment, (stdin, subprocess.PIPE), cwd=cwd, has_temporary=is_of_target)
        child.operation = on_behalf_of.get()
        child.words = tuple(f"{word.partition('=')[0]}=..." if word in secret_words else word for word in child.words)
        try:
            with self._around_command() if is_of_target else contextlib.nullcontext():
                await self._attend(child, outputs, seconds_max)
        finally:
            child.close_pipes()
            completed = await self._completed(child, *(output.value(environment.hidden) for output in outputs))
            if is_of_target:
                self._on_command(completed)
        return completed

    @asynccontextmanager
    async def start(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Environment | Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
        is_of_target: bool = True,
    ) -> AsyncIterator[RunningProcess]:
        """A process that lives at most as long as the block. It appends its output to the file `log`.

        It writes there directly, not through us, so it never waits for a busy event loop. `is_of_target`: see `run`.
        """
        environment = env if isinstance(env, Environment) else Environment(env)
        with _append_to(log) as file:
            log_offset = file.tell()
            child = self._start(argv, environment, (subprocess.DEVNULL, file), cwd=cwd, has_temporary=is_of_target)
        try:
            yield RunningProcess(child, log, log_offset)
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(child)
            completed = await self._completed(child, b"", b"")
            if is_of_target:
                self._on_command(completed)

    def _start(
        self,
        argv: Sequence[str | os.PathLike[str]],
        env: Environment,
        streams: tuple[int | IO[bytes], int | IO[bytes]],
        *,
        cwd: Path | None,
        has_temporary: bool,
    ) -> Child:
        """Start a child, and tell the watchdog of it before anything else is done."""
        if self._lifeline is None:
            raise HarnessError("a process can be started only inside its runner's block")
        temporary = self._temporaries.make() if has_temporary and self._temporaries is not None else None
        more_variables = {watchdog.OWNER_VARIABLE: self.owner}
        if temporary is not None:
            more_variables["TMPDIR"] = str(temporary)
        words = [os.fspath(word) for word in argv]
        child = Child(words, env, streams, cwd=cwd, more_variables=more_variables, temporary=temporary)
        self._children.add(child)
        try:
            self._lifeline.announce(child.pid)
        except HarnessError:
            child.signal(signal.SIGKILL)
            child.close_pipes()
            raise
        return child

    async def _attend(self, child: Child, outputs: tuple[BoundedOutput, BoundedOutput], seconds_max: float) -> None:
        """Read the child's output until it has ended; end it when it times out or this task is cancelled."""
        async with anyio.create_task_group() as readers:
            for stream, output in zip((child.popen.stdout, child.popen.stderr), outputs, strict=True):
                assert stream is not None
                readers.start_soon(output.read_from, stream.fileno())
            try:
                with anyio.move_on_after(seconds_max) as limit:
                    await child.exited()
                child.timed_out = limit.cancelled_caught
            finally:
                with anyio.CancelScope(shield=True):
                    await self._end(child)
            readers.cancel_scope.deadline = anyio.current_time() + _DRAIN_SECONDS_MAX

    async def _end(self, child: Child) -> None:
        """End the child's group, if it has not ended, and forget it."""
        if child in self._children:
            await child.end(self._grace_seconds)
            self._has_ended_by_signal |= child.is_ended_by_signal
            self._children.discard(child)
            if self._lifeline is not None:
                self._lifeline.forget(child.pid)

    async def _completed(self, child: Child, stdout: bytes, stderr: bytes) -> CompletedCommand:
        """What became of a child that was ended; removes its temporary directory.

        Raises HarnessError if it hangs in the kernel, where no signal ends it.
        """
        left_files: Sequence[str] = ()
        if self._temporaries is not None and child.temporary is not None:
            with anyio.CancelScope(shield=True):
                left_files = await self._temporaries.clear(child.temporary)
        if child.popen.returncode is None or child.ended_seconds is None:
            raise HarnessError(f"process {child.pid} ({child.words[0]}) does not end, not even when killed")
        return CompletedCommand(
            argv=child.words,
            env=child.env,
            exit_code=child.popen.returncode,
            stdout=stdout,
            stderr=stderr,
            began_seconds=child.began_seconds,
            seconds=child.ended_seconds - child.began_seconds,
            timed_out=child.timed_out,
            cwd=child.cwd,
            left_files=() if child.is_ended_by_signal else left_files,  # Such a child could not clean up.
        )

    def signal_children_of(self, operation: str, number: int) -> int:
        """Send a signal to the process groups that run on behalf of an operation. Returns how many got it."""
        found = [child for child in self._children if child.operation == operation and child.exit_code is None]
        return sum(child.signal(number) for child in found)

    def watch_group(self, group: int) -> None:
        """Have the watchdog kill a process group that one of our processes has made, as it kills those of commands."""
        if self._lifeline is not None:
            self._lifeline.announce(group)

    def forget_group(self, group: int) -> None:
        """Such a group has ended, or will by itself. Does nothing for one that is not watched."""
        if self._lifeline is not None:
            self._lifeline.forget(group)

    def _groups(self) -> set[int]:
        """The process groups that belong to this runner and still run."""
        watching = set() if self._lifeline is None else {self._lifeline.watchdog_pid}
        return {child.pid for child in self._children} | watching

    def strays(self) -> list[Adopted]:
        """Processes that have left their groups and whose parents have ended, including those without any mark. Found
        only where orphans are adopted (see `adoption`). Reaps those that have ended."""
        return adoption.adopted(self._groups())

    async def end_strays(self, spared: Collection[Adopted]) -> list[Adopted]:
        """End the strays that have not ended within a grace period, except for the spared ones. Returns them, unless a
        command was ended by a signal: it could not end its own children, so they may be its."""
        with anyio.move_on_after(self._grace_seconds):
            await until(lambda: not set(self.strays()) - set(spared))
        ended = adoption.end_adopted(self._groups, seconds_max=KILL_SECONDS_MAX, spared=spared)
        return [] if self._has_ended_by_signal else ended


@dataclass(frozen=True)
class RunningProcess:
    """A long-lived process inside its block, and what it writes."""

    child: Child
    log: Path
    _log_offset: int
    """The offset in the log at which this process began to write."""

    def log_tail(self, bytes_max: int = 4096) -> str:
        """The end of what this process has written to its log."""
        return self._written()[-bytes_max:].decode("utf-8", "replace")

    async def line_matching(self, pattern: re.Pattern[str], *, seconds_max: float) -> re.Match[str] | None:
        """The first match in a whole line that it has written or will write; None if it ends or time runs out."""
        with anyio.move_on_after(seconds_max):
            while True:
                has_exited = self.child.exit_code is not None  # Checked first, so that its last output is read.
                whole_lines = self._written().rpartition(b"\n")[0].decode("utf-8", "replace")
                if match := pattern.search(whole_lines):
                    return match
                if has_exited:
                    return None
                await anyio.sleep(_POLL_SECONDS)
        return None

    def _written(self) -> bytes:
        try:
            with self.log.open("rb") as file:
                file.seek(self._log_offset)
                return file.read()
        except FileNotFoundError:
            return b""  # Whoever deleted the log wants no lines.


async def end_processes_of(testbed: str) -> int:
    """End the processes that an earlier run on this testbed left behind, as its watchdog would have. Returns how many.

    For opening a testbed again, before a runner exists: the watchdog may have been killed with its run.
    """
    return await anyio.to_thread.run_sync(watchdog.end_owned_processes, testbed)


def _append_to(log: Path) -> IO[bytes]:
    """The log, opened for appending and readable only by its owner, because a target may print private data."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")
    file.seek(0, os.SEEK_END)
    return file
