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
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, NamedTuple, Protocol, Self, TypeAlias

import anyio
import anyio.to_thread

from snapstorm.errors import HarnessError
from snapstorm.runtime import adoption, watchdog
from snapstorm.runtime.adoption import Adopted
from snapstorm.runtime.child_streams import append_to, open_input
from snapstorm.runtime.lifeline import Lifeline
from snapstorm.runtime.output import BoundedOutput, read_all, without_secrets
from snapstorm.runtime.polling import until
from snapstorm.runtime.redaction import secrets_among

# A listing of many thousand snapshots as JSON is tens of megabytes, and useless if truncated.
_STDOUT_HEAD_BYTES_MAX = 256 << 20
_STDERR_HEAD_BYTES_MAX = 256 << 10

_KILL_SECONDS_MAX = 10.0
"""How long a killed process may take to end; only one that hangs in the kernel takes longer."""
_DRAIN_SECONDS_MAX = 1.0
"""How long to read on after a command has ended: a grandchild that left the group may keep the pipe open."""
_POLL_SECONDS = 0.01

_HARMLESS_SIGNALS = (0, signal.SIGSTOP, signal.SIGCONT)
"""Signals after which a process continues, or will."""

_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


on_behalf_of: ContextVar[str | None] = ContextVar("snapstorm_on_behalf_of", default=None)
"""The operation on whose behalf this task starts processes."""


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
        self._children: set[_Child] = set()
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
            watchdog.end_owned_processes(self.owner, seconds_max=_KILL_SECONDS_MAX)
            adoption.end_adopted(self._groups, seconds_max=_KILL_SECONDS_MAX)
            if self._lifeline is not None:
                await self._lifeline.close()
                self._lifeline = None

    async def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str],
        seconds_max: float,
        inherited_env: Mapping[str, str] = _NO_VARIABLES,
        cwd: Path | None = None,
        stdin: bytes | int | None = None,
        secret_env: Mapping[str, str] = _NO_VARIABLES,
        secret_words: Collection[str] = (),
        is_of_target: bool = True,
    ) -> CompletedCommand:
        """Run a command until it ends, whatever its exit status. It and its group have ended when this returns.

        `inherited_env`, `env` and `secret_env` together are its whole environment; later ones override earlier ones.
        Only `env` is recorded. Of the arguments listed in `secret_words`, only the option's name is recorded. `stdin`
        is what it reads, or an open descriptor from which it reads; nothing by default. With `is_of_target` false it
        does work of snapstorm's own, and listeners are not called. Raises HarnessError if it can't be started.
        """
        outputs = BoundedOutput(_STDOUT_HEAD_BYTES_MAX), BoundedOutput(_STDERR_HEAD_BYTES_MAX)
        with open_input(stdin) as source:
            streams = _Streams(source, subprocess.PIPE, subprocess.PIPE)
            environment = _Environment(inherited_env, env, secret_env)
            child = self._start(argv, environment, cwd, streams, has_temporary=is_of_target)
        try:
            with self._around_command() if is_of_target else contextlib.nullcontext():
                await self._attend(child, outputs, seconds_max)
        finally:
            child.close_pipes()
            left_files = await self._clear_temporary(child)
            completed = child.completed(*(output.value() for output in outputs))
            shown = (f"{word.partition('=')[0]}=..." if word in secret_words else word for word in completed.argv)
            hidden = [*secret_env.values(), *secrets_among(inherited_env).values()]
            stdout, stderr = (without_secrets(hidden, text) for text in (completed.stdout, completed.stderr))
            completed = replace(completed, argv=tuple(shown), stdout=stdout, stderr=stderr, left_files=left_files)
            if is_of_target:
                self._on_command(completed)
        return completed

    def signal_children_of(self, operation: str, number: int) -> int:
        """Send a signal to the process groups that run on behalf of an operation. Returns how many got it."""
        found = [child for child in self._children if child.operation == operation and not child.has_exited]
        return sum(child.signal_group(number) for child in found)

    @asynccontextmanager
    async def start(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str],
        log: Path,
        inherited_env: Mapping[str, str] = _NO_VARIABLES,
        cwd: Path | None = None,
        secret_env: Mapping[str, str] = _NO_VARIABLES,
    ) -> AsyncIterator[RunningProcess]:
        """A process that lives at most as long as the block. It appends its output to the file `log`.

        It writes there directly, not through us, so it never waits for a busy event loop.
        """
        with append_to(log) as file:
            log_offset = file.tell()
            streams = _Streams(subprocess.DEVNULL, file, file)
            environment = _Environment(inherited_env, env, secret_env)
            child = self._start(argv, environment, cwd, streams, has_temporary=True)
            child.operation = None  # It outlives whatever it was started for.
        try:
            yield RunningProcess(child, log, log_offset)
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(child)
            left_files = await self._clear_temporary(child)
            self._on_command(replace(child.completed(b"", b""), left_files=left_files))

    def _start(
        self,
        argv: Sequence[str | os.PathLike[str]],
        environment: _Environment,
        cwd: Path | None,
        streams: _Streams,
        *,
        has_temporary: bool,
    ) -> _Child:
        if self._lifeline is None:
            raise HarnessError("a process can be started only inside its runner's block")
        words = tuple(os.fspath(word) for word in argv)
        temporary = self._temporaries.make() if has_temporary and self._temporaries is not None else None
        own_place = {} if temporary is None else {"TMPDIR": str(temporary)}
        began_seconds = time.monotonic()
        try:
            popen = subprocess.Popen(
                words,
                env={**environment.all, **own_place, watchdog.OWNER_VARIABLE: self.owner},
                cwd=cwd,
                stdin=streams.stdin,
                stdout=streams.stdout,
                stderr=streams.stderr,
                # A group, not a session: Linux schedules sessions against each other (autogroup), which slows the
                # communication between a client and the server by up to a third (measured).
                process_group=0,
            )
        except OSError as error:
            raise HarnessError(f"can't start {words[0]}: {error.strerror or error}") from error
        child = _Child(popen, words, dict(environment.own), began_seconds, cwd, temporary)
        self._children.add(child)
        try:
            self._lifeline.announce(child.group)
        except HarnessError:
            child.signal_group(signal.SIGKILL)
            child.close_pipes()
            raise
        return child

    async def _attend(self, child: _Child, outputs: tuple[BoundedOutput, BoundedOutput], seconds_max: float) -> None:
        """Read the child's output until it has ended; end it when it times out or this task is cancelled."""
        async with anyio.create_task_group() as readers:
            for stream, output in zip((child.popen.stdout, child.popen.stderr), outputs, strict=True):
                assert stream is not None
                readers.start_soon(read_all, stream.fileno(), output)
            try:
                with anyio.move_on_after(seconds_max) as limit:
                    await child.exited()
                child.timed_out = limit.cancelled_caught
            finally:
                with anyio.CancelScope(shield=True):
                    await self._end(child)
            readers.cancel_scope.deadline = anyio.current_time() + _DRAIN_SECONDS_MAX

    async def _clear_temporary(self, child: _Child) -> Sequence[str]:
        """Remove a child's temporary directory. Returns what a child that ended by itself has left there; a child that
        a signal has ended could not clean up."""
        if self._temporaries is None or child.temporary is None:
            return ()
        left: Sequence[str] = ()
        with anyio.CancelScope(shield=True):
            left = await self._temporaries.clear(child.temporary)
        return () if child.is_ended_by_signal else left

    def _groups(self) -> set[int]:
        """The process groups that belong to this runner and still run."""
        watching = set() if self._lifeline is None else {self._lifeline.watchdog_pid}
        return {child.group for child in self._children} | watching

    def strays(self) -> list[Adopted]:
        """Processes that have left their groups and whose parents have ended, including those without any mark. Found
        only where orphans are adopted (see `adoption`). Reaps those that have ended."""
        return adoption.adopted(self._groups())

    async def end_strays(self, spared: Collection[Adopted]) -> list[Adopted]:
        """End the strays that have not ended within a grace period, except for the spared ones. Returns them, unless a
        command was ended by a signal: it could not end its own children, so they may be its."""
        with anyio.move_on_after(self._grace_seconds):
            await until(lambda: not set(self.strays()) - set(spared))
        ended = adoption.end_adopted(self._groups, seconds_max=_KILL_SECONDS_MAX, spared=spared)
        return [] if self._has_ended_by_signal else ended

    async def _end(self, child: _Child) -> None:
        """End the child's group, if it has not ended, and forget it."""
        if child not in self._children:
            return
        await child.end(self._grace_seconds)
        self._has_ended_by_signal |= child.is_ended_by_signal
        self._children.discard(child)
        if self._lifeline is not None:
            self._lifeline.forget(child.group)


