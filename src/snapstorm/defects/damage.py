"""Planted defects that damage a tree after it was restored, each in one way and that one only.

Each looks for something to damage in the tree on the disk, and returns what does the damage, or None where there is
nothing to damage. What is not damaged stays as it was, times of directories included.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.defect import planted
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import Restorer
from snapstorm.model.work import WorkKind

Blow: TypeAlias = Callable[[], None]
FindDamage: TypeAlias = Callable[[Path], Blow | None]
Victim = TypeVar("Victim")

NEVER_WRITTEN, ANOTHER_NAME = "never-written", "another name"


class Damaging(Behaviour):
    """Damages every second restored tree in which there is something to damage."""

    def __init__(self, honest: HonestTarget, find_damage: FindDamage) -> None:
        super().__init__(honest)
        self._find_damage = find_damage

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await super().restore(restorer, snapshot, destination, sub_path)
        blow = self._find_damage(destination)
        if blow is not None and self.strikes():
            blow()


def damages(name: str, work: WorkKind = WorkKind.RESTORE, **needs: Any) -> Callable[[FindDamage], FindDamage]:
    """Registers a way of damaging a restored tree."""
    return planted(name, Guarantee.RESTORED_EXACTLY, work, by=Damaging, **needs)


@damages("restore-flips-a-byte")
def flip_a_byte(tree: Path) -> Blow | None:
    """One bit of one file comes back flipped."""

    def flipped(content: bytes) -> bytes:
        at = len(content) // 2
        return content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :]

    return _rewrite_one(tree, flipped)


@damages("restore-truncates-a-file")
def truncate(tree: Path) -> Blow | None:
    """One file comes back half as long."""
    return _rewrite_one(tree, lambda content: content[: len(content) // 2])


@damages("restore-appends-a-byte")
def append_a_byte(tree: Path) -> Blow | None:
    """One file comes back one byte longer."""
    return _rewrite_one(tree, lambda content: content + b"x")


@damages("restore-zeroes-the-tail")
def zero_the_tail(tree: Path) -> Blow | None:
    """The second half of one file comes back as zeros."""

    def zeroed(content: bytes) -> bytes:
        return content[: len(content) // 2].ljust(len(content), b"\0")

    victims = [file for file in files_below(tree, 64) if zeroed(file.read_bytes()) != file.read_bytes()]
    return _on_last(victims, lambda file: rewrite(file, zeroed(file.read_bytes())))


@damages("restore-loses-an-entry")
def lose_an_entry(tree: Path) -> Blow | None:
    """One file does not come back."""
    return _on_last(files_below(tree, 0), remove)


@damages("restore-renames-a-file")
def rename_an_entry(tree: Path) -> Blow | None:
    """One file comes back under another name."""

    def rename(file: Path) -> None:
        with times_kept(file.parent):
            file.rename(file.with_name(ANOTHER_NAME))

    return _on_last([file for file in files_below(tree, 0) if file.name != ANOTHER_NAME], rename)


@damages("restore-adds-an-entry")
def add_an_entry(tree: Path) -> Blow | None:
    """A file comes back that was never there."""
    extra = tree / NEVER_WRITTEN

    def add() -> None:
        with times_kept(tree):
            extra.touch(0o644)

    return add if tree.is_dir() and not tree.is_symlink() and not os.path.lexists(extra) else None


@damages("restore-changes-a-mode")
def change_a_mode(tree: Path) -> Blow | None:
    """One file comes back with another mode."""
    return _on_last(files_below(tree, 0), lambda file: file.chmod(stat.S_IMODE(file.stat().st_mode) ^ stat.S_IRGRP))


@damages("restore-changes-an-owner", needs_root=True)
def change_an_owner(tree: Path) -> Blow | None:
    """One file comes back with another owner; only root can restore owners."""

    def change(file: Path) -> None:
        before = file.stat()
        os.chown(file, before.st_uid + 1, -1)
        file.chmod(stat.S_IMODE(before.st_mode))  # A change of the owner clears setuid.

    return _on_last(files_below(tree, 0), change)


@damages("restore-changes-an-mtime")
def change_an_mtime(tree: Path) -> Blow | None:
    """One file comes back one nanosecond younger."""

    def change(file: Path) -> None:
        before = file.stat()
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    return _on_last(files_below(tree, 0), change)


@damages("restore-swaps-two-files")
def swap_two_files(tree: Path) -> Blow | None:
    """Two files come back with each other's content."""
    # Of the same size if there are such, else of sizes as near as can be.
    contents = sorted(((file.read_bytes(), file) for file in files_below(tree)), key=lambda pair: (len(pair[0]), pair))
    pairs = [pair for pair in itertools.pairwise(contents) if pair[0][0] != pair[1][0]]
    if not pairs:
        return None
    (content, file), (others, other) = min(pairs, key=lambda pair: len(pair[1][0]) - len(pair[0][0]))

    def swap() -> None:
        rewrite(file, others)
        rewrite(other, content)

    return swap


