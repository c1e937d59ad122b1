"""Requests and answers as bytes."""

from __future__ import annotations

import functools
from typing import Any, TypeVar, Union

import msgspec

from snapstorm.remote.requests import HostRequest

Answer = TypeVar("Answer")

_encoder = msgspec.msgpack.Encoder()


@functools.cache
def _decoder() -> msgspec.msgpack.Decoder[HostRequest[Any]]:
    """Knows every kind of request by its name."""
    return msgspec.msgpack.Decoder(Union[tuple(HostRequest.__subclasses__())])  # noqa: UP007 - made of what there is


def encode(value: msgspec.Struct) -> bytes:
    """A request or an answer, as bytes."""
    return _encoder.encode(value)


def decode_request(encoded: bytes) -> HostRequest[Any]:
    """The request that was encoded. Raises ValueError for anything else."""
    return _decoder().decode(encoded)


def decode_answer(request: HostRequest[Answer], encoded: bytes) -> Answer:
    """The answer to this request. Raises ValueError for anything else."""
    answer: Answer = msgspec.msgpack.decode(encoded, type=request.answer)
    return answer
