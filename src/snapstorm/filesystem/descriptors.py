"""Directories by descriptor: trees of any depth, without following links, with a bounded number of open files.

Absolute paths fail beyond 4,096 bytes and follow links on the way. Names relative to an open directory do neither.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

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


def open_directory(dir_fd: int | None, name: bytes) -> int:
    """Open a directory that is not a link, relative to another one or to the working directory."""
    return os.open(name, DIRECTORY_FLAGS, dir_fd=dir_fd)


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
def opened_below(dir_fd: int | None, path: bytes, flags: int = DIRECTORY_FLAGS) -> Iterator[int]:
    """`open_below` as a context manager."""
    fd = open_below(dir_fd, path, flags)
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
    with opened_below(None, directory, DIRECTORY_FLAGS & ~os.O_NOFOLLOW) as fd:
        yield fd, name or b"."


class DirectoryStack:
    """The way from a tree's root to one directory in it, as open directories. Descends and climbs one level at a time.

    Only the lowest levels stay open. A level that was closed is opened again as `..` of the one below it, and must be
    the same directory as before.
    """

    def __init__(self, root_fd: int, open_directory: OpenDirectory = open_directory) -> None:
        self._open_directory = open_directory
        self._levels: list[int | tuple[int, int]] = [os.dup(root_fd)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for level in self._levels:
            if isinstance(level, int):
                os.close(level)

    @property
    def fd(self) -> int:
        """The current directory of the walk. The stack closes it."""
        level = self._levels[-1]
        assert isinstance(level, int), "the lowest level is always open"
        return level

    def descend(self, name: bytes) -> None:
        self._levels.append(self._open_directory(self.fd, name))
        oldest = len(self._levels) - 1 - OPEN_DIRECTORIES_MAX
        if oldest >= 0:
            level = self._levels[oldest]
            if isinstance(level, int):
                self._levels[oldest] = _identity(level)
                os.close(level)

    def climb(self) -> None:
        upper = self._levels[-2]
        if not isinstance(upper, int):
            upper_fd = os.open(b"..", DIRECTORY_FLAGS, dir_fd=self.fd)
            self._levels[-2] = upper_fd
            if _identity(upper_fd) != upper:
                raise HarnessError("a directory was moved while its tree was being read")
        os.close(self.fd)
        self._levels.pop()


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def walk_tree(
    root_fd: int,
    enter: Callable[[int, bytes], list[bytes]],
    leave: Callable[[int, bytes], None] | None = None,
    open_directory: OpenDirectory = open_directory,
) -> None:
    """Visit every directory of a tree, each before its subdirectories.

    `enter(directory, its path)` returns the names of the subdirectories to visit; `leave(parent directory, name)` is
    called once a subdirectory and everything below it was visited. Raises HarnessError naming a directory that can't be
    opened.
    """
    with DirectoryStack(root_fd, open_directory) as stack:
        way: list[tuple[bytes, list[bytes]]] = [(ROOT, enter(stack.fd, ROOT))]
        while way:
            path, pending = way[-1]
            if pending:
                below = joined(path, pending.pop())
                try:
                    stack.descend(split(below)[1])
                except OSError as error:
                    raise explain_os_error(below, error) from error
                way.append((below, enter(stack.fd, below)))
            else:
                way.pop()
                if way:
                    stack.climb()
                    if leave is not None:
                        leave(stack.fd, split(path)[1])