@damages("restore-follows-a-symlink", WorkKind.RESTORE_LINK)
def follow_a_symlink(tree: Path) -> Blow | None:
    """A link comes back as a copy of the file that it points to, empty if there is none in the tree."""
    whole = tree.resolve()

    def follow(link: Path) -> None:
        is_in_tree = link.is_file() and whole in link.resolve().parents
        content = link.read_bytes() if is_in_tree else b""
        _put_in_place(link, link.resolve() if is_in_tree else link.parent, lambda new: new.write_bytes(content))

    # Links to files come last and so are preferred: a restore that follows links does just this with them.
    return _on_last(sorted(_links(tree), key=Path.is_file), follow)


@damages("restore-changes-a-symlink-target", WorkKind.RESTORE_LINK)
def change_a_symlink(tree: Path) -> Blow | None:
    """A link comes back pointing elsewhere."""

    def change(link: Path) -> None:
        _put_in_place(link, link, lambda new: new.symlink_to("x" if os.readlink(link) != "x" else "y"))

    return _on_last(_links(tree), change)


@damages("restore-loses-an-empty-directory", WorkKind.RESTORE_EMPTY_DIRECTORY)
def lose_an_empty_directory(tree: Path) -> Blow | None:
    """An empty directory does not come back."""
    directories = [path for path in _below(tree) if path.is_dir() and not path.is_symlink()]
    return _on_last([path for path in directories if not any(path.iterdir())], remove)


@damages("restore-gives-nothing")
def give_nothing(tree: Path) -> Blow | None:
    """A restore succeeds, and its directory is empty."""

    def empty() -> None:
        for path in list(tree.iterdir()):
            remove(path)

    return empty if _below(tree) else None


@damages("restore-copies-hard-links", needs_whole_trees=True)
def copy_hard_links(tree: Path) -> Blow | None:
    """Hard links come back as copies."""
    names: dict[int, list[Path]] = {}
    for file in files_below(tree, 0):
        names.setdefault(file.stat().st_ino, []).append(file)

    def copy(files: list[Path]) -> None:
        for file in files[1:]:
            _put_in_place(file, file, functools.partial(shutil.copyfile, file))

    return _on_last([files for files in names.values() if len(files) > 1], copy)


@damages("restore-joins-two-files", needs_whole_trees=True)
def join_two_files(tree: Path) -> Blow | None:
    """Two files come back as two names of one file."""
    # Of the same content if there are such, else of the same mode and attributes.
    files = sorted(files_below(tree, 0), key=lambda file: (file.read_bytes(), _looks(file)))
    pairs = [pair for pair in itertools.pairwise(files) if all(file.stat().st_nlink == 1 for file in pair)]

    def join(pair: tuple[Path, Path]) -> None:
        with times_kept(pair[1].parent):
            pair[1].unlink()
            pair[1].hardlink_to(pair[0])

    pairs.sort(key=lambda pair: (pair[0].read_bytes() == pair[1].read_bytes(), _looks(pair[0]) == _looks(pair[1])))
    return _on_last(pairs, join)


