"""Trees on the way into the store and out of it: read whole, never following a link, and written back the same.

Both directions are generators of single steps, one for each entry, so that many clients take turns.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import anyio.lowlevel
import msgspec

from snapstorm.filesystem.descriptors import explain_os_error, joined
from snapstorm.filesystem.scanner import TYPES, read_xattrs
from snapstorm.model.manifest import ROOT, EntryType
from snapstorm.targets.memory.store import Item, Store

_ENTRIES_PER_TURN = 16
"""Entries that are read or written before others get a turn. Tiny trees take one turn."""

_HOLE_BYTES = 65_536
"""A run of zeros of this size, aligned to it, is left a hole."""

HAS_XATTRS = hasattr(os, "listxattr")

_MODES = {kind: mode for mode, kind in TYPES.items()}

Step = TypeVar("Step")


@dataclass(frozen=True)
class Tree:
    """A tree that is about to be restored: its entries, parents first, and where the content of its files is."""

    items: tuple[Item, ...]
    store: Store

    def part(self, sub_path: bytes) -> Tree:
        """The entries at and below a path, as a tree of their own."""
        prefix = sub_path + b"/"
        items = tuple(
            msgspec.structs.replace(item, path=item.path[len(prefix) :])
            for item in self.items
            if item.path == sub_path or item.path.startswith(prefix)
        )
        return Tree(items, self.store)


async def in_turns(steps: Iterable[Step]) -> list[Step]:
    """Go through all steps, letting others have a turn in between."""
    done: list[Step] = []
    for step in steps:
        done.append(step)
        if len(done) % _ENTRIES_PER_TURN == 0:
            await anyio.lowlevel.checkpoint()
    return done


def read_tree(root: bytes, add_blob: Callable[[bytes], str], *, is_whole: bool = False) -> Iterator[Item]:
    """Every entry of a tree, parents first; contents go to `add_blob`.

    Unless it is to be whole, each name of a file is a file of its own, and special files, sockets and attributes
    outside of `user.` are left out.
    """
    waiting = [ROOT]
    first_names: dict[tuple[int, int], bytes] = {}
    while waiting:
        path = waiting.pop()
        full = os.path.join(root, path) if path else root
        try:
            item = _read_item(full, path, add_blob, first_names, is_whole=is_whole)
            if item is None:
                continue
            names = os.listdir(full) if item.type is EntryType.DIRECTORY else []
        except OSError as error:
            raise explain_os_error(full, error) from error
        waiting.extend(joined(path, name) for name in sorted(names))
        yield item


def _read_item(
    full: bytes,
    path: bytes,
    add_blob: Callable[[bytes], str],
    first_names: dict[tuple[int, int], bytes],
    *,
    is_whole: bool,
) -> Item | None:
    status = os.lstat(full)
    kind, target, digest, size_bytes = TYPES[stat.S_IFMT(status.st_mode)], b"", "", 0
    if kind is EntryType.SYMLINK:
        target = os.readlink(full)
    elif kind is EntryType.FILE:
        with open(full, "rb") as file:
            content = file.read()
        digest, size_bytes = add_blob(content), len(content)
        if is_whole and status.st_nlink > 1:
            target = first_names.setdefault((status.st_dev, status.st_ino), path)
    elif kind is not EntryType.DIRECTORY:
        if not is_whole:
            return None
        target = b"%d" % status.st_rdev
    xattrs = read_xattrs(full) or () if HAS_XATTRS else ()
    return Item(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        digest,
        size_bytes,
        target,
        tuple(xattr for xattr in xattrs if is_whole or xattr[0].startswith(b"user.")),
    )


def write_tree(tree: Tree, destination: bytes) -> Iterator[None]:
    """Write a tree, the properties of directories last, because writing below one changes its time."""
    directories: list[tuple[bytes, Item]] = []
    first_names: dict[bytes, bytes] = {}
    for item in tree.items:
        full = os.path.join(destination, item.path) if item.path else destination
        try:
            if item.type is EntryType.DIRECTORY:
                os.mkdir(full, 0o700)
                directories.append((full, item))
            else:
                _write_leaf(full, item, tree, first_names)
        except OSError as error:
            raise explain_os_error(full, error) from error
        yield
    for full, item in reversed(directories):
        try:
            _set_properties(full, item)
        except OSError as error:
            raise explain_os_error(full, error) from error
        yield


def _write_leaf(full: bytes, item: Item, tree: Tree, first_names: dict[bytes, bytes]) -> None:
    if item.type is EntryType.FILE:
        if item.target and (first := first_names.setdefault(item.target, full)) != full:
            os.link(first, full)
            return
        _write_file(full, tree.store.blob(item.digest))
    elif item.type is EntryType.SYMLINK:
        os.symlink(item.target, full)
    else:
        os.mknod(full, _MODES[item.type] | 0o600, int(item.target))
    _set_properties(full, item)


def _write_file(full: bytes, content: bytes) -> None:
    with open(full, "xb") as file:
        if len(content) <= _HOLE_BYTES:
            file.write(content)
            return
        hole = bytes(_HOLE_BYTES)
        for offset in range(0, len(content), _HOLE_BYTES):
            piece = content[offset : offset + _HOLE_BYTES]
            if piece == hole:
                file.seek(_HOLE_BYTES, os.SEEK_CUR)
            else:
                file.write(piece)
        file.truncate(len(content))


def _set_properties(full: bytes, item: Item) -> None:
    # The owner first: giving a file away clears setuid. The mode last but for the time: it may forbid writing.
    if os.geteuid() == 0:
        os.chown(full, item.uid, item.gid, follow_symlinks=False)
    # From `user.` back to `system.`: an access control list may forbid the owner to set others.
    for name, value in reversed(item.xattrs):
        os.setxattr(full, name, value, follow_symlinks=False)
    if item.type is not EntryType.SYMLINK:
        os.chmod(full, item.mode)
    os.utime(full, ns=(item.mtime_ns, item.mtime_ns), follow_symlinks=False)
