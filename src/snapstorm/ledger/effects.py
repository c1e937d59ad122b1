"""What the open operations of this process may change. Spares database queries, and lets counts be cached."""

from __future__ import annotations

from typing import NamedTuple


class Effect(NamedTuple):
    """What an open operation may change."""

    client: str
    source: str | None
    """The source of the snapshot that it creates; None if it creates none."""
    deletes: bool

    @property
    def creates(self) -> bool:
        return self.source is not None


UNKNOWN = Effect("", "", deletes=True)
"""The effect of an operation that another process has begun."""


class Effects:
    """Held in memory by the process that writes the ledger. A process that only reads has none, and counts each
    time."""

    def __init__(self) -> None:
        self._open: dict[str, Effect] = {}
        self._live: dict[str, dict[str | None, int]] = {}

    def begin(self, operation: str, effect: Effect) -> None:
        """Register an operation that begins."""
        self._open[operation] = effect
        if effect.deletes:
            self._live.pop(effect.client, None)

    def end(self, operation: str, *, is_ok: bool) -> Effect:
        """Unregister an operation that ends. Returns what it may have changed."""
        effect = self._open.pop(operation, UNKNOWN)
        if effect is UNKNOWN:
            self.forget_counts()
        elif effect.deletes:
            self._live.pop(effect.client, None)
        elif effect.creates and is_ok:
            counts = self._live.get(effect.client, {})
            for source in (None, effect.source):
                if source in counts:
                    counts[source] += 1
        return effect

    def forget_counts(self) -> None:
        """Drop all cached counts, because anything may have changed."""
        self._live.clear()

    def live(self, client: str, source: str | None) -> int | None:
        """The number of live snapshots of a client, if it is cached."""
        return self._live.get(client, {}).get(source)

    def keep_live(self, client: str, source: str | None, count: int) -> None:
        """Cache the number of live snapshots."""
        self._live.setdefault(client, {})[source] = count
