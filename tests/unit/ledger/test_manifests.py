"""The cache of manifests."""

from __future__ import annotations

from snapstorm.ledger.manifests import ManifestCache
from snapstorm.model.manifest import Entry, EntryType, Manifest


def manifest_of(name: bytes, entries: int) -> Manifest:
    return Manifest.of(Entry(name + b"%d" % number, EntryType.FILE, 0o644, 0, 0, 0) for number in range(entries))


def test_what_was_not_asked_for_longest_goes_first() -> None:
    cache = ManifestCache(entries_max=10)
    first, second, third = manifest_of(b"a", 4), manifest_of(b"b", 4), manifest_of(b"c", 4)
    cache.add(first)
    cache.add(second)
    assert cache.get(first.digest) is first
    cache.add(third)
    assert cache.get(second.digest) is None
    assert cache.get(first.digest) is first
    assert cache.get(third.digest) is third


def test_one_that_is_larger_than_all_that_is_held_drives_nothing_out() -> None:
    cache = ManifestCache(entries_max=10)
    small, large = manifest_of(b"a", 4), manifest_of(b"b", 11)
    cache.add(small)
    cache.add(large)
    assert cache.get(large.digest) is None
    assert cache.get(small.digest) is small


def test_the_same_one_added_again_counts_once() -> None:
    cache = ManifestCache(entries_max=10)
    other = manifest_of(b"b", 5)
    cache.add(other)
    for _ in range(5):
        cache.add(manifest_of(b"a", 4))
    assert cache.get(other.digest) is other
