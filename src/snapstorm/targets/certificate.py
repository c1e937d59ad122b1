"""A certificate for a server on this machine, signed by itself, for servers that make none themselves.

Python's library can't make one, and a program that can may be missing. So this writes it: an ECDSA key on the curve
P-256 (SEC 2, section 2.4.2), signed with SHA-256 (FIPS 186-4), in the encodings of RFC 5280 and RFC 5915. The key is
for loopback connections of a testbed, so the arithmetic need not take constant time.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_A = _P - 3
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_BYTES = 32

_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_P256 = "1.2.840.10045.3.1.7"
_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
_COMMON_NAME = "2.5.4.3"
_BASIC_CONSTRAINTS = "2.5.29.19"
_SUBJECT_ALT_NAME = "2.5.29.17"
_EXTENDED_KEY_USAGE = "2.5.29.37"
_SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1"

_LOOPBACK = bytes((127, 0, 0, 1))
_VALID_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
_VALID_DAYS = 365 * 49

_Point: TypeAlias = tuple[int, int] | None
"""None is the point at infinity."""


def write_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate for 127.0.0.1 and its key, of mode 0600, unless both are there."""
    if certificate.exists() and key.exists():
        return
    secret = secrets.randbelow(_ORDER - 1) + 1
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(key, "EC PRIVATE KEY", _private_key(secret))
    _write(certificate, "CERTIFICATE", _certificate(secret))


def _write(path: Path, kind: str, content: bytes) -> None:
    lines = "\n".join(textwrap.wrap(base64.b64encode(content).decode(), 64))
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n")


def _certificate(secret: int) -> bytes:
    algorithm = _sequence(_identifier(_ECDSA_WITH_SHA256))
    name = _sequence(
        _tagged(0x31, _sequence(_identifier(_COMMON_NAME), _tagged(0x0C, b"snapstorm")))  # A set of one attribute.
    )
    ends = _VALID_BEFORE + timedelta(days=_VALID_DAYS)
    extensions = _sequence(
        _extension(_BASIC_CONSTRAINTS, _sequence()),
        _extension(_EXTENDED_KEY_USAGE, _sequence(_identifier(_SERVER_AUTHENTICATION))),
        _extension(_SUBJECT_ALT_NAME, _sequence(_tagged(0x87, _LOOPBACK))),
    )
    signed = _sequence(
        _tagged(0xA0, _integer(2)),  # Version 3.
        _integer(secrets.randbits(126) + 1),
        algorithm,
        name,
        _sequence(_moment(_VALID_BEFORE), _moment(ends)),
        name,
        _sequence(_sequence(_identifier(_EC_PUBLIC_KEY), _identifier(_P256)), _bits(_public_key(secret))),
        _tagged(0xA3, extensions),
    )
    return _sequence(signed, algorithm, _bits(_signature(secret, signed)))


def _private_key(secret: int) -> bytes:
    return _sequence(
        _integer(1),
        _tagged(0x04, secret.to_bytes(_BYTES, "big")),
        _tagged(0xA0, _identifier(_P256)),
        _tagged(0xA1, _bits(_public_key(secret))),
    )


def _signature(secret: int, content: bytes) -> bytes:
    digest = int.from_bytes(hashlib.sha256(content).digest(), "big")
    while True:
        once = secrets.randbelow(_ORDER - 1) + 1
        point = _times(once, _GENERATOR)
        assert point is not None
        first = point[0] % _ORDER
        second = pow(once, -1, _ORDER) * (digest + first * secret) % _ORDER
        if first and second:
            return _sequence(_integer(first), _integer(second))


def _public_key(secret: int) -> bytes:
    point = _times(secret, _GENERATOR)
    assert point is not None
    return b"\x04" + b"".join(coordinate.to_bytes(_BYTES, "big") for coordinate in point)


def _times(number: int, point: _Point) -> _Point:
    total: _Point = None
    while number:
        if number & 1:
            total = _plus(total, point)
        point = _plus(point, point)
        number >>= 1
    return total


def _plus(one: _Point, other: _Point) -> _Point:
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % _P == 0:
        return None
    if one == other:
        slope = (3 * one[0] ** 2 + _A) * pow(2 * one[1], -1, _P) % _P
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, _P) % _P
    x = (slope**2 - one[0] - other[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P


def _tagged(tag: int, content: bytes) -> bytes:
    """A value of ASN.1 in the encoding DER."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _integer(number: int) -> bytes:
    return _tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _bits(content: bytes) -> bytes:
    return _tagged(0x03, b"\x00" + content)


def _moment(moment: datetime) -> bytes:
    return _tagged(0x17, f"{moment:%y%m%d%H%M%SZ}".encode())


def _extension(identifier: str, value: bytes) -> bytes:
    return _sequence(_identifier(identifier), _tagged(0x04, value))


def _identifier(dotted: str) -> bytes:
    first, second, *others = map(int, dotted.split("."))
    content = bytearray([40 * first + second])
    for number in others:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(0x80 | number & 0x7F)
        content += bytes(reversed(digits))
    return _tagged(0x06, bytes(content))
