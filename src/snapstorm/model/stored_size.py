"""How much a storage may hold after long use: so much as the snapshots need that were there lately, and some more.

Pure. What no snapshot needs any more is gone after some full collections, however long a testbed lives. The contents
that count are those of the files, each once: what a target does to hold them in less room is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from snapstorm.model.manifest import Manifest

COLLECTIONS_MAX = 5
"""After so many full collections, what nobody needs must be gone. Kopia takes up to four: one finds it, the second one
confirms that, the third one writes anew what shared its packs, the fourth one drops these."""
COLLECTION_GAP_DAYS = 2.0
"""Collections that follow each other sooner count as one: a target spares what is younger than a day, and so does not
get on by one collection each day as it does by one each week."""
FLOOR_COLLECTIONS = 2
"""The least counts that was held since so many collections. In between, a target holds up to twice as much."""
NEEDED_FACTOR = 5
"""Packs are kept for a while after they were written anew: an honest Kopia has held 2.7 times as much (measured)."""
SLACK_BYTES = 8 << 20
"""Indexes, logs, and what else does not grow with what is stored."""


class Collection(NamedTuple):
    """A full collection of garbage that has succeeded."""

    began_tick: int
    began_ns: int
    """In virtual time."""
    run: int
    began_seconds: float
    """On the clock of its run."""


def last_apart(collections: Sequence[Collection], gap_ns: int) -> list[Collection]:
    """The latest collections, the last one first, each at least so long before the one that follows it: as many as
    must be enough, or all that there are."""
    found: list[Collection] = []
    for one in sorted(collections, reverse=True):
        if not found or found[-1].began_ns - one.began_ns >= gap_ns:
            found.append(one)
        if len(found) == COLLECTIONS_MAX:
            break
    return found


def needed_bytes(manifests: Iterable[Manifest]) -> int:
    """How many bytes the contents of all files in these trees have, each content once."""
    sizes = {entry.digest: entry.size for manifest in manifests for entry in manifest.entries if entry.digest}
    return sum(sizes.values())


def allowed_bytes(needed: int) -> int:
    """How many bytes a storage may hold for contents of so many bytes."""
    return NEEDED_FACTOR * needed + SLACK_BYTES
