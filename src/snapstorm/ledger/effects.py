"""What the open operations of this process may change. Spares database queries, and lets counts be cached."""

from __future__ import annotations

from typing import NamedTuple


class Effect(NamedTuple):
    """What an open operation may change."""

    client: str
    source: str | None
    """The source of the snapshot that it creates; None if it creates none."""
    deletes: bool


UNKNOWN = Effect("", "", deletes=True)
"""The effect of an operation that another process has begun."""


class Effects:
    """Held in memory by the process that writes the ledger. A process that only reads has none, and counts each
    time."""

    def __init__(self) -> None:
        self._open: dict[str, Effect] = {}
        self.live_counts: dict[str, dict[str | None, int]] = {}
        """Cached numbers of live snapshots, by client and source; None stands for all sources."""

    def begin(self, operation: str, effect: Effect) -> None:
        """Register an operation that begins."""
        self._open[operation] = effect
        if effect.deletes:
            self.live_counts.pop(effect.client, None)

    def end(self, operation: str, *, is_ok: bool) -> Effect:
        """Unregister an operation that ends. Returns what it may have changed."""
        effect = self._open.pop(operation, UNKNOWN)
        if effect is UNKNOWN:
            self.live_counts.clear()
        elif effect.deletes:
            self.live_counts.pop(effect.client, None)
        elif effect.source is not None and is_ok:
            counts = self.live_counts.get(effect.client, {})
            for source in (None, effect.source):
                if source in counts:
                    counts[source] += 1
        return effect
