"""What travels between the hub and its hosts: small structs as msgpack, never pickles.

A payload longer than a part travels as `Part`s before the message that it belongs to, so that other calls are not held
up behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from snapstorm.errors import HarnessError

PROTOCOL = 1
"""Raised whenever a struct or its meaning changes. Only equal numbers talk to each other."""

PART_BYTES = 1 << 20
PAYLOAD_BYTES_MAX = 80 << 20
"""A longer request or answer is refused. Evidence, the longest, is at most 64 MiB."""


class CallRequest(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Call a method once. `incarnation` is the one that is meant; another one refuses."""

    call: int
    incarnation: str
    method: str
    deadline_seconds: float
    """The host gives up by itself once so much time has passed since the request came."""
    payload: bytes


class CancelCall(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Nobody waits for this call any more. The host ends it, and answers once it has ended."""

    call: int


class Part(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """The next part of the payload of a message that follows."""

    call: int
    payload: bytes


class CallAnswer(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """What the method returned."""

    call: int
    payload: bytes


class CallFailure(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """What the method raised (see `wire_errors`)."""

    call: int
    kind: str
    """The name of a class in `snapstorm.errors`."""
    words: str
    evidence: str = ""
    blobs: tuple[str, ...] | None = ()
    """None means any blob."""
    details: tuple[str, ...] = ()
    """The fields that only this class has."""


class CallCancelled(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """A call was cancelled, and all that it did has ended."""

    call: int


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=7, gc=False):
    """A sign of life, from either side. The hub answers each."""

    number: int


class Dismissal(msgspec.Struct, frozen=True, array_like=True, tag=8, gc=False):
    """The hub needs this host no longer, or does not want it. An empty reason means that the run is over."""

    reason: str


class Hello(msgspec.Struct, frozen=True):
    """What a host says of itself before it is admitted."""

    protocol: int
    name: str
    incarnation: str
    snapstorm: str
    python: str
    distributed: str
    facts: dict[str, str] = {}


class Welcome(msgspec.Struct, frozen=True):
    """The answer to a hello. Where there are problems, the host is not admitted."""

    problems: tuple[str, ...] = ()
    is_taken: bool = False
    """Whether the only problem is that the name is taken, perhaps by this machine's incarnation before."""
    lost_after_seconds: float = 0.0
    """After so much silence either side takes the other for lost."""


ToHost: TypeAlias = CallRequest | CancelCall | Part | Beat | Dismissal
ToHub: TypeAlias = CallAnswer | CallFailure | CallCancelled | Part | Beat

_encoder = msgspec.msgpack.Encoder()
_to_host: msgspec.msgpack.Decoder[ToHost] = msgspec.msgpack.Decoder(ToHost)
_to_hub: msgspec.msgpack.Decoder[ToHub] = msgspec.msgpack.Decoder(ToHub)

encode = _encoder.encode
"""The bytes of a message."""
decode_to_host = _to_host.decode
decode_to_hub = _to_hub.decode
"""Raise msgspec.DecodeError for anything else."""


def split_payload(what: str, payload: bytes) -> tuple[Iterator[bytes], bytes]:
    """The parts that travel ahead, and the rest. Raises HarnessError for a payload that is too long."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise HarnessError(f"{what} is too long to be sent: {len(payload):,} bytes of at most {PAYLOAD_BYTES_MAX:,}")
    last = max(0, (len(payload) - 1) // PART_BYTES * PART_BYTES)
    return (payload[begin : begin + PART_BYTES] for begin in range(0, last, PART_BYTES)), payload[last:]


class PartialPayloads:
    """The parts that have come of payloads that are not complete yet, by call."""

    def __init__(self) -> None:
        self._by_call: dict[int, list[bytes]] = {}

    def add(self, part: Part) -> None:
        """Keep a part."""
        self._by_call.setdefault(part.call, []).append(part.payload)

    def joined(self, call: int, rest: bytes) -> bytes:
        """The whole payload."""
        before = self._by_call.pop(call, None)
        return rest if before is None else b"".join((*before, rest))

    def forget(self, call: int) -> None:
        """Drop the parts of a call."""
        self._by_call.pop(call, None)
