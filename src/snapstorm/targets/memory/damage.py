"""What can happen to a tree on its way back: pure functions, one for each way of damaging it, and that one only.

Each returns the damaged tree, or None where there is nothing to damage.
"""

from __future__ import annotations

import itertools
import os
import posixpath
import stat
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from snapstorm.filesystem.descriptors import joined
from snapstorm.model.manifest import EntryType
from snapstorm.targets.memory.store import Item, Stored
from snapstorm.targets.memory.trees import Tree

Damage: TypeAlias = Callable[[Tree, Stored], Tree | None]

NEVER_WRITTEN = b"never-written"


def flip_a_byte(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in _files(tree)[-1:]:
        content = bytearray(tree.content(item))
        content[len(content) // 2] ^= 0x01
        return _with_content(tree, item, bytes(content))
    return None


def truncate(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in _files(tree)[-1:]:
        return _with_content(tree, item, tree.content(item)[: item.size // 2])
    return None


def zero_the_tail(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in reversed(_files(tree, 64)):
        content = tree.content(item)
        zeroed = content[: len(content) // 2].ljust(len(content), b"\0")
        if zeroed != content:
            return _with_content(tree, item, zeroed)
    return None


def lose_an_entry(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in _files(tree, 0)[-1:]:
        return _without(tree, item)
    return None


def add_an_entry(tree: Tree, snapshot: Stored) -> Tree | None:
    if tree.items[0].type is not EntryType.DIRECTORY or any(item.path == NEVER_WRITTEN for item in tree.items):
        return None
    extra = Item(NEVER_WRITTEN, EntryType.FILE, 0o644, os.geteuid(), os.getegid(), 0)
    return _with_content(_with_items(tree, (*tree.items, extra)), extra, b"")


def change_a_mode(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in _files(tree, 0)[-1:]:
        return _changed(tree, item, mode=item.mode ^ stat.S_IRGRP)
    return None


def change_an_owner(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in _files(tree, 0)[-1:]:
        return _changed(tree, item, uid=item.uid + 1)
    return None


def change_an_mtime(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in _files(tree, 0)[-1:]:
        return _changed(tree, item, mtime_ns=item.mtime_ns + 1)
    return None


def swap_two_files(tree: Tree, snapshot: Stored) -> Tree | None:
    """Of the same size if there are such, else of sizes as near as can be."""
    by_size = sorted(_files(tree), key=lambda item: (item.size, item.digest))
    pairs = [(first, second) for first, second in itertools.pairwise(by_size) if first.digest != second.digest]
    if not pairs:
        return None
    first, second = min(pairs, key=lambda pair: pair[1].size - pair[0].size)
    swapped = _with_content(tree, first, tree.content(second))
    return _with_content(swapped, second, tree.content(first))


def follow_a_symlink(tree: Tree, snapshot: Stored) -> Tree | None:
    files = {item.path: item for item in _files(tree, 0)}
    for item in _links(tree):
        file = files.get(posixpath.normpath(joined(posixpath.dirname(item.path), item.target)))
        if file is not None:
            copy = msgspec.structs.replace(file, path=item.path)
            return _with_items(tree, tuple(copy if one is item else one for one in tree.items))
    return None


def change_a_symlink(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in _links(tree):
        return _changed(tree, item, target=b"x" if item.target != b"x" else b"y")
    return None


def lose_an_empty_directory(tree: Tree, snapshot: Stored) -> Tree | None:
    parents = {posixpath.dirname(item.path) for item in tree.items if item.path}
    for item in tree.items:
        if item.type is EntryType.DIRECTORY and item.path and item.path not in parents:
            return _without(tree, item)
    return None


def give_another_snapshot(tree: Tree, snapshot: Stored) -> Tree | None:
    """Not an empty one, nor for one: an empty directory for a full one is what `give_nothing` does."""
    if len(tree.items) == 1:
        return None
    for other in tree.store.of(snapshot.client):
        if other.id != snapshot.id and len(other.items) > 1 and _seen(other.items) != _seen(tree.items):
            return Tree(other.items, tree.store)
    return None


def give_a_stale_version(tree: Tree, snapshot: Stored) -> Tree | None:
    earlier = [one for one in tree.store.of(snapshot.client, snapshot.source) if one.number < snapshot.number]
    versions = [{item.path: item for item in one.items if item.digest} for one in reversed(earlier)]
    for item in _files(tree):
        path = joined(tree.sub_path, item.path)
        for older in (version[path] for version in versions if path in version):
            if older.digest != item.digest:
                return _with_content(tree, item, tree.store.blob(older.digest))
    return None


def give_nothing(tree: Tree, snapshot: Stored) -> Tree | None:
    if tree.items[0].type is not EntryType.DIRECTORY or len(tree.items) == 1:
        return None
    return _with_items(tree, tree.items[:1])


def make_nothing(tree: Tree, snapshot: Stored) -> Tree | None:
    return _with_items(tree, ())


def copy_hard_links(tree: Tree, snapshot: Stored) -> Tree | None:
    shared = Counter(item.target for item in tree.items if item.type is EntryType.FILE)
    linked = [item for item in tree.items if item.type is EntryType.FILE and item.target and shared[item.target] > 1]
    return (
        _with_items(
            tree, tuple(msgspec.structs.replace(item, target=b"") if item in linked else item for item in tree.items)
        )
        if linked
        else None
    )


def join_two_files(tree: Tree, snapshot: Stored) -> Tree | None:
    """Two of the same content if there are such."""
    files = [item for item in _files(tree, 0) if not item.target]
    pairs = sorted(itertools.combinations(files[:100], 2), key=lambda pair: pair[0].digest != pair[1].digest)
    if not pairs:
        return None
    first, second = pairs[0]
    joined_one = _changed(tree, first, target=first.path)
    return _changed(joined_one, second, target=first.path)


def change_a_device_number(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in tree.items:
        if item.type in (EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE):
            return _changed(tree, item, target=b"%d" % (int(item.target) ^ 1))
    return None


def make_a_fifo_a_file(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in tree.items:
        if item.type is EntryType.FIFO:
            file = msgspec.structs.replace(item, type=EntryType.FILE, target=b"")
            replaced = _with_items(tree, tuple(file if one is item else one for one in tree.items))
            return _with_content(replaced, file, b"")
    return None


def lose_a_system_attribute(tree: Tree, snapshot: Stored) -> Tree | None:
    for item in _files(tree, 0):
        kept = tuple(xattr for xattr in item.xattrs if xattr[0].startswith(b"user."))
        if kept != item.xattrs:
            return _changed(tree, item, xattrs=kept)
    return None


def _files(tree: Tree, size_min: int = 1) -> list[Item]:
    """The files below the root that can be damaged, in the order in which they are written, each by one name: what
    becomes of others is not written."""
    files = {item.target or item.path: item for item in reversed(tree.items) if item.type is EntryType.FILE}
    return [item for item in reversed(files.values()) if item.path and item.size >= size_min]


def _links(tree: Tree) -> list[Item]:
    return [item for item in tree.items if item.type is EntryType.SYMLINK and item.path]


def _seen(items: tuple[Item, ...]) -> dict[bytes, Item]:
    """What a client could tell two trees apart by."""
    return {item.path: item for item in items}


def _with_items(tree: Tree, items: tuple[Item, ...]) -> Tree:
    return Tree(items, tree.store, tree.sub_path, tree.replaced)


def _changed(tree: Tree, item: Item, **properties: Any) -> Tree:
    changed = msgspec.structs.replace(item, **properties)
    return _with_items(tree, tuple(changed if one is item else one for one in tree.items))


def _without(tree: Tree, item: Item) -> Tree:
    return _with_items(tree, tuple(one for one in tree.items if one is not item))


def _with_content(tree: Tree, item: Item, content: bytes) -> Tree:
    sized = _changed(tree, item, size=len(content))
    return Tree(sized.items, tree.store, tree.sub_path, {**tree.replaced, item.path: content})
