"""Testbeds: the directory that holds a repository under test, its ledger, its secrets and its runs.

Looks before it changes anything, takes a lock that a crash does not leave behind, and removes what it made when the
set-up of a new testbed fails.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import ConfigError, HarnessError, NoSpaceError, TestbedError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.ledger.ledger import Ledger
from snapstorm.runtime.secrets import FileSecretStore

LEDGER_NAME = "ledger.sqlite3"
SECRETS_NAME = "secrets.toml"
PROBE_BYTES = 16 << 20
FREE_BYTES_MIN = 256 << 20
"""A run is not begun with less free space than this."""


@dataclass
class Testbed:
    """An open testbed. Made by `open_testbed`."""

    __test__ = False  # pytest would otherwise take the name for a test class.

    directory: Path
    id: str
    ledger: Ledger
    secrets: FileSecretStore
    is_new: bool
    """Nothing was here before, so what is here may be removed if the set-up fails."""

    def run_directory(self, number: int) -> Path:
        """Where a run keeps its evidence and its logs."""
        return run_directory_of(self.directory, number)


def run_directory_of(testbed: Path, number: int) -> Path:
    """Where a run of a testbed keeps its evidence."""
    return testbed / "runs" / f"{number:04}"


def check_testbed_path(directory: Path, *, must_exist: bool, is_read_only: bool = False) -> bool:
    """Look whether a testbed can be opened or made at this path, changing nothing. Returns whether it would be new."""
    ledger = directory / LEDGER_NAME
    try:
        is_there = directory.exists() or directory.is_symlink()
    except OSError as error:
        raise ConfigError(f"the path {directory} can't be used: {error.strerror}") from error
    if not is_there:
        if must_exist:
            raise ConfigError(f"there is no testbed at {directory}; `snapstorm run --testbed {directory}` makes one")
        _check_parent(directory)
        return True
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory; a testbed is one, so choose another path")
    needed, words = (os.R_OK, "read") if is_read_only else (os.R_OK | os.W_OK, "written")
    if not os.access(directory, needed | os.X_OK):
        raise TestbedError(f"the testbed {directory} can't be {words}; check its owner and its permissions")
    if ledger.exists():
        _refuse_emptied(directory, ledger)
        return False
    if must_exist:
        raise ConfigError(f"{directory} is no testbed: it has no {LEDGER_NAME}")
    if any(entry.name != "lock" for entry in directory.iterdir()):
        raise ConfigError(f"{directory} is not empty and no testbed; choose an empty or a new directory")
    return True


def testbed_around(path: Path) -> Path | None:
    """The testbed in which something at this path would lie; None if in none. What is there is snapstorm's own."""
    return next((parent for parent in path.resolve().parents if (parent / LEDGER_NAME).exists()), None)


def _refuse_emptied(directory: Path, ledger: Path) -> None:
    """An empty ledger beside a repository has lost its history; going on would take the repository for rubbish."""
    if ledger.stat().st_size == 0 and any((directory / name).exists() for name in ("repository", "runs", "clients")):
        raise TestbedError(
            f"the ledger {ledger} is empty, but a repository is beside it; `snapstorm recover` puts a copy in its place"
        )


