"""Adoption: orphans among our descendants become our children, so that a process that has left its group is found and
ended.

A process that calls `setsid` and clears its environment carries nothing that identifies it. On Linux, a *subreaper*
becomes the parent of descendants whose own parent has ended, whatever they did to hide. A process that becomes our
child in this way must be reaped by us, too.

This works only in a process that is snapstorm's own. In another program's process (the library, the pytest plugin), an
adopted process can't be distinguished from one that this program has started. For the same reason, two kinds of
processes adopt nothing: one that already has a child in another group (a shell had started it and then became snapstorm
by `exec`), and the first process of a container, which gets all orphans of the container.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36
_INIT = 1
_POLL_SECONDS = 0.01
_ZOMBIE = "Z"


@dataclass(frozen=True)
class Adopted:
    """A living process that has become our child."""

    pid: int
    start_ticks: str
    """Identifies the process for good, together with its id."""
    name: str = field(compare=False)
    """Changes when the process executes another program."""

    def __str__(self) -> str:
        return f"{self.name!r} (process {self.pid})"


class _Status(NamedTuple):
    """What /proc says about a process."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    start_ticks: str


@dataclass
class _Adoption:
    is_on: bool = False
    others: frozenset[tuple[int, str]] = frozenset()
    """The children, by id and start, that this process had before it became ours. They are left alone."""


_adoption = _Adoption()


def adopt_orphans() -> None:
    """Make this process adopt orphans from now on. To be called by a program of our own, before it starts anything.
    Does nothing if the system does not support it, or if adopted processes could belong to somebody else."""
    if sys.platform == "linux" and os.path.exists("/proc/self/stat"):
        children = [status for status in _statuses() if status.parent == os.getpid()]
        if os.getpid() == _INIT or any(status.group != os.getpgrp() for status in children):
            return
        _adoption.others = frozenset((status.pid, status.start_ticks) for status in children)
        import ctypes  # noqa: PLC0415 - nobody else needs it

        with contextlib.suppress(OSError, AttributeError):
            _adoption.is_on = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def adopted(own_groups: Collection[int]) -> list[Adopted]:
    """The living processes that have become our children. Those that have ended are reaped on the way.

    `own_groups` are the process groups of the children that we have started and that still run. Everything else that we
    start stays in our own group.
    """
    if not _adoption.is_on:
        return []
    me, mine = os.getpid(), os.getpgrp()
    found: list[Adopted] = []
    for status in _statuses():
        if status.parent != me or status.group == mine or status.group in own_groups:
            continue
        if (status.pid, status.start_ticks) in _adoption.others:
            continue
        if status.state == _ZOMBIE:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(status.pid, os.WNOHANG)
        else:
            found.append(Adopted(status.pid, status.start_ticks, status.name))
    return found


def reap_group(group: int) -> None:
    """Reap the adopted processes of this group that have ended. The group's leader was already reaped."""
    if _adoption.is_on:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-group, os.WNOHANG)[0]:
                pass


def end_adopted(
    own_groups: Callable[[], Collection[int]], *, seconds_max: float, spared: Collection[Adopted] = ()
) -> list[Adopted]:
    """Kill all adopted processes, and those that are adopted as a result, except for the spared ones. Returns them."""
    ended: dict[Adopted, None] = {}
    deadline = time.monotonic() + seconds_max
    while (left := [one for one in adopted(own_groups()) if one not in spared]) and time.monotonic() < deadline:
        for one in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one.pid, signal.SIGKILL)  # Not reaped yet, so its id can't be another process's.
        ended.update(dict.fromkeys(left))
        time.sleep(_POLL_SECONDS)
    return list(ended)


def _statuses() -> Iterator[_Status]:
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="backslashreplace") as file:
                text = file.read()
        except OSError:
            continue  # Gone.
        # The program's name, second and in brackets, may contain spaces and brackets.
        before, _, after = text.rpartition(")")
        fields = after.split()
        program = before.partition("(")[2]
        yield _Status(int(name), program, fields[0], int(fields[1]), int(fields[2]), fields[19])
