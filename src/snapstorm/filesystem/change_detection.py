"""Change detection: compares what a tree looks like from outside, to tell whether somebody else has changed it.

The looks of a tree are names, kinds, sizes, modes, owners, modification times and change times; no file is read. So
they cost one stat for each entry, 1 to 3 microseconds, and can be taken wherever a target might have touched files that
are not its own.

The system sets the change time (ctime) at every change of an entry, and no program can set it. So a change is seen even
if everything else is set back. Change times are only compared for equality, so setting the clock makes no difference.
Reading a file does not change its change time.
"""

from __future__ import annotations

import os
import stat
from typing import TypeAlias

import msgspec

from snapstorm.filesystem.descriptors import (
    TreePath,
    explain_os_error,
    opened_tree,
    walk_tree,
)
from snapstorm.model.manifest import ROOT, show_path


class Looks(msgspec.Struct, frozen=True, gc=False):
    """What one entry looks like. Directories and links have no size here, because file systems count theirs in
    different ways."""

    kind: int
    """As `stat.S_IFMT` gives it."""
    mode: int
    uid: int
    gid: int
    size_bytes: int
    mtime_ns: int
    changed_ns: int
    """The change time, which no program can set."""


TreeLooks: TypeAlias = dict[bytes, Looks]
"""The looks of each entry by its path in the tree."""


def looks_of(status: os.stat_result) -> Looks:
    """The looks of one entry."""
    kind = stat.S_IFMT(status.st_mode)
    return Looks(
        kind,
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_size if kind == stat.S_IFREG else 0,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def looks_of_tree(root: TreePath) -> TreeLooks:
    """The looks of each entry of a tree; empty if the tree does not exist. Raises HarnessError if an entry can't be
    examined."""
    found: TreeLooks = {}

    def enter(fd: int, path: bytes) -> list[bytes]:
        subdirectories: list[bytes] = []
        prefix = path + b"/" if path else b""
        found[path] = looks_of(os.fstat(fd))
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    subdirectories.append(name)
                else:
                    found[prefix + name] = looks_of(entry.stat(follow_symlinks=False))
        return subdirectories

    try:
        with opened_tree(root) as fd:
            walk_tree(fd, enter)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise explain_os_error(os.fsencode(root), error) from error
    return found


def changes_between(before: TreeLooks, now: TreeLooks) -> list[str]:
    """The differences, one line for each entry: first what was added and removed, then files and links, each in the
    order of paths. Directories come last, because they change whenever an entry in them is added or removed."""
    if before == now:
        return []
    paths = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    paths.sort(key=lambda path: _rank(before.get(path), now.get(path)))
    return [_describe(path, before.get(path), now.get(path)) for path in paths]


def _rank(before: Looks | None, now: Looks | None) -> int:
    """Where a change is listed among others."""
    if before is None or now is None:
        return 0
    return 2 if now.kind == stat.S_IFDIR else 1


def _describe(path: bytes, before: Looks | None, now: Looks | None) -> str:
    shown = show_path(path) if path != ROOT else "the directory itself"
    if before is None:
        return f"{shown}: is new"
    if now is None:
        return f"{shown}: is gone"
    parts = [
        f"{name} {_show(name, old)}, now {_show(name, new)}"
        for name in Looks.__struct_fields__[:-1]  # The last one changes with everything else.
        if (old := getattr(before, name)) != (new := getattr(now, name))
    ]
    if not parts:
        return (
            f"{shown}: was changed and made to look as before (change time {_show_time(before.changed_ns)}, "
            f"now {_show_time(now.changed_ns)})"
        )
    return f"{shown}: {'; '.join(parts)}"


def _show_time(moment_ns: int) -> str:
    seconds, nanoseconds = divmod(moment_ns, 10**9)
    return f"{seconds}.{nanoseconds:09d}"


def _show(name: str, value: int) -> str:
    return f"{value:o}" if name in ("kind", "mode") else f"{value}"
