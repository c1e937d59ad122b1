"""The output of a child: bounded in size, and without the secrets that the child was given."""

from __future__ import annotations

import os
from collections.abc import Iterable

import anyio

from snapstorm.runtime.redaction import REPLACEMENT, forms_of

_TAIL_BYTES_MAX = 256 << 10
_SECRET_LENGTH_MIN = 16
"""Shorter values are not secrets of ours, and would match by chance."""


class BoundedOutput:
    """Keeps the beginning and the end of a stream of any length."""

    def __init__(self, head_bytes_max: int, tail_bytes_max: int = _TAIL_BYTES_MAX) -> None:
        self._head_bytes_max = head_bytes_max
        self._tail_bytes_max = tail_bytes_max
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out_bytes = 0

    def add(self, chunk: bytes) -> None:
        room = self._head_bytes_max - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        excess = len(self._tail) - self._tail_bytes_max
        if excess > 0:
            del self._tail[:excess]
            self._left_out_bytes += excess

    def value(self) -> bytes:
        if not self._left_out_bytes:
            return bytes(self._head + self._tail)
        notice = f"\n[{self._left_out_bytes} bytes left out]\n".encode()
        return bytes(self._head + notice + self._tail)


def without_secrets(secrets: Iterable[str], text: bytes) -> bytes:
    """What a command printed, without any secret that it was given, in whatever form. Outputs become evidence and
    appear in reports."""
    for secret in secrets:
        for form in forms_of(secret) if len(secret) >= _SECRET_LENGTH_MIN else ():
            text = text.replace(form, REPLACEMENT)
    return text


async def read_all(descriptor: int, output: BoundedOutput) -> None:
    os.set_blocking(descriptor, False)
    while True:
        await anyio.wait_readable(descriptor)
        try:
            chunk = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            continue
        if not chunk:
            return
        output.add(chunk)