def _check_parent(directory: Path) -> None:
    parent = next(path for path in directory.parents if path.exists())
    if not parent.is_dir():
        raise ConfigError(f"the testbed {directory} can't be made: {parent} is not a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise TestbedError(f"the testbed {directory} can't be made: no permission to write in {parent}")


def check_free_space(directory: Path) -> None:
    """Refuse to begin where a run would only find the disk full."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < FREE_BYTES_MIN:
        raise NoSpaceError(
            f"too little space for {directory}: {free_bytes >> 20} MiB are free, at least {FREE_BYTES_MIN >> 20} MiB "
            "are needed; free some, or choose a testbed on another disk"
        )


@contextmanager
def open_testbed(directory: Path, *, must_exist: bool = False) -> Iterator[Testbed]:
    """Open the testbed at `directory`, or make it, for one run at a time.

    Raises ConfigError or TestbedError, one line each, before anything is changed. If the block fails before
    `Testbed.is_new` was set to False, what was made for a new testbed is removed again.
    """
    is_new = check_testbed_path(directory, must_exist=must_exist)
    if not must_exist:
        check_free_space(directory)
    made = make_directories(directory)
    try:
        with locked(directory):
            testbed = _open(directory, is_new=is_new)
            try:
                yield testbed
            finally:
                testbed.ledger.close()
                if testbed.is_new:
                    _empty(directory)
    finally:
        remove_empty(made)


@contextmanager
def read_testbed(directory: Path) -> Iterator[Ledger]:
    """The ledger of an existing testbed, to read; also while a run goes on there."""
    check_testbed_path(directory, must_exist=True, is_read_only=True)
    with contextlib.ExitStack() as stack:
        path = directory / LEDGER_NAME
        if not os.access(directory, os.W_OK):
            path = stack.enter_context(_copied(path))
        ledger = Ledger.open_to_read(path)
        stack.callback(ledger.close)
        yield ledger


@contextmanager
def _copied(ledger: Path) -> Iterator[Path]:
    """A copy of a ledger that lies where nothing can be written: SQLite needs a file beside it to read what was not yet
    merged into it."""
    with tempfile.TemporaryDirectory(prefix="snapstorm-ledger-") as place:
        try:
            for path in (ledger, ledger.with_name(f"{ledger.name}-wal")):
                if path.exists():
                    shutil.copyfile(path, Path(place, path.name))
        except OSError as error:
            raise TestbedError(f"the ledger {ledger} can't be read: {error.strerror}") from error
        yield Path(place, ledger.name)


def _open(directory: Path, *, is_new: bool) -> Testbed:
    try:
        ledger = Ledger.open(directory / LEDGER_NAME)
        testbed_id = ledger.fact("testbed_id")
        if testbed_id is None:
            testbed_id = secrets.token_hex(8)
            ledger.set_fact("testbed_id", testbed_id)
        return Testbed(directory, testbed_id, ledger, FileSecretStore(directory / SECRETS_NAME), is_new)
    except BaseException:
        if is_new:
            _empty(directory)
        raise


def make_directories(directory: Path) -> list[Path]:
    """Make the directory with its parents; return those that were made, the deepest first."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        for path in reversed(made):
            path.mkdir(mode=0o700)
    except OSError as error:
        remove_empty(made)
        raise TestbedError(f"{directory} can't be made: {error.strerror}") from error
    return made


def remove_empty(directories: Sequence[Path]) -> None:
    """Remove directories that were made, the deepest first, as far as they are empty."""
    for path in directories:
        with suppress(OSError):  # Not empty: it holds what is to stay.
            path.rmdir()


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        remove_tree(path)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the testbed's lock. Raises TestbedError."""
    in_use = TestbedError(f"the testbed {directory} is in use by another run; wait for it, or choose another")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(holding(directory / "lock", in_use))
        except OSError as error:
            raise TestbedError(f"the testbed {directory} can't be written: {error.strerror}") from error
        yield


@contextmanager
def holding(lock: Path, in_use: HarnessError) -> Iterator[None]:
    """Hold a lock, which the kernel drops with the process, so that a crash leaves none behind.

    Raises `in_use` where somebody else holds it, OSError where it can't be made.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise in_use from error
        yield
    finally:
        os.close(descriptor)


def disk_is_full(*paths: Path) -> Path | None:
    """The first of these directories that has no room for a file of `PROBE_BYTES`, if any.

    Tried by making one: the free space that a file system reports knows neither quotas nor inodes.
    """
    for path in paths:
        try:
            with tempfile.TemporaryFile(dir=path) as probe:
                os.posix_fallocate(probe.fileno(), 0, PROBE_BYTES)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return path
            raise HarnessError(f"{path} can't be written: {error.strerror}") from error
    return None
