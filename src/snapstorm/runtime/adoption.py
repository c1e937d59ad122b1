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

# psutil takes 9 ms to import (measured), so it is imported where there is a child to look at.
# ruff: noqa: PLC0415
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

_PR_SET_CHILD_SUBREAPER = 36
_INIT = 1
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Adopted:
    """A living process that has become our child."""

    pid: int
    identity: int
    """What tells it from other processes that had its id. It must not depend on the clock, which may be set meanwhile:
    a process would become another one, and would be ended although it is spared."""
    name: str = field(compare=False)
    """Changes when the process executes another program."""

    def __str__(self) -> str:
        return f"{self.name!r} (process {self.pid})"


@dataclass
class _Adoption:
    is_on: bool = False
    others: frozenset[Adopted] = frozenset()
    """The children that this process had before it became ours. They are left alone."""


_adoption = _Adoption()


def adopt_orphans() -> None:
    """Make this process adopt orphans from now on. To be called by a program of our own, before it starts anything.
    Does nothing if the system does not support it, or if adopted processes could belong to somebody else."""
    if sys.platform == "linux":
        before = _children()
        if os.getpid() == _INIT or any(group != os.getpgrp() for group in before.values()):
            return
        import ctypes

        _adoption.others = frozenset(before)
        with contextlib.suppress(OSError, AttributeError):
            _adoption.is_on = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def adopted(own_groups: Collection[int]) -> list[Adopted]:
    """The living processes that have become our children. Those that have ended are reaped on the way.

    `own_groups` are the process groups of the children that we have started and that still run. Everything else that we
    start stays in our own group.
    """
    if not _adoption.is_on:
        return []
    ours = {os.getpgrp(), *own_groups}
    found: list[Adopted] = []
    for child, group in _children().items():
        if group not in ours and child not in _adoption.others:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(child.pid, os.WNOHANG)[0] == 0:
                    found.append(child)
    return found


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


def _children() -> dict[Adopted, int]:
    """Our children, also those that have ended and were not reaped, each with its process group."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return {}  # There are none.
    import psutil

    found: dict[Adopted, int] = {}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            found[Adopted(child.pid, hash(child), child.name())] = os.getpgid(child.pid)
    return found
