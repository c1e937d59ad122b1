"""Observations of a run: what the target showed, stored compactly and within bounds, to be judged again later."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from snapstorm.errors import TestbedError
from snapstorm.ledger.transactions import LedgerBase

STORED_BYTES_MAX = 256 << 10
"""Larger observations are not stored, and can't be judged again."""
_COMPRESSED_FROM_BYTES = 512
"""Compressing smaller ones takes longer than writing them."""
_TRIED_BYTES_MAX = 4 << 20
"""Larger ones would be too large even when compressed."""


class Observed(NamedTuple):
    """One observation."""

    operation: str
    kind: str
    encoded: bytes


class Observations(LedgerBase):
    """The part of the ledger that holds what the target has shown."""

    def observe(self, operation: str, kind: str, encoded: bytes | None) -> None:
        """Store what an operation has shown; nothing if it is None or too large."""
        if encoded is None or len(encoded) > _TRIED_BYTES_MAX:
            return
        is_small = len(encoded) < _COMPRESSED_FROM_BYTES
        stored = b"r" + encoded if is_small else b"z" + zlib.compress(encoded, 1)
        if len(stored) > STORED_BYTES_MAX:
            return
        with self._transaction() as run:
            run("INSERT OR REPLACE INTO observations VALUES (?, ?, ?)", (operation, kind, stored))

    def forget_observation(self, operation: str) -> None:
        """Drop what an operation has shown: it was not judged, so it can't be judged later either."""
        with self._transaction() as run:
            run("DELETE FROM observations WHERE operation = ?", (operation,))

    def observations(self, run_number: int) -> Iterator[Observed]:
        """The observations of a run's operations, in the order in which these began."""
        rows = self._connection.execute(
            "SELECT s.operation, s.kind, s.encoded FROM observations s JOIN operations o ON o.id = s.operation"
            " WHERE o.run = ? ORDER BY o.began_tick",
            (run_number,),
        )
        for operation, kind, stored in rows:
            try:
                encoded = bytes(stored[1:]) if stored[:1] == b"r" else zlib.decompress(stored[1:])
            except zlib.error as error:
                raise TestbedError(f"the ledger is damaged: what {operation} showed can't be read ({error})") from error
            yield Observed(operation, kind, encoded)
