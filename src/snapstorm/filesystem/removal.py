"""Removes trees of any depth, whatever the modes of their directories, and never through a link."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from snapstorm.errors import HarnessError
from snapstorm.filesystem.descriptors import (
    DIRECTORY_FLAGS,
    TreePath,
    explain_os_error,
    opened_parent,
    opened_tree,
    walk_tree,
)
from snapstorm.model.manifest import show_path

_USABLE = stat.S_IRWXU


def remove_tree(path: TreePath) -> None:
    """Remove what is at `path`, with everything below it. Does nothing if nothing exists there.

    Raises HarnessError when something can't be removed; what was removed until then is gone.
    """
    try:
        with opened_parent(path) as (parent_fd, name):
            remove_entry(parent_fd, name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain_os_error(os.fsencode(path), error) from error


def remove_files_below(path: TreePath) -> None:
    """Remove everything below a directory except directories, for a tree whose owner may be working in it.

    Does nothing if there is no directory. Raises HarnessError when something can't be removed.
    """
    try:
        with opened_tree(path) as fd:
            walk_tree(fd, _remove_files)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain_os_error(os.fsencode(path), error) from error


def remove_entry(dir_fd: int, name: bytes) -> None:
    """Remove one entry of an open directory, with everything below it."""
    if not stat.S_ISDIR(os.lstat(name, dir_fd=dir_fd).st_mode):
        os.unlink(name, dir_fd=dir_fd)
        return
    fd = _open_in_any_mode(dir_fd, name)
    try:
        walk_tree(fd, _remove_files, _remove_directory, _open_in_any_mode)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=dir_fd)


def _remove_files(fd: int, path: bytes) -> list[bytes]:
    """Remove everything that is not a directory, and return the names of the directories."""
    subdirectories: list[bytes] = []
    try:
        mode = os.fstat(fd).st_mode
        if mode & _USABLE != _USABLE:
            os.fchmod(fd, stat.S_IMODE(mode) | _USABLE)
        with os.scandir(fd) as entries:
            found = list(entries)
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                subdirectories.append(os.fsencode(entry.name))
            else:
                with suppress(FileNotFoundError):  # Its owner was faster.
                    os.unlink(entry.name, dir_fd=fd)
    except OSError as error:
        raise explain_os_error(path, error) from error
    return subdirectories


def _remove_directory(parent_fd: int, path: bytes) -> None:
    try:
        os.rmdir(path.rpartition(b"/")[2], dir_fd=parent_fd)
    except OSError as error:
        raise HarnessError(f"{show_path(path)}: {error.strerror} while removing it") from error


def _open_in_any_mode(dir_fd: int, name: bytes) -> int:
    """Open a directory, granting its owner access first if necessary."""
    try:
        return os.open(name, DIRECTORY_FLAGS, dir_fd=dir_fd)
    except PermissionError:
        # By descriptor, because chmod by name would follow a link put there meanwhile.
        path_fd = os.open(name, DIRECTORY_FLAGS | os.O_PATH, dir_fd=dir_fd)
        try:
            os.chmod(f"/proc/self/fd/{path_fd}", _USABLE)
        finally:
            os.close(path_fd)
        return os.open(name, DIRECTORY_FLAGS, dir_fd=dir_fd)
