"""What commands of a target have printed: read strictly, and shown as evidence. What it means, each target knows.

JSON is decoded strictly: what it says goes on command lines, to disk and into the ledger, which can't hold everything
that JSON can.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from snapstorm.runtime.process import CompletedCommand

_EVIDENCE_CHARACTERS_MAX = 8_000
_LAST_WORDS_CHARACTERS_MAX = 300

NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
"""As Linux says it."""

COUNT_MAX = 2**63 - 1
"""The most that the ledger can store."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]

_T = TypeVar("_T")

_WRITABLE = r"^[^\x00\ud800-\udfff]*\Z"
"""Neither NUL, which no path or argument can hold, nor half a surrogate pair, which has no UTF-8. Programs print U+FFFD
for what is not UTF-8."""

Text: TypeAlias = Annotated[str, msgspec.Meta(pattern=_WRITABLE)]
Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=_WRITABLE, min_length=1, max_length=1000)]
"""It goes on command lines, so there is an end to its length."""


def stderr_of(completed: CompletedCommand) -> str:
    """What it wrote on stderr, as text."""
    return completed.stderr.decode("utf-8", "replace")


def shortened(line: str) -> str:
    """Without its middle: errors name what was tried first, and the cause last."""
    half = _LAST_WORDS_CHARACTERS_MAX // 2
    return line if len(line) <= _LAST_WORDS_CHARACTERS_MAX else f"{line[:half]} ... {line[-half:]}"


def last_line(text: str) -> str:
    """The last line that says something, short enough for one line of ours."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return shortened(lines[-1]) if lines else "it said nothing"


def ending(completed: CompletedCommand) -> str:
    """How it ended, in words."""
    return f"signal {-completed.exit_code}" if completed.exit_code < 0 else f"exit status {completed.exit_code}"


def evidence_of(completed: CompletedCommand, name: str) -> str:
    """What the program of this name was asked and what came back, for the report."""
    head = f"$ {name} {' '.join(completed.argv[1:])}\n{ending(completed)} after {completed.seconds:.1f} s\n"
    return "\n".join((head, _bounded(stderr_of(completed)), _bounded(completed.stdout.decode("utf-8", "replace"))))


def _bounded(text: str) -> str:
    """The beginning and the end."""
    if len(text) <= _EVIDENCE_CHARACTERS_MAX:
        return text
    half = _EVIDENCE_CHARACTERS_MAX // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def decoded(output: bytes, kind: type[_T]) -> _T:
    """The JSON as a value of this kind. Fields that it does not have are passed over, and may hold anything.

    Raises ValueError, which names the field that is wrong.
    """
    with contextlib.suppress(ValueError, RecursionError):
        return msgspec.json.decode(output, type=kind)
    try:
        # Once more, in twice the time: of half a surrogate pair the above says at which byte, but not in which field.
        return msgspec.convert(json.loads(output), type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
