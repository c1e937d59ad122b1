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
from typing import NamedTuple, TypeAlias

from snapstorm.filesystem.descriptors import (
    TreePath,
    explain_os_error,
    joined,
    opened_below,
    opened_parent,
    walk_tree,
)
from snapstorm.filesystem.scanner import TreeScan
from snapstorm.model.manifest import ROOT, Entry, EntryType, show_path


class Looks(NamedTuple):
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

_KINDS = {
    EntryType.FILE: stat.S_IFREG,
    EntryType.DIRECTORY: stat.S_IFDIR,
    EntryType.SYMLINK: stat.S_IFLNK,
    EntryType.FIFO: stat.S_IFIFO,
    EntryType.SOCKET: stat.S_IFSOCK,
    EntryType.CHARACTER_DEVICE: stat.S_IFCHR,
    EntryType.BLOCK_DEVICE: stat.S_IFBLK,
}


def looks_of_tree(root: TreePath) -> TreeLooks:
    """The looks of each entry of a tree; empty if the tree does not exist. Raises HarnessError if an entry can't be
    examined."""
    found: TreeLooks = {}

    def enter(fd: int, path: bytes) -> list[bytes]:
        subdirectories: list[bytes] = []
        found[path] = _looks(os.fstat(fd))
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    subdirectories.append(name)
                else:
                    found[joined(path, name)] = _looks(entry.stat(follow_symlinks=False))
        return subdirectories

    try:
        with opened_parent(root) as (parent_fd, name), opened_below(parent_fd, name) as fd:
            walk_tree(fd, enter)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise explain_os_error(os.fsencode(root), error) from error
    return found


def looks_of(scan: TreeScan) -> TreeLooks:
    """The looks of a tree, from its scan."""
    changed_ns = scan.changed_ns
    return {entry.path: _looks_of_entry(entry, changed_ns[entry.path]) for entry in scan.manifest}


def _looks_of_entry(entry: Entry, changed_ns: int) -> Looks:
    return Looks(
        _KINDS[entry.type],
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size if entry.type is EntryType.FILE else 0,
        entry.mtime_ns,
        changed_ns,
    )


def _are_alike(before: TreeScan, now: TreeScan) -> bool:
    """Whether two scans of a tree look the same. This is faster than finding the differences, because for an unchanged
    file a scan returns the same entry object as the scan before."""
    return before.changed_ns == now.changed_ns and all(
        one is other or _looks_of_entry(one, 0) == _looks_of_entry(other, 0)
        for one, other in zip(before.manifest, now.manifest, strict=True)
    )


def changes_between(before: TreeLooks | TreeScan, now: TreeLooks | TreeScan) -> list[str]:
    """The differences, one line for each entry: first what was added and removed, then files and links, each in the
    order of paths. Directories come last, because they change whenever an entry in them is added or removed."""
    if isinstance(before, TreeScan) and isinstance(now, TreeScan) and _are_alike(before, now):
        return []
    before, now = (looks_of(tree) if isinstance(tree, TreeScan) else tree for tree in (before, now))
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


def _looks(status: os.stat_result) -> Looks:
    kind = stat.S_IFMT(status.st_mode)
    is_file = kind == stat.S_IFREG
    return Looks(
        kind,
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_size if is_file else 0,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _describe(path: bytes, before: Looks | None, now: Looks | None) -> str:
    shown = show_path(path) if path != ROOT else "the directory itself"
    if before is None:
        return f"{shown}: is new"
    if now is None:
        return f"{shown}: is gone"
    parts = [
        f"{name} {_show(name, old)}, now {_show(name, new)}"
        for name, old, new in zip(Looks._fields, before, now, strict=True)
        if old != new and name != "changed_ns"  # It changes with everything else.
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
