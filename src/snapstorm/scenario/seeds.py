"""Seeds: every draw of a run follows from its seed.

The draws of a client at a step are a stream of their own, derived from (seed, run, client, step). So they depend
neither on timing nor on other clients, and the same seed on a testbed with earlier runs repeats no bytes.
"""

from __future__ import annotations

import random

import blake3

SEED_MAX = (1 << 63) - 1


def stream(*names: int | str) -> random.Random:
    """The random stream with this name: equal names give equal streams on every machine and Python version."""
    digest = blake3.blake3("\x1f".join([f"{type(name).__name__}:{name}" for name in names]).encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))
