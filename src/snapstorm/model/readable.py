"""Texts with bytes that are not UTF-8, in a form that can be printed and stored."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]+")


def readable(text: str) -> str:
    """The text with every byte that is not UTF-8 written as an escape: `\\xff`."""
    return text if text.isascii() else _SURROGATES.sub(lambda match: _as_read(match[0]), text)


def _as_read(surrogates: str) -> str:
    try:
        # Where the locale is ASCII, Python has surrogates for the bytes of UTF-8, too.
        return surrogates.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(char):04x}" for char in surrogates)


def as_bytes_in_hex(text: str) -> str:
    """Each byte of the text in UTF-8 as an escape, for an encoding that does not have it."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode("utf-8"))
