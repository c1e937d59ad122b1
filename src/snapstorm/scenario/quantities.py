"""Reads sizes and durations as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|[kK]|M|G|T|[kK]i|Mi|Gi|Ti)B?", re.ASCII)
_UNIT_BYTES = {"": 1} | {
    f"{letter}{binary}": base**power
    for power, letter in enumerate("kMGT", start=1)
    for binary, base in (("", 1000), ("i", 1024))
}


def read_bytes(text: str) -> int:
    """Bytes from `1048576`, `500MB`, `8GiB` or `1.5T`. Raises ValueError with what is allowed."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size: write a number with kB, MB, GB, TB or KiB, MiB, GiB, TiB, such as 8GiB")
    return int(float(match[1]) * _UNIT_BYTES[match[2].replace("K", "k")])


SECONDS_MAX = 366 * 24 * 3600.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def read_duration(text: str | float) -> float:
    """Seconds from `90`, `"90s"`, `"5m"`, `"1.5h"`, `"2d"`. Raises ValueError with what is allowed."""
    match = _DURATION.fullmatch(str(text).strip())
    if match is None or isinstance(text, bool):
        raise ValueError(f"{text!r} is no duration: write a number with ms, s, m, h or d, such as 60s, 5m or 1.5h")
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
    if not 0 < seconds <= SECONDS_MAX:
        raise ValueError(f"{text!r} is out of range: a duration is above 0 and at most 366d")
    return seconds
