"""One child process: the leader of a process group of its own, which is ended as a whole."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import anyio

from snapstorm.errors import HarnessError
from snapstorm.runtime.polling import until
from snapstorm.runtime.redaction import secrets_among

KILL_SECONDS_MAX = 10.0
"""How long a killed process may take to end; only one that hangs in the kernel takes longer."""
_POLL_SECONDS = 0.01
_HARMLESS_SIGNALS = (0, signal.SIGSTOP, signal.SIGCONT)
"""Signals after which a process continues, or will."""


@dataclass(frozen=True)
class Environment:
    """The whole environment of a child; later kinds override earlier ones."""

    own: Mapping[str, str]
    """The only recorded variables. They override inherited ones."""
    inherited: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The user's variables. May contain secrets; not recorded."""
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Override all others; not recorded."""

    @functools.cached_property
    def hidden(self) -> Sequence[str]:
        """The values that must not be shown."""
        return [*self.secret.values(), *secrets_among(self.inherited).values()]


class Child:
    """A started process. Its process id is also that of its process group."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Environment,
        streams: tuple[int | IO[bytes], int | IO[bytes]],
        *,
        cwd: Path | None,
        more_variables: Mapping[str, str],
        temporary: Path | None,
    ) -> None:
        """Start it. `streams` are its input, and what is its output and its errors. Raises HarnessError."""
        self.words = tuple(words)
        self.env = environment.own
        self.cwd = cwd
        self.temporary = temporary
        """Its temporary directory, if it has one of its own."""
        self.operation: str | None = None
        """The operation on whose behalf it runs."""
        self.timed_out = False
        self.ended_seconds: float | None = None
        self.is_ended_by_signal = False
        """Whether a signal ended it, or may have."""
        self.began_seconds = time.monotonic()
        try:
            self.popen = subprocess.Popen(
                self.words,
                env={**environment.inherited, **environment.own, **environment.secret, **more_variables},
                cwd=cwd,
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[1],
                # A group, not a session: Linux schedules sessions against each other (autogroup), which slows the
                # communication between a client and the server by up to a third (measured).
                process_group=0,
            )
        except OSError as error:
            raise HarnessError(f"can't start {words[0]}: {error.strerror or error}") from error
        self.pid = self.popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it; None while it runs.

        Does not reap the process, so its id is not used again.
        """
        if self.popen.returncode is not None:
            return self.popen.returncode
        status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is None:
            return None
        return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status

    async def exited(self) -> None:
        """Wait until it has ended."""
        while self.exit_code is None:
            if not hasattr(os, "pidfd_open"):
                await anyio.sleep(_POLL_SECONDS)
                continue
            handle = os.pidfd_open(self.pid)
            try:
                await anyio.wait_readable(handle)
            finally:
                os.close(handle)

    async def end(self, grace_seconds: float) -> None:
        """End the whole group: TERM and a grace period if the leader still runs, then KILL for the rest."""
        if self.exit_code is None:
            with anyio.move_on_after(grace_seconds):
                self.signal(signal.SIGTERM)
                self.signal(signal.SIGCONT)  # A stopped process can't handle a TERM.
                await self.exited()
                await until(self._is_group_gone)  # The others, a script's children, get their time, too.
        self.signal(signal.SIGKILL)
        with anyio.move_on_after(KILL_SECONDS_MAX):
            await self.exited()
        self._reap()
        self.is_ended_by_signal |= (self.popen.returncode or 0) < 0
        self.ended_seconds = time.monotonic()

    def _is_group_gone(self) -> bool:
        self._reap()
        return not self.signal(0)

    def _reap(self) -> None:
        """Reap the leader if it has ended, and then those of its group that have become our children (see
        `adoption`)."""
        if self.popen.poll() is not None:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-self.pid, os.WNOHANG)[0]:
                    pass

    def signal(self, number: int) -> bool:
        """Send a signal to the whole group. Returns whether any process was left to get it."""
        self.is_ended_by_signal |= number not in _HARMLESS_SIGNALS and self.exit_code is None
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def close_pipes(self) -> None:
        """Close our ends of its streams."""
        for pipe in (self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()
