"""Directories by descriptor: trees of any depth, without following links, with a bounded number of open files.

Absolute paths fail beyond 4,096 bytes and follow links on the way. Names relative to an open directory do neither.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from snapstorm.errors import HarnessError, NoSpaceError
from snapstorm.model.manifest import ROOT, show_path

TreePath: TypeAlias = Path | bytes

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PATH_BYTES_MAX = 4000
"""Longer paths are opened piece by piece; the system's own limit is 4,096 with the final zero."""

OPEN_DIRECTORIES_MAX = 64
"""How many directories a walk keeps open. Those further up are opened again on the way back."""

OpenDirectory: TypeAlias = Callable[[int, bytes], int]


def explain_os_error(path: bytes, error: OSError) -> HarnessError:
    """The error as one of ours: `NoSpaceError` for a full disk or quota."""
    message = f"{show_path(path)}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(f"{message}: free some space, or give the client less to write")
    return HarnessError(message)


def joined(directory: bytes, name: bytes) -> bytes:
    """The path of an entry of a directory, relative to the tree's root."""
    return directory + b"/" + name if directory else name


def split(path: bytes) -> tuple[bytes, bytes]:
    """A path's directory, and its name in that directory."""
    directory, _, name = path.rpartition(b"/")
    return directory, name


def open_below(dir_fd: int | None, path: bytes, flags: int = DIRECTORY_FLAGS) -> int:
    """Open the directory at a path of any length. The caller closes it."""
    head, slash, rest = path[:PATH_BYTES_MAX].rpartition(b"/")
    if len(path) <= PATH_BYTES_MAX or not slash:
        return os.open(path or b".", flags, dir_fd=dir_fd)
    upper_fd = open_below(dir_fd, head or b"/", flags)
    try:
        return open_below(upper_fd, rest + path[PATH_BYTES_MAX:], flags)
    finally:
        os.close(upper_fd)


@contextmanager
def opened_below(dir_fd: int | None, path: bytes) -> Iterator[int]:
    """`open_below` as a context manager."""
    fd = open_below(dir_fd, path)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def opened_parent(path: TreePath) -> Iterator[tuple[int, bytes]]:
    """The open directory that contains `path`, and the name of `path` in it.

    Links on the way to `path` are followed, since the user chose them; the caller opens `path` itself.
    """
    directory, name = os.path.split(os.path.abspath(os.fsencode(path)))
    fd = open_below(None, directory, DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
    try:
        yield fd, name or b"."
    finally:
        os.close(fd)


@contextmanager
def opened_tree(path: TreePath) -> Iterator[int]:
    """The open directory at `path`, which is not followed if it is a link."""
    with opened_parent(path) as (parent_fd, name):
        fd = os.open(name, DIRECTORY_FLAGS, dir_fd=parent_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def walk_tree(
    root_fd: int,
    enter: Callable[[int, bytes], list[bytes]],
    leave: Callable[[int, bytes], None] | None = None,
    open_directory: OpenDirectory | None = None,
) -> None:
    """Visit every directory of a tree, each before its subdirectories.

    `enter(directory, its path)` returns the names of the subdirectories to visit; `leave(parent directory, path)` is
    called once a subdirectory and everything below it was visited. `open_directory(parent directory, name)` opens one.

    Only the lowest directories of the way stay open. One that was closed is opened again as `..` of the one below it,
    and must be the same as before. Raises HarnessError naming a directory that can't be opened.
    """
    levels: list[int | tuple[int, int]] = [os.dup(root_fd)]
    fd = root_fd
    try:
        way = [(ROOT, enter(fd, ROOT))]
        while way:
            path, pending = way[-1]
            if pending:
                name = pending.pop()
                below = path + b"/" + name if path else name
                try:
                    fd = open_directory(fd, name) if open_directory else os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
                except OSError as error:
                    raise explain_os_error(below, error) from error
                levels.append(fd)
                if len(levels) > OPEN_DIRECTORIES_MAX and isinstance(oldest := levels[-1 - OPEN_DIRECTORIES_MAX], int):
                    levels[-1 - OPEN_DIRECTORIES_MAX] = _identity(oldest)
                    os.close(oldest)
                way.append((below, enter(fd, below)))
                continue
            way.pop()
            if way:
                upper = levels[-2]
                if not isinstance(upper, int):
                    levels[-2] = upper_fd = os.open(b"..", DIRECTORY_FLAGS, dir_fd=fd)
                    if _identity(upper_fd) != upper:
                        raise HarnessError("a directory was moved while its tree was being read")
                    upper = upper_fd
                os.close(fd)
                levels.pop()
                fd = upper
                if leave is not None:
                    leave(fd, path)
    finally:
        for level in levels:
            if isinstance(level, int):
                os.close(level)
