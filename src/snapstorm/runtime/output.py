"""The output of a child: bounded in size, and without the secrets that the child was given."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio

from snapstorm.runtime.redaction import REPLACEMENT, forms_of

_TAIL_BYTES_MAX = 256 << 10
_SECRET_LENGTH_MIN = 16
"""Shorter values are not secrets of ours, and would match by chance."""


@dataclass
class BoundedOutput:
    """Keeps the beginning and the end of a stream of any length."""

    head_bytes_max: int
    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)
    _left_out_bytes: int = 0

    async def read_from(self, descriptor: int) -> None:
        """Read until the stream ends."""
        os.set_blocking(descriptor, False)
        while True:
            await anyio.wait_readable(descriptor)
            try:
                chunk = os.read(descriptor, 1 << 20)
            except BlockingIOError:
                continue
            if not chunk:
                return
            room = self.head_bytes_max - len(self._head)
            self._head += chunk[:room]
            self._tail += chunk[room:]
            excess = len(self._tail) - _TAIL_BYTES_MAX
            if excess > 0:
                del self._tail[:excess]
                self._left_out_bytes += excess

    def value(self, secrets: Iterable[str]) -> bytes:
        """What was read, without these secrets."""
        notice = f"\n[{self._left_out_bytes} bytes left out]\n".encode() if self._left_out_bytes else b""
        return without_secrets(secrets, bytes(self._head + notice + self._tail))


def without_secrets(secrets: Iterable[str], text: bytes) -> bytes:
    """What a command printed, without any secret that it was given, in whatever form. Outputs become evidence and
    appear in reports."""
    for secret in secrets:
        for form in forms_of(secret) if len(secret) >= _SECRET_LENGTH_MIN else ():
            text = text.replace(form, REPLACEMENT)
    return text
