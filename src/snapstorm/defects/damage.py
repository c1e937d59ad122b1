"""What can happen to a tree that was restored: one function for each way of damaging it, and that one only.

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

Blow: TypeAlias = Callable[[], None]
FindDamage: TypeAlias = Callable[[Path], Blow | None]

NEVER_WRITTEN = "never-written"


def flip_a_byte(tree: Path) -> Blow | None:
    return _rewrite_one(tree, lambda content: _flipped(content, len(content) // 2))


def truncate(tree: Path) -> Blow | None:
    return _rewrite_one(tree, lambda content: content[: len(content) // 2])


def append_a_byte(tree: Path) -> Blow | None:
    return _rewrite_one(tree, lambda content: content + b"x")


def zero_the_tail(tree: Path) -> Blow | None:
    def zeroed(content: bytes) -> bytes:
        return content[: len(content) // 2].ljust(len(content), b"\0")

    victims = [file for file in files_below(tree, 64) if zeroed(file.read_bytes()) != file.read_bytes()]
    return functools.partial(rewrite, victims[-1], zeroed(victims[-1].read_bytes())) if victims else None


def lose_an_entry(tree: Path) -> Blow | None:
    return _on_last(files_below(tree, 0), remove)


def rename_an_entry(tree: Path) -> Blow | None:
    def rename(file: Path) -> None:
        with times_kept(file.parent):
            file.rename(file.with_name("another name"))

    return _on_last([file for file in files_below(tree, 0) if file.name != "another name"], rename)


def add_an_entry(tree: Path) -> Blow | None:
    extra = tree / NEVER_WRITTEN
    if tree.is_symlink() or not tree.is_dir() or os.path.lexists(extra):
        return None

    def add() -> None:
        with times_kept(tree):
            extra.touch(0o644)

    return add


def change_a_mode(tree: Path) -> Blow | None:
    return _on_last(files_below(tree, 0), lambda file: file.chmod(stat.S_IMODE(file.stat().st_mode) ^ stat.S_IRGRP))


def change_an_owner(tree: Path) -> Blow | None:
    def change(file: Path) -> None:
        before = file.stat()
        os.chown(file, before.st_uid + 1, -1)
        file.chmod(stat.S_IMODE(before.st_mode))  # A change of the owner clears setuid.

    return _on_last(files_below(tree, 0), change)


def change_an_mtime(tree: Path) -> Blow | None:
    def change(file: Path) -> None:
        before = file.stat()
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    return _on_last(files_below(tree, 0), change)


def swap_two_files(tree: Path) -> Blow | None:
    """Of the same size if there are such, else of sizes as near as can be."""
    contents = sorted(((file.read_bytes(), file) for file in files_below(tree)), key=lambda pair: (len(pair[0]), pair))
    pairs = [pair for pair in itertools.pairwise(contents) if pair[0][0] != pair[1][0]]
    if not pairs:
        return None
    (content, file), (others, other) = min(pairs, key=lambda pair: len(pair[1][0]) - len(pair[0][0]))

    def swap() -> None:
        rewrite(file, others)
        rewrite(other, content)

    return swap


def follow_a_symlink(tree: Path) -> Blow | None:
    def follow(link: Path) -> None:
        file = link.resolve()
        with times_kept(link.parent):
            link.unlink()
            shutil.copy2(file, link)
            status = file.stat()
            if os.geteuid() == 0:
                os.chown(link, status.st_uid, status.st_gid)
            link.chmod(stat.S_IMODE(status.st_mode))

    whole = tree.resolve()
    return _on_last([link for link in _links(tree) if link.is_file() and whole in link.resolve().parents], follow)


def change_a_symlink(tree: Path) -> Blow | None:
    def change(link: Path) -> None:
        before = link.lstat()
        target = "x" if os.readlink(link) != "x" else "y"
        with times_kept(link.parent, link):
            link.unlink()
            link.symlink_to(target)
            if os.geteuid() == 0:
                os.chown(link, before.st_uid, before.st_gid, follow_symlinks=False)

    return _on_last(_links(tree), change)


def lose_an_empty_directory(tree: Path) -> Blow | None:
    directories = [path for path in _below(tree) if path.is_dir() and not path.is_symlink()]
    return _on_last([path for path in directories if not any(path.iterdir())], remove)


def give_nothing(tree: Path) -> Blow | None:
    if not _below(tree):
        return None

    def empty() -> None:
        with times_kept(tree):
            for path in tree.iterdir():
                remove(path)

    return empty


def files_below(tree: Path, size_min: int = 1) -> list[Path]:
    """The regular files below a directory that can be read and written, in the order of their paths."""
    return [
        path
        for path in _below(tree)
        if path.is_file()
        and not path.is_symlink()
        and path.stat().st_size >= size_min
        and os.access(path, os.W_OK | os.R_OK)
    ]


def rewrite(file: Path, content: bytes) -> None:
    """Give a file another content; its mode and its times stay."""
    before = file.stat()
    with times_kept(file):
        file.write_bytes(content)
        file.chmod(stat.S_IMODE(before.st_mode))


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
        if os.path.lexists(path):
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _below(tree: Path) -> list[Path]:
    """All that is below a directory, in the order of the paths; nothing where the tree is no directory."""
    return [] if tree.is_symlink() else sorted(tree.rglob("*"))


def _links(tree: Path) -> list[Path]:
    return [path for path in _below(tree) if path.is_symlink()]


def _on_last(victims: list[Path], strike: Callable[[Path], None]) -> Blow | None:
    return functools.partial(strike, victims[-1]) if victims else None


def _rewrite_one(tree: Path, change: Callable[[bytes], bytes]) -> Blow | None:
    return _on_last(files_below(tree), lambda file: rewrite(file, change(file.read_bytes())))


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :]
