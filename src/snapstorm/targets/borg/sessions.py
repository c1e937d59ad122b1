"""The processes of sshd that serve connections. Each is in a session of its own, outside sshd's process group, and goes
on when sshd has ended (OpenSSH 9.2, measured).

They bear no mark of ours: sshd writes its title over its environment. So they are found as descendants of sshd. To find
all, sshd is stopped first, and then what was found, until no more is.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import psutil

from snapstorm.runtime.polling import until
from snapstorm.runtime.process import ProcessRunner

_END_SECONDS_MAX = 5.0
_GONE_SECONDS_MAX = 10.0
_REAP_SECONDS_MAX = 1.0
_SANDBOXED = re.compile(r"^sshd\S*: .*\[net\]\s*$")
"""Its title."""


@dataclass
class Sessions:
    """Of one server after the other."""

    runner: ProcessRunner
    server_pid: Callable[[], int | None]
    _stopped: list[psutil.Process] = field(default_factory=list)

    def count(self) -> int:
        """How many connections are served."""
        pid = self.server_pid()
        with contextlib.suppress(psutil.NoSuchProcess):
            return 0 if pid is None else len(_living(psutil.Process(pid).children()))
        return 0

    def stop(self) -> None:
        """Stop the server and all that serves connections. Raises ProcessLookupError where there is no server.

        Should snapstorm be killed meanwhile, they would stay stopped. So the watchdog is told of them before.
        """
        pid = self.server_pid()
        if pid is None:
            raise ProcessLookupError
        os.killpg(pid, signal.SIGSTOP)
        while new := [one for one in _descendants(pid) if one not in self._stopped and not _is_sandboxed(one)]:
            for one in new:
                self._watch_over(one)
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.suspend()
            self._stopped.extend(new)

    def go_on(self) -> None:
        """Have all that was stopped go on. Raises ProcessLookupError where there is no server."""
        for one in self._stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()
            self.runner.forget_group(one.pid)
        self._stopped.clear()
        pid = self.server_pid()
        if pid is None:
            raise ProcessLookupError
        os.killpg(pid, signal.SIGCONT)

    async def end_all(self, *, is_asked: bool) -> None:
        """End the server, asking it first (TERM) or at once (KILL), and all that serves connections. Does nothing where
        there is no server."""
        pid = self.server_pid()
        try:
            self.stop()
        except ProcessLookupError:
            return
        assert pid is not None
        found = _descendants(pid)
        os.killpg(pid, signal.SIGTERM if is_asked else signal.SIGKILL)
        os.killpg(pid, signal.SIGCONT)
        served = [one for one in found if not _is_sshd(one)]
        for one in found if is_asked else served:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGTERM if is_asked else signal.SIGKILL)
        for one in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()
        # sshd reaps what it has started: to borg, the holder of a lock lives until it is reaped.
        with anyio.move_on_after(_END_SECONDS_MAX if is_asked else _REAP_SECONDS_MAX):
            await until(lambda: self._are_reaped(served))
        for one in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        with anyio.CancelScope(shield=True), anyio.move_on_after(_GONE_SECONDS_MAX):
            await until(lambda: self._are_reaped(served) and not _living(found))
        for one in found:
            self.runner.forget_group(one.pid)
        self._stopped.clear()

    def _are_reaped(self, processes: Sequence[psutil.Process]) -> bool:
        """Whether they have ended, and somebody knows: we, where we have adopted them."""
        self.runner.strays()
        return not any(one.is_running() for one in processes)

    def _watch_over(self, one: psutil.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(one.pid) == one.pid:
                self.runner.watch_group(one.pid)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return _living(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _is_sshd(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return one.name().startswith("sshd")
    return False


def _is_sandboxed(one: psutil.Process) -> bool:
    """Whether it speaks to a client that has not logged in yet. Its sandbox lacks a system call by which a process that
    was stopped goes on, so it would be killed (OpenSSH 9.2, measured). Without its parent, which is stopped, it can
    let nobody in."""
    with contextlib.suppress(psutil.Error):
        return _SANDBOXED.search(" ".join(one.cmdline())) is not None
    return True


def _living(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended. One that nobody has reaped has."""
    found = []
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


def end_left_over(pid_file: Path, config: Path) -> None:
    """End a server, and what serves its connections, that a killed run has left: the one of this configuration."""
    try:
        server = psutil.Process(int(pid_file.read_text()))
        if str(config) not in " ".join(server.cmdline()):
            return  # The number has gone to another one.
        server.suspend()
        for one in [*server.children(recursive=True), server]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    except (OSError, ValueError, psutil.Error):
        return  # There is none.