@dataclass(frozen=True)
class RunningProcess:
    """A long-lived process inside its block."""

    _child: _Child
    log: Path
    _log_offset: int
    """The offset in the log at which this process began to write."""

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self._child.group

    @property
    def exit_code(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it; None while it runs."""
        return self._child.exit_code

    async def exited(self) -> None:
        """Wait until it has ended by itself."""
        await self._child.exited()

    @property
    def temporary(self) -> Path | None:
        """Its temporary directory, if it has one of its own."""
        return self._child.temporary

    def signal(self, number: int) -> bool:
        """Send a signal to its whole group. Returns whether any process was left to get it."""
        return self._child.signal_group(number)

    def log_tail(self, bytes_max: int = 4096) -> str:
        """The end of what this process has written to its log."""
        return self._written()[-bytes_max:].decode("utf-8", "replace")

    async def line_matching(self, pattern: re.Pattern[str], *, seconds_max: float) -> re.Match[str] | None:
        """The first match in a whole line that it has written or will write; None if it ends or time runs out."""
        with anyio.move_on_after(seconds_max):
            while True:
                has_exited = self.exit_code is not None  # Checked first, so that its last output is read.
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


class _Environment(NamedTuple):
    """The variables that a child gets; later kinds override earlier ones."""

    inherited: Mapping[str, str]
    """The user's variables. May contain secrets; not recorded."""
    own: Mapping[str, str]
    """The only recorded variables."""
    secret: Mapping[str, str]

    @property
    def all(self) -> dict[str, str]:
        return {**self.inherited, **self.own, **self.secret}


class _Streams(NamedTuple):
    """The standard streams of a child, each a descriptor, a file, or one of subprocess's constants."""

    stdin: int | IO[bytes]
    stdout: int | IO[bytes]
    stderr: int | IO[bytes]


@dataclass(eq=False)
class _Child:
    """One started process, the leader of its own process group."""

    popen: subprocess.Popen[bytes]
    argv: tuple[str, ...]
    env: Mapping[str, str]
    began_seconds: float
    cwd: Path | None
    temporary: Path | None = None
    """Its temporary directory, if it has one of its own."""
    timed_out: bool = False
    is_asked_to_end: bool = False
    """Whether we sent it a signal before it had ended by itself."""
    ended_seconds: float | None = field(default=None, init=False)
    operation: str | None = field(default_factory=on_behalf_of.get, init=False)

    @property
    def group(self) -> int:
        return self.popen.pid

    @property
    def has_exited(self) -> bool:
        """Whether the leader has ended. Does not reap it, so its process id is not used again."""
        if self.popen.returncode is not None:
            return True
        if not hasattr(os, "waitid"):
            return self.popen.poll() is not None
        return os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    @property
    def is_ended_by_signal(self) -> bool:
        """Whether a signal ended it, or may have."""
        return self.is_asked_to_end or (self.popen.returncode or 0) < 0

    @property
    def exit_code(self) -> int | None:
        """The leader's exit status, or the negative number of the signal that ended it; None while it runs."""
        if self.popen.returncode is not None or not hasattr(os, "waitid"):
            return self.popen.poll()
        status = os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is None:
            return None
        return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status

    async def exited(self) -> None:
        """Wait until the leader has ended."""
        if not self.has_exited and hasattr(os, "pidfd_open"):
            handle = os.pidfd_open(self.popen.pid)
            try:
                await anyio.wait_readable(handle)
            finally:
                os.close(handle)
        await until(lambda: self.has_exited)

    async def end(self, grace_seconds: float) -> None:
        """End the whole group: TERM and a grace period if the leader still runs, then KILL for the rest."""
        if not self.has_exited:
            await self._ask_to_end(grace_seconds)
        self.signal_group(signal.SIGKILL)
        with anyio.move_on_after(_KILL_SECONDS_MAX):
            await self.exited()
        self.popen.poll()
        adoption.reap_group(self.group)
        self.ended_seconds = time.monotonic()

    async def _ask_to_end(self, grace_seconds: float) -> None:
        with anyio.move_on_after(grace_seconds):
            self.signal_group(signal.SIGTERM)
            self.signal_group(signal.SIGCONT)  # A stopped process can't handle a TERM.
            await self.exited()
            # Once reaped, the leader is no longer a member; the others, a script's children, get their time.
            self.popen.poll()
            await until(self._is_group_gone)

    def _is_group_gone(self) -> bool:
        adoption.reap_group(self.group)
        return not self.signal_group(0)

    def signal_group(self, number: int) -> bool:
        """Send a signal to the whole group. Returns whether any process is left in it."""
        self.is_asked_to_end |= number not in _HARMLESS_SIGNALS and not self.has_exited
        try:
            os.killpg(self.group, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def close_pipes(self) -> None:
        for pipe in (self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()

    def completed(self, stdout: bytes, stderr: bytes) -> CompletedCommand:
        """The result of the command. Raises HarnessError if it hangs in the kernel, where no signal ends it."""
        if self.popen.returncode is None or self.ended_seconds is None:
            raise HarnessError(f"process {self.popen.pid} ({self.argv[0]}) does not end, not even when killed")
        return CompletedCommand(
            argv=self.argv,
            env=self.env,
            exit_code=self.popen.returncode,
            stdout=stdout,
            stderr=stderr,
            began_seconds=self.began_seconds,
            seconds=self.ended_seconds - self.began_seconds,
            timed_out=self.timed_out,
            cwd=self.cwd,
        )
