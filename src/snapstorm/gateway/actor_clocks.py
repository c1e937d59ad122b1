"""Tells programs the time over HTTP: `GET /clock/ACTOR?valid_ns=N` answers what that actor's own clock says.

The answer is a JSON object: `time`, as RFC 3339 to the nanosecond, and `validFor`, in nanoseconds. A program that lives
by it adds the real time that passes, and asks again once that is as long.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs, quote, unquote

from snapstorm.gateway.s3 import Answer
from snapstorm.runtime.clock import NS_PER_SECOND, rfc3339_of

_PREFIX = b"/clock/"


def clock_url(endpoint: str, actor: str, valid_seconds: float) -> str:
    """Where a program asks that is to live by this actor's clock, and to ask again after so many seconds."""
    return f"{endpoint}{_PREFIX.decode()}{quote(actor, safe='')}?valid_ns={round(valid_seconds * NS_PER_SECOND)}"


def is_of_clock(raw_path: bytes) -> bool:
    """Whether a request asks for the time, and not for something stored."""
    return raw_path.startswith(_PREFIX)


def clock_answer(method: str, raw_path: bytes, query: bytes, now_ns: Callable[[str], int]) -> Answer:
    """The answer to a request for the time. `now_ns` knows it by actor."""
    valid_ns = parse_qs(query.decode("ascii", "replace")).get("valid_ns", ["0"])[0]
    if method != "GET":
        return Answer(405)
    if not valid_ns.isdecimal():
        return Answer(400, body=b"valid_ns must be a number of nanoseconds\n", content_type=b"text/plain")
    actor = unquote(raw_path.removeprefix(_PREFIX).decode("ascii", "replace"))
    told = {"time": rfc3339_of(now_ns(actor)), "validFor": int(valid_ns)}
    return Answer(body=json.dumps(told).encode(), content_type=b"application/json")
