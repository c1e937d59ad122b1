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
from typing import TypeAlias

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.defect import planted
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import Restorer
from snapstorm.model.work import WorkKind

Blow: TypeAlias = Callable[[], None]
FindDamage: TypeAlias = Callable[[Path], Blow | None]

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


@planted("restore-flips-a-byte", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def flip_a_byte(tree: Path) -> Blow | None:
    """One bit of one file comes back flipped."""

    def flipped(content: bytes) -> bytes:
        at = len(content) // 2
        return content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :]

    return _rewrite_one(tree, flipped)


@planted("restore-truncates-a-file", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def truncate(tree: Path) -> Blow | None:
    """One file comes back half as long."""
    return _rewrite_one(tree, lambda content: content[: len(content) // 2])


@planted("restore-appends-a-byte", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def append_a_byte(tree: Path) -> Blow | None:
    """One file comes back one byte longer."""
    return _rewrite_one(tree, lambda content: content + b"x")


@planted("restore-zeroes-the-tail", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def zero_the_tail(tree: Path) -> Blow | None:
    """The second half of one file comes back as zeros."""

    def zeroed(content: bytes) -> bytes:
        return content[: len(content) // 2].ljust(len(content), b"\0")

    victims = [file for file in files_below(tree, 64) if zeroed(file.read_bytes()) != file.read_bytes()]
    return _on_last(victims, lambda file: rewrite(file, zeroed(file.read_bytes())))


@planted("restore-loses-an-entry", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def lose_an_entry(tree: Path) -> Blow | None:
    """One file does not come back."""
    return _on_last(files_below(tree, 0), remove)


@planted("restore-renames-a-file", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def rename_an_entry(tree: Path) -> Blow | None:
    """One file comes back under another name."""

    def rename(file: Path) -> None:
        with times_kept(file.parent):
            file.rename(file.with_name(ANOTHER_NAME))

    return _on_last([file for file in files_below(tree, 0) if file.name != ANOTHER_NAME], rename)


@planted("restore-adds-an-entry", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def add_an_entry(tree: Path) -> Blow | None:
    """A file comes back that was never there."""
    extra = tree / NEVER_WRITTEN

    def add() -> None:
        with times_kept(tree):
            extra.touch(0o644)

    return add if tree.is_dir() and not tree.is_symlink() and not os.path.lexists(extra) else None


@planted("restore-changes-a-mode", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def change_a_mode(tree: Path) -> Blow | None:
    """One file comes back with another mode."""
    return _on_last(files_below(tree, 0), lambda file: file.chmod(stat.S_IMODE(file.stat().st_mode) ^ stat.S_IRGRP))


@planted("restore-changes-an-owner", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging, needs_root=True)
def change_an_owner(tree: Path) -> Blow | None:
    """One file comes back with another owner; only root can restore owners."""

    def change(file: Path) -> None:
        before = file.stat()
        os.chown(file, before.st_uid + 1, -1)
        file.chmod(stat.S_IMODE(before.st_mode))  # A change of the owner clears setuid.

    return _on_last(files_below(tree, 0), change)


@planted("restore-changes-an-mtime", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def change_an_mtime(tree: Path) -> Blow | None:
    """One file comes back one nanosecond younger."""

    def change(file: Path) -> None:
        before = file.stat()
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    return _on_last(files_below(tree, 0), change)


@planted("restore-swaps-two-files", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
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


@planted("restore-follows-a-symlink", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE_LINK, by=Damaging)
def follow_a_symlink(tree: Path) -> Blow | None:
    """A link to a file comes back as a copy of that file."""
    whole = tree.resolve()

    def follow(link: Path) -> None:
        file = link.resolve()
        with times_kept(link.parent):
            link.unlink()
            shutil.copy2(file, link)
            _own_like(link, file.stat())
            link.chmod(stat.S_IMODE(file.stat().st_mode))

    return _on_last([link for link in _links(tree) if link.is_file() and whole in link.resolve().parents], follow)


@planted("restore-changes-a-symlink-target", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE_LINK, by=Damaging)
def change_a_symlink(tree: Path) -> Blow | None:
    """A link comes back pointing elsewhere."""

    def change(link: Path) -> None:
        before, target = link.lstat(), "x" if os.readlink(link) != "x" else "y"
        with times_kept(link.parent, link):
            link.unlink()
            link.symlink_to(target)
            _own_like(link, before)

    return _on_last(_links(tree), change)


@planted("restore-loses-an-empty-directory", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE_EMPTY_DIRECTORY, by=Damaging)
def lose_an_empty_directory(tree: Path) -> Blow | None:
    """An empty directory does not come back."""
    directories = [path for path in _below(tree) if path.is_dir() and not path.is_symlink()]
    return _on_last([path for path in directories if not any(path.iterdir())], remove)


@planted("restore-gives-nothing", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, by=Damaging)
def give_nothing(tree: Path) -> Blow | None:
    """A restore succeeds, and its directory is empty."""

    def empty() -> None:
        for path in list(tree.iterdir()):
            remove(path)

    return empty if _below(tree) else None


def files_below(tree: Path, size_min: int = 1) -> list[Path]:
    """The regular files below a directory that can be read and written, in the order of their paths."""
    return [
        path
        for path in _below(tree)
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK | os.W_OK)
        if path.stat().st_size >= size_min
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


def _own_like(path: Path, status: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)


def _below(tree: Path) -> list[Path]:
    """All that is below a directory, in the order of the paths; nothing where the tree is no directory."""
    return [] if tree.is_symlink() else sorted(tree.rglob("*"))


def _links(tree: Path) -> list[Path]:
    return [path for path in _below(tree) if path.is_symlink()]


def _on_last(victims: list[Path], strike: Callable[[Path], None]) -> Blow | None:
    return functools.partial(strike, victims[-1]) if victims else None


def _rewrite_one(tree: Path, change: Callable[[bytes], bytes]) -> Blow | None:
    return _on_last(files_below(tree), lambda file: rewrite(file, change(file.read_bytes())))
