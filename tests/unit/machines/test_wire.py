"""What travels is whole, in parts if it is long, and nothing else is accepted."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.errors import HarnessError
from snapstorm.machines import wire
from snapstorm.machines.wire import (
    Beat,
    CallAnswer,
    CallCancelled,
    CallFailure,
    CallRequest,
    CancelCall,
    Dismissal,
    Part,
    PartialPayloads,
    decode_to_host,
    decode_to_hub,
    encode,
    split_payload,
)

TO_HOST = [
    CallRequest(1, "i", "m", 2.5, b"\0p"),
    CancelCall(1),
    Part(1, b"p"),
    Beat(3),
    Dismissal("why"),
]
TO_HUB = [CallAnswer(1, b"p"), CallFailure(1, "K", "w", "e", None, ("d",)), CallCancelled(1), Part(1, b""), Beat(3)]


def test_each_message_arrives_as_it_was_sent() -> None:
    """In its direction; in the other one only what both sides send."""
    assert [decode_to_host(encode(message)) for message in TO_HOST] == TO_HOST
    assert [decode_to_hub(encode(message)) for message in TO_HUB] == TO_HUB
    for message in TO_HOST:
        if not isinstance(message, Part | Beat):
            with pytest.raises(msgspec.DecodeError):
                decode_to_hub(encode(message))


@given(st.binary(max_size=60))
def test_garbage_is_refused_as_such(garbage: bytes) -> None:
    """With one kind of exception."""
    for decode in (decode_to_host, decode_to_hub):
        try:
            message = decode(garbage)
        except msgspec.DecodeError:
            continue
        assert isinstance(message, msgspec.Struct)


@pytest.mark.parametrize("length", [0, 1, wire.PART_BYTES, wire.PART_BYTES + 1, 2 * wire.PART_BYTES, 3_000_000])
def test_a_payload_is_put_together_again(length: int) -> None:
    """Whatever its length; the parts are bounded, and those of two calls don't mix."""
    payload = bytes(i % 251 for i in range(length))
    ahead, rest = split_payload("it", payload)
    partial = PartialPayloads()
    for part in ahead:
        assert 0 < len(part) <= wire.PART_BYTES
        partial.add(Part(1, part))
        partial.add(Part(2, b"other"))
    assert len(rest) <= wire.PART_BYTES
    assert partial.joined(1, rest) == payload
    assert partial.joined(1, b"next") == b"next"


def test_forgotten_parts_are_no_longer_joined() -> None:
    """A cancelled call leaves none."""
    partial = PartialPayloads()
    partial.add(Part(1, b"a"))
    partial.forget(1)
    assert partial.joined(1, b"b") == b"b"


def test_a_payload_that_is_too_long_is_refused_before_anything_is_sent() -> None:
    """With its length and the limit."""
    with pytest.raises(HarnessError, match=r"an answer is too long to be sent: 83,886,081 bytes of at most 83,886,080"):
        split_payload("an answer", bytes(wire.PAYLOAD_BYTES_MAX + 1))
