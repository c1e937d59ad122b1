"""Persisters: store copies of a testbed's ledger elsewhere, from which a testbed can go on."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from snapstorm.errors import TestbedError
from snapstorm.ledger.copies import STATE_NAME, CopyState, read_state, write_copy
from snapstorm.runtime.threads import run_file_work


class Persister(Protocol):
    """Stores the copies of one testbed's ledger. Methods raise HarnessError, one line, on failure."""

    @property
    def place(self) -> str:
        """The place, as people write it."""
        ...

    async def read_state(self) -> CopyState | None:
        """The state of the latest copy; None before the first."""
        ...

    async def write(self, ledger: Path, state: CopyState) -> None:
        """Add a copy of the ledger. If it fails, the latest copy is still whole."""
        ...

    async def fetch(self, directory: Path) -> None:
        """Put the latest copy (ledger and state) into an empty directory."""
        ...


@dataclass(frozen=True)
class FolderPersister:
    """Stores the latest copy in a folder, which may be on another disk or machine."""

    folder: Path

    @property
    def place(self) -> str:
        """The place, as people write it."""
        return str(self.folder)

    async def read_state(self) -> CopyState | None:
        """The state of the latest copy; None before the first."""
        return await run_file_work(read_state, self.folder)

    async def write(self, ledger: Path, state: CopyState) -> None:
        """Replace the copy by a new one. At any moment one of them is whole."""
        await run_file_work(self._write, ledger, state)

    def _write(self, ledger: Path, state: CopyState) -> None:
        with _locked(self.folder):
            write_copy(ledger, self.folder, state)

    async def fetch(self, directory: Path) -> None:
        """Put the latest copy into an empty directory."""
        await run_file_work(self._fetch, directory)

    def _fetch(self, directory: Path) -> None:
        state = read_state(self.folder)
        if state is None:
            raise TestbedError(f"there is no copy of a ledger in {self.folder}: it has no {STATE_NAME}")
        try:
            for name in (state.ledger_file, STATE_NAME):
                shutil.copyfile(self.folder / name, directory / name)
        except FileNotFoundError:
            raise TestbedError(f"the copy in {self.folder} is half written: there is no {state.ledger_file}") from None
        except OSError as error:
            raise TestbedError(f"the copy in {self.folder} can't be read: {error.strerror}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder, so that two writers on one machine wait for each other."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TestbedError(f"the ledger can't be copied to {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
