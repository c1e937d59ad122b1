"""Reads sizes as people write them."""

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
