"""The manifests that were used last, so that what was just written is not read and decoded again to be compared."""

from __future__ import annotations

from collections import OrderedDict

from snapstorm.model.manifest import Manifest

ENTRIES_MAX = 50_000
"""How many entries are held, some 300 bytes each. Those of a tree that its writer remembers as well take no room."""


class ManifestCache:
    """Manifests by digest; the ones not asked for longest go first."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._held: OrderedDict[str, Manifest] = OrderedDict()
        self._entries = 0

    def get(self, digest: str) -> Manifest | None:
        """The manifest of that digest, if it is held."""
        manifest = self._held.get(digest)
        if manifest is not None:
            self._held.move_to_end(digest)
        return manifest

    def add(self, manifest: Manifest) -> None:
        """Hold it, unless it alone is more than may be held."""
        if manifest.digest in self._held or len(manifest) > self._entries_max:
            return
        self._held[manifest.digest] = manifest
        self._entries += len(manifest)
        while self._entries > self._entries_max:
            self.discard(next(iter(self._held)))

    def discard(self, digest: str) -> None:
        """Hold it no more."""
        manifest = self._held.pop(digest, None)
        self._entries -= len(manifest) if manifest else 0
