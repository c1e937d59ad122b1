"""Measurements during a run. For reports; no verdict depends on them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from snapstorm.ledger.transactions import LedgerBase


class Quantity(StrEnum):
    """What is measured. The ids appear in ledgers and in reports."""

    SERVER_OPEN_FILES = "server-open-files"
    SERVER_MEMORY_BYTES = "server-memory-bytes"
    OWN_MEMORY_BYTES = "own-memory-bytes"
    """Memory of snapstorm's own process."""
    REPOSITORY_BYTES = "repository-bytes"
    CACHE_BYTES = "cache-bytes"
    """The caches of the server and of all clients."""
    LOG_BYTES = "log-bytes"
    """The target's own logs, of the server and of all clients."""


class Sample(NamedTuple):
    """One measurement."""

    at_seconds: float
    """From the beginning of the run."""
    name: str
    value: float


class Samples(LedgerBase):
    """The part of the ledger that holds measurements."""

    def add_samples(self, run_number: int, samples: Iterable[Sample]) -> None:
        with self._transaction() as run:
            for sample in samples:
                run("INSERT INTO samples VALUES (?, ?, ?, ?)", (run_number, *sample))

    def samples(self, run_number: int) -> list[Sample]:
        """All measurements of a run, in order."""
        rows = self._connection.execute(
            "SELECT at_seconds, name, value FROM samples WHERE run = ? ORDER BY at_seconds", (run_number,)
        )
        return [Sample(*row) for row in rows]
