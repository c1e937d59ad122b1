"""Changes of an entry's metadata, not of its content."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Collection

from snapstorm.filesystem.allowances import (
    ACCESS,
    DEFAULT_ACCESS,
    FILE_CAPABILITY,
    OWNERS,
    PLAIN_DIRECTORY_MODES,
    PLAIN_FILE_MODES,
    Allowances,
)
from snapstorm.filesystem.descriptors import opened_below
from snapstorm.filesystem.file_changes import opened_for_change
from snapstorm.filesystem.planning import draw_mtime_ns, draw_xattrs
from snapstorm.filesystem.tree_state import DirectoryState, FileState, TreeState
from snapstorm.model.change_kinds import MetadataKind

_KINDS_FOR_LINKS = (MetadataKind.MTIME, MetadataKind.OWNER)


def kinds_for_links(kinds: Collection[MetadataKind]) -> tuple[MetadataKind, ...]:
    """The kinds that apply to a link, which has no mode of its own and takes no attributes."""
    return tuple(kind for kind in _KINDS_FOR_LINKS if kind in kinds)


def change_metadata(
    tree: TreeState,
    path: bytes,
    kind: MetadataKind,
    dir_fd: int,
    name: bytes,
    allowed: Allowances,
    draws: random.Random,
) -> None:
    """Change one entry, given by its path in the tree and by its name in an open directory."""
    state = tree.files.get(path) or tree.directories.get(path)
    match kind:
        case MetadataKind.MODE:
            assert state is not None, "links have no mode"
            state.mode = _other_mode(state, allowed, draws)
        case MetadataKind.MTIME:
            mtime_ns = draw_mtime_ns(draws)
            os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
        case MetadataKind.OWNER:
            status = os.lstat(name, dir_fd=dir_fd)
            uid, gid = draws.choice([owner for owner in OWNERS if owner != (status.st_uid, status.st_gid)])
            os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
        case MetadataKind.XATTR:
            with _opened(state, dir_fd, name) as fd:
                for key, value in draw_xattrs(_xattr_names(state, allowed), draws):
                    os.setxattr(fd, key, value)
    if state is not None and kind is not MetadataKind.MTIME:
        # After all except MTIME: a new owner clears setuid, and opening a file may have widened its mode.
        os.chmod(name, state.mode, dir_fd=dir_fd)


def _other_mode(state: FileState | DirectoryState, allowed: Allowances, draws: random.Random) -> int:
    """A mode other than the entry's present one."""
    if isinstance(state, FileState):
        modes = PLAIN_FILE_MODES + allowed.odd_file_modes
    else:
        modes = PLAIN_DIRECTORY_MODES + allowed.odd_directory_modes
    return draws.choice([mode for mode in modes if mode != state.mode])


def _xattr_names(state: FileState | DirectoryState | None, allowed: Allowances) -> tuple[bytes, ...]:
    if isinstance(state, FileState):
        return allowed.xattr_names
    names = tuple(name for name in allowed.xattr_names if name != FILE_CAPABILITY)
    return (*names, DEFAULT_ACCESS) if ACCESS in names else names


def _opened(
    state: FileState | DirectoryState | None, dir_fd: int, name: bytes
) -> contextlib.AbstractContextManager[int]:
    return opened_for_change(dir_fd, name) if isinstance(state, FileState) else opened_below(dir_fd, name)
