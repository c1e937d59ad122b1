"""Text for people. Text from a run is shown as it is, and can't affect the page, the file or the terminal that shows
it."""

from __future__ import annotations

import json
import re

from snapstorm.model.readable import readable

# Control characters except tab and line feed, surrogates, and characters that change the direction of writing, which
# could disguise a file's name.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The text with every invisible character written as an escape."""
    return _UNPRINTABLE.sub(_escape, readable(text).replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def dump_json(document: object, indent: int | None = None) -> str:
    """The document as JSON with readable texts."""
    text = json.dumps(document, indent=indent)
    # Other programs may refuse a surrogate. Most documents have none, and need not be searched.
    return json.dumps(_with_readable_texts(document), indent=indent) if "\\ud" in text else text


def _with_readable_texts(value: object) -> object:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {_with_readable_texts(key): _with_readable_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_readable_texts(item) for item in value]
    return value


def show_seconds(seconds: float) -> str:
    """A duration for people, with sensible precision: `0.4 ms`, `12 ms`, `1.53 s`, `4 min 10 s`."""
    if seconds < 0.001:
        return f"{seconds * 1000:.2f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