def _looks(file: Path) -> tuple[int, int, list[str]]:
    return file.stat().st_mode, file.stat().st_uid, os.listxattr(file)


@damages("restore-changes-a-device-number", needs_root=True, needs_whole_trees=True)
def change_a_device_number(tree: Path) -> Blow | None:
    """A device comes back with another number; only root can make devices."""

    def change(device: Path) -> None:
        before = device.stat()
        _put_in_place(device, device, lambda new: os.mknod(new, before.st_mode, before.st_rdev ^ 1))

    return _on_last([path for path in _below(tree) if path.is_block_device() or path.is_char_device()], change)


@damages("restore-makes-a-fifo-a-file", needs_whole_trees=True)
def make_a_fifo_a_file(tree: Path) -> Blow | None:
    """A FIFO comes back as an empty file."""
    return _on_last(
        [path for path in _below(tree) if path.is_fifo()], lambda fifo: _put_in_place(fifo, fifo, Path.touch)
    )


@damages("restore-loses-a-system-attribute", needs_whole_trees=True)
def lose_a_system_attribute(tree: Path) -> Blow | None:
    """A file comes back without its extended attributes outside of `user.`."""

    def of_system(file: Path) -> list[str]:
        return [name for name in os.listxattr(file) if not name.startswith("user.")]

    def lose(file: Path) -> None:
        for name in of_system(file):
            os.removexattr(file, name)

    return _on_last([file for file in files_below(tree, 0) if of_system(file)], lose)


def files_below(tree: Path, size_min: int = 1) -> list[Path]:
    """The regular files below a directory that can be read and written, in the order of their paths."""
    found = ((path, path.lstat()) for path in _below(tree))
    return [
        path
        for path, status in found
        if stat.S_ISREG(status.st_mode) and status.st_size >= size_min and os.access(path, os.R_OK | os.W_OK)
    ]


def rewrite(file: Path, content: bytes) -> None:
    """Give a file another content; its mode and its times stay."""
    mode = stat.S_IMODE(file.stat().st_mode)
    with times_kept(file):
        file.write_bytes(content)
        file.chmod(mode)


def remove(path: Path) -> None:
    """Remove a file, a link, or a directory with all that it holds; the times of the directory above stay."""
    with times_kept(path.parent):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def times_kept(*paths: Path) -> Iterator[None]:
    """The times of these paths are afterwards what they were before."""
    before = [path.lstat() for path in paths]
    yield
    for path, status in zip(paths, before, strict=True):
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _put_in_place(path: Path, like: Path, make: Callable[[Path], object]) -> None:
    """Put a new entry at a path, with the owner, mode, times and attributes of another one."""
    new = path.with_name("new")
    with times_kept(path.parent):
        make(new)
        if os.geteuid() == 0:
            os.chown(new, like.lstat().st_uid, like.lstat().st_gid, follow_symlinks=False)
        shutil.copystat(like, new, follow_symlinks=False)
        new.replace(path)


def _below(tree: Path) -> list[Path]:
    """All that is below a directory, in the order of the paths; nothing where the tree is no directory."""
    levels = () if tree.is_symlink() else os.walk(tree)
    return sorted(Path(above, name) for above, directories, files in levels for name in (*directories, *files))


def _links(tree: Path) -> list[Path]:
    return [path for path in _below(tree) if path.is_symlink()]


def _on_last(victims: list[Victim], strike: Callable[[Victim], None]) -> Blow | None:
    return functools.partial(strike, victims[-1]) if victims else None


def _rewrite_one(tree: Path, change: Callable[[bytes], bytes]) -> Blow | None:
    return _on_last(files_below(tree), lambda file: rewrite(file, change(file.read_bytes())))
