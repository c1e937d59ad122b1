"""A cache of the manifests used last, so that a manifest just written need not be read and decoded again."""

from __future__ import annotations

from collections import OrderedDict

from snapstorm.model.manifest import Manifest

ENTRIES_MAX = 50_000
"""How many entries are held, at about 300 bytes each. Entries that the tree's writer holds as well take no extra
memory."""


class ManifestCache:
    """Manifests by digest. The least recently used are dropped first."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._held: OrderedDict[str, Manifest] = OrderedDict()
        self._entries = 0

    def get(self, digest: str) -> Manifest | None:
        """The manifest with that digest, if it is cached."""
        manifest = self._held.get(digest)
        if manifest is not None:
            self._held.move_to_end(digest)
        return manifest

    def add(self, manifest: Manifest) -> None:
        """Cache a manifest, unless it alone exceeds the limit."""
        if manifest.digest in self._held or len(manifest.entries) > self._entries_max:
            return
        self._held[manifest.digest] = manifest
        self._entries += len(manifest.entries)
        while self._entries > self._entries_max:
            self.discard(next(iter(self._held)))

    def discard(self, digest: str) -> None:
        """Drop a manifest from the cache."""
        manifest = self._held.pop(digest, None)
        self._entries -= len(manifest.entries) if manifest else 0
