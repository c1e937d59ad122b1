"""Looks: what a tree looks like from outside, to tell whether somebody else has changed it.

A look reads no file: it takes names, kinds, sizes, modes, owners and times of change of content. So it costs a stat for
each entry, 1 to 3 microseconds, and can be taken wherever a target might have touched what is not its own.
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
from snapstorm.model.manifest import ROOT, Entry, EntryType, Manifest, show_path


class Looks(NamedTuple):
    """What one entry looks like. Directories and links have no size here: file systems count theirs as they like."""

    kind: int
    """As `stat.S_IFMT` gives it."""
    mode: int
    uid: int
    gid: int
    size_bytes: int
    mtime_ns: int


TreeLooks: TypeAlias = dict[bytes, Looks]
"""By path in the tree."""

_KINDS = {
    EntryType.FILE: stat.S_IFREG,
    EntryType.DIRECTORY: stat.S_IFDIR,
    EntryType.SYMLINK: stat.S_IFLNK,
}
_SPECIAL = 0
"""Stands for all other kinds, which a manifest does not tell apart."""


def looks_of_tree(root: TreePath) -> TreeLooks:
    """What each entry of a tree looks like; nothing of a tree that is not there. Raises HarnessError where it can't be
    looked at."""
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


def looks_of(manifest: Manifest) -> TreeLooks:
    """What the tree of a manifest looks like."""
    return {entry.path: _looks_of_entry(entry) for entry in manifest}


def _looks_of_entry(entry: Entry) -> Looks:
    return Looks(
        _KINDS.get(entry.type, _SPECIAL),
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size if entry.type is EntryType.FILE else 0,
        entry.mtime_ns,
    )


def _are_alike(before: Manifest, now: Manifest) -> bool:
    """Whether two manifests of a tree look the same: quicker told than what does not. A scan gives the entry again that
    it gave before of a file that has not changed."""
    return len(before) == len(now) and all(
        one is other or (one.path == other.path and _looks_of_entry(one) == _looks_of_entry(other))
        for one, other in zip(before, now, strict=True)
    )


def changes_between(before: TreeLooks | Manifest, now: TreeLooks | Manifest) -> list[str]:
    """What is different, a line for each entry: first what came and went, in the order of paths. A directory in which
    something came or went has changed, too, and says less."""
    if isinstance(before, Manifest) and isinstance(now, Manifest) and _are_alike(before, now):
        return []
    before, now = (looks_of(tree) if isinstance(tree, Manifest) else tree for tree in (before, now))
    if before == now:
        return []
    paths = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    paths.sort(key=lambda path: path in before and path in now)
    return [_describe(path, before.get(path), now.get(path)) for path in paths]


def _looks(status: os.stat_result) -> Looks:
    kind = stat.S_IFMT(status.st_mode)
    is_file = kind == stat.S_IFREG
    return Looks(
        kind if kind in _KINDS.values() else _SPECIAL,
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_size if is_file else 0,
        status.st_mtime_ns,
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
        if old != new
    ]
    return f"{shown}: {'; '.join(parts)}"


def _show(name: str, value: int) -> str:
    return f"{value:o}" if name in ("kind", "mode") else f"{value}"
