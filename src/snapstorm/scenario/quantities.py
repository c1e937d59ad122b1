"""Reads sizes, durations and dates as people write them."""

from __future__ import annotations

import re

from pydantic import AwareDatetime, TypeAdapter, ValidationError

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


YEAR_MIN, YEAR_MAX = 2000, 2199
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_moments: TypeAdapter[AwareDatetime] = TypeAdapter(AwareDatetime)


def read_moment(text: object) -> str:
    """A moment as `2022-01-01T00:00:00Z`, from that, or from a date, whose first second it then is. Raises ValueError
    with what is allowed."""
    typed = str(text).strip()
    try:
        moment = _moments.validate_python(f"{typed}T00:00:00Z" if _DATE.fullmatch(typed) else typed)
    except ValidationError:
        raise ValueError(f"{typed!r} is no moment: write it as 2022-01-01 or 2022-01-01T12:00:00Z") from None
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise ValueError(f"{typed!r} is out of range: the year is from {YEAR_MIN} to {YEAR_MAX}")
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


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


SKEW_SECONDS_MAX = 3_660 * 86400.0


def read_skew(text: str | float) -> float:
    """By how many seconds a clock is ahead, from `"5h"`, or behind, below 0, from `"-2d"`. Raises ValueError with what
    is allowed."""
    typed = str(text).strip()
    match = _DURATION.fullmatch(typed.removeprefix("-"))
    if match is None or isinstance(text, bool):
        raise ValueError(f"{text!r} is no skew: write a duration such as 90s, 5h or -2d")
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
    if seconds > SKEW_SECONDS_MAX:
        raise ValueError(f"{text!r} is out of range: a clock is at most 3660d ahead or behind")
    return -seconds if typed.startswith("-") else seconds
