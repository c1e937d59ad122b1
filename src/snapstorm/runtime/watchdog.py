"""The watchdog: ends what snapstorm started if snapstorm can no longer do so itself.

A backup tool does not notice that its parent died, and a death signal (`PR_SET_PDEATHSIG`) reaches children but not
grandchildren. So each `ProcessRunner` starts one small process: this file, run as a script. It reads one end of a pipe
whose other end only the runner holds. The runner writes `+GROUP` for each process group that it starts, `-GROUP` once
that group has ended, and `goodbye` before it closes the pipe in an orderly way. If the pipe closes without a goodbye,
snapstorm was killed. Then the watchdog kills every announced group, and every process whose environment carries the
runner's mark. Children inherit the mark, and `setsid` does not remove it. The mark also covers the time between `fork`
and `exec`, and between `exec` and the announcement.

A process that both leaves its group and clears its environment escapes the watchdog; while snapstorm runs, see
`adoption`. Without `/proc` only groups are ended.

Run as `python -I -S watchdog.py OWNER PARENT_PID`, so it uses only the standard library, and nothing of snapstorm.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator

OWNER_VARIABLE = "SNAPSTORM_OWNER"
"""The environment variable that marks a process as ours: `TESTBED/RUN`."""

GOODBYE = "goodbye"

_QUIET_SECONDS = 0.3
"""The work counts as done when no scan has found a process for this long. A child may be between `fork` and `exec`, or
so shortly after `exec` that its environment can't be read yet; then it shows no mark."""
_SECONDS_MAX = 10.0
_SCAN_PAUSE_SECONDS = 0.02
_PARENT_CHECK_SECONDS = 0.5
_ORPHANED_SECONDS_MAX = 2.0
"""How long to wait for the pipe to close after the parent has ended."""


def end_owned_processes(
    owner: str, *, quiet_seconds: float = _SCAN_PAUSE_SECONDS, seconds_max: float = _SECONDS_MAX
) -> int:
    """Kill all processes that carry the mark of `owner`, or of an owner below it (`a` also means `a/b`).

    Scans again until no scan has found any for `quiet_seconds`, but no longer than `seconds_max`, because a dying
    process may just have started a child. Returns how many processes there were. This process itself is spared.
    """
    ended: set[int] = set()
    now = time.monotonic()
    quiet_since, deadline = now, now + seconds_max
    while now < deadline:
        found = {pid for pid in _process_ids() if pid != os.getpid() and _kill_if_owned(pid, _mark(owner))}
        ended |= found
        now = time.monotonic()
        if found:
            quiet_since = now
        elif now - quiet_since >= quiet_seconds:
            break
        time.sleep(_SCAN_PAUSE_SECONDS)
    return len(ended)


def owned_processes(owner: str) -> list[int]:
    """The ids of the living processes that carry the mark of `owner`, or of an owner below it."""
    return [pid for pid in _process_ids() if _carries(pid, _mark(owner))]


def _mark(owner: str) -> bytes:
    return os.fsencode(f"{OWNER_VARIABLE}={owner}")


def _process_ids() -> Iterator[int]:
    with contextlib.suppress(OSError):  # No /proc here.
        yield from (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _carries(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return False  # It has ended, or belongs to another user, and we could not end it either.
    return any(entry == mark or entry.startswith(mark + b"/") for entry in environment.split(b"\0"))


def _kill_if_owned(pid: int, mark: bytes) -> bool:
    """Kill the process if it carries the mark, and the group that it leads. Returns whether it did.

    A runner that is killed may have started a command and not announced its group. Members of that group may have
    dropped their environment, and carry no mark.
    """
    if not _carries(pid, mark):
        return False
    handle: int | None = None
    try:
        if hasattr(os, "pidfd_open"):
            handle = os.pidfd_open(pid)
        # Checked once more: the handle refers to one process for good, but the id may have been reused.
        if not _carries(pid, mark):
            return False
        if os.getpgid(pid) == pid != os.getpgrp():
            os.killpg(pid, signal.SIGKILL)
        elif handle is None:
            os.kill(pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def _start_ticks(pid: int) -> str | None:
    """When the process started, in clock ticks since boot. With its id, this identifies it for good. None if it has
    ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            status = file.read()
    except OSError:
        return None
    # The program's name, second and in brackets, may contain spaces and brackets; the start is field 22.
    return status.rpartition(b")")[2].split()[19].decode()


class _Groups:
    """The process groups that the runner has announced, each with its leader's start."""

    def __init__(self) -> None:
        self._start_by_group: dict[int, str | None] = {}

    def read(self, line: str) -> None:
        sign, group = line[:1], int(line[1:])
        if sign == "+":
            self._start_by_group[group] = _start_ticks(group)
        else:
            self._start_by_group.pop(group, None)

    def kill(self) -> None:
        """Kill every announced group, unless its number has been reused by another process."""
        for group, start in self._start_by_group.items():
            if _start_ticks(group) in (None, start):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)


def _read_lines(descriptor: int, parent: int) -> Iterator[str]:
    """The lines of the pipe until it closes, or until some time after the parent has ended.

    A child of the parent keeps the pipe open until its `exec`, and shows no mark before. So when the pipe has closed,
    no child is in this state. The parent is checked as well, because a process that it forked without `exec` (a worker
    of another library) may keep the pipe open after the parent's death.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    rest = b""
    orphaned_seconds = 0.0
    while orphaned_seconds < _ORPHANED_SECONDS_MAX:
        orphaned_seconds += _PARENT_CHECK_SECONDS if os.getppid() != parent else 0.0
        if not poll.poll(_PARENT_CHECK_SECONDS * 1000):
            continue
        chunk = os.read(descriptor, 65_536)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in lines)


def main(owner: str, parent: int) -> None:
    """Watch over the processes of `owner` until their runner says goodbye or dies."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # A program that sends TERM to every process should end us last.
    groups = _Groups()
    for line in _read_lines(sys.stdin.fileno(), parent):
        if line == GOODBYE:
            return
        groups.read(line)
    groups.kill()
    end_owned_processes(owner, quiet_seconds=_QUIET_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
