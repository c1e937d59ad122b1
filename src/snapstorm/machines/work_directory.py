"""The directory in which a machine works: its own, and one machine's at a time."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapstorm.errors import ConfigError, HarnessError, NoSpaceError

_MARKER = ".snapstorm-machine"


@contextmanager
def work_directory(path: Path) -> Iterator[None]:
    """Hold the directory while the block lasts; it is made if there is none.

    Raises ConfigError if it holds anything that is not a machine's, and HarnessError if another machine works in it, or
    if it can't be written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = os.listdir(path)
        if names and _MARKER not in names:
            raise ConfigError(f"the work directory {path} is not empty, and not a machine's: choose another")
        marker = os.open(path / _MARKER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        _hold(path, marker)
        yield
    finally:
        os.close(marker)


def _hold(path: Path, marker: int) -> None:
    try:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(marker, b"A machine of snapstorm works here.\n", 0)
        os.fsync(marker)
    except BlockingIOError:
        raise HarnessError(f"another machine works in {path}: choose another --workdir") from None
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> HarnessError:
    kind = NoSpaceError if error.errno == errno.ENOSPC else HarnessError
    return kind(f"can't work in {path}: {error.strerror or error}")
