"""The state of a client's draws, as it travels."""

from __future__ import annotations

import random
import struct

_VERSION = 3
"""Of Python's generator (Mersenne Twister)."""
_WORDS = struct.Struct("<625I?d")


def encode_draws(draws: random.Random) -> bytes:
    """The whole state: 2.5 kB."""
    _, words, gauss = draws.getstate()
    return _WORDS.pack(*words, gauss is not None, gauss or 0.0)


def decode_draws(state: bytes) -> random.Random:
    """Draws that go on as those did which were encoded."""
    draws = random.Random()
    set_draws(draws, state)
    return draws


def set_draws(draws: random.Random, state: bytes) -> None:
    """Have these draws go on as those did which were encoded."""
    *words, has_gauss, gauss = _WORDS.unpack(state)
    draws.setstate((_VERSION, tuple(words), gauss if has_gauss else None))
