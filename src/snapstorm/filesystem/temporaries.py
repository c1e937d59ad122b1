"""Temporary directories of commands: one for each, private, and empty after an orderly end of the command.

Kopia 0.19.0 and 0.23.1 leave nothing there: neither commands and servers that end by themselves, nor those that TERM or
KILL ends (measured). Their temporary files have no name (`O_TMPFILE`), or are unlinked at once.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.filesystem.descriptors import explain_os_error
from snapstorm.filesystem.removal import remove_tree
from snapstorm.runtime.threads import run_file_work

NAMES_MAX = 20
"""The maximum number of names of leftovers that are reported."""


@dataclass(frozen=True)
class Temporaries:
    """Creates and clears temporary directories below one directory. Implements `TemporaryPlaces`.

    A directory that is left empty is used again: creating and removing one takes up to 6 ms on a busy disk, looking
    into one 0.02 ms (measured).
    """

    root: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _empty: list[Path] = field(default_factory=list)

    def make(self) -> Path:
        """An empty directory, for one command at a time. Raises HarnessError."""
        while self._empty:
            place = self._empty.pop()
            with suppress(OSError):
                if not os.listdir(place):  # A killed process may have written there afterwards.
                    return place
        place = self.root / str(next(self._numbers))
        try:
            place.mkdir(mode=0o700)
        except OSError as error:
            raise explain_os_error(os.fsencode(place), error) from error
        return place

    async def clear(self, place: Path) -> Sequence[str]:
        """Take the directory back. Removes what is left in it, and returns the first names of that."""
        try:
            names = sorted(os.listdir(place))[:NAMES_MAX]
        except FileNotFoundError:
            return ()
        except OSError:
            names = ["(what can't be listed)"]
        if not names:
            self._empty.append(place)
            return ()
        with suppress(HarnessError):  # Somebody may still write there; it is removed with the root.
            await run_file_work(remove_tree, place)
        return [os.fsencode(name).decode("utf-8", "backslashreplace") for name in names]


@contextmanager
def temporaries_in(root: Path) -> Iterator[Temporaries]:
    """Temporary directories below `root`. It is removed after the block, with whatever a killed run has left there."""
    remove_tree(root)
    root.mkdir(mode=0o700)
    try:
        yield Temporaries(root)
    finally:
        remove_tree(root)
