"""What Kopia's answers mean: exit statuses, stderr and JSON, translated once; here what all answers have in common.

Kopia exits with 0 or 1 only, and 0 does not mean done: an interrupted `snapshot create` exits 0, and so does a
maintenance run that found another one at work. So each function of `snapshot_answers` and `repository_answers` says
what an acknowledged success is.

JSON is decoded strictly: what it says goes on command lines, to disk and into the ledger, which can't hold everything
that JSON can. An answer that differs in kind from an honest Kopia's can't be read, and is judged as such.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from snapstorm.errors import (
    AccessDenied,
    HarnessError,
    NoSpaceError,
    OperationTimedOut,
    SnapstormError,
    TargetError,
    VersionRefused,
)
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.kopia.blobs import packs_named

_EVIDENCE_CHARACTERS_MAX = 8_000
_LAST_WORDS_CHARACTERS_MAX = 300

_DENIED = re.compile(r"code = PermissionDenied|(?:: |desc = )access denied\b|: invalid repository password")
"""Refused at the door (`rpc error: code = PermissionDenied desc = access denied for u1@h1`), refused one manifest of
another user (`unable to find manifest entries: access denied`), or a wrong password for the repository itself; as
0.19.0, 0.22.3 and 0.23.1 print it (measured). A file of ours that can't be read says `permission denied`."""

NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)

_REFUSED_VERSION = re.compile(
    r"This version of Kopia does not support feature|repository upgrade in progress", re.IGNORECASE
)
"""By design: `internal/feature/feature.go` and `repo/open.go`, the same from 0.19.0 to 0.23.1."""

COUNT_MAX = 2**63 - 1
"""The most that the ledger can store, and that Kopia can count."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]

_T = TypeVar("_T")

_WRITABLE = r"^[^\x00\ud800-\udfff]*\Z"
"""Neither NUL, which no path or argument can hold, nor half a surrogate pair, which has no UTF-8. Kopia itself prints
U+FFFD for what is not UTF-8 (measured)."""

Text: TypeAlias = Annotated[str, msgspec.Meta(pattern=_WRITABLE)]
Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=_WRITABLE, min_length=1, max_length=1000)]
"""Kopia's own have 32 or 64 characters. They go on command lines, so there is an end to their length."""


def check(completed: CompletedCommand, what: str, failure: type[TargetError]) -> None:
    """Raise unless the command ended by itself and with 0. `failure` says what a plain failure leaves known."""
    if completed.exit_code != 0 or completed.timed_out:
        raise explain(completed, what, failure)


def explain(completed: CompletedCommand, what: str, failure: type[TargetError]) -> SnapstormError:
    """The error that fits a command that did not do what it was asked to: `failure`, or what its words say."""
    words = stderr_of(completed)
    if NO_SPACE.search(words):
        # Before anything else: every file that it can write is on a disk of ours, and a full one makes it hang.
        return NoSpaceError(f"{what} found a disk full: {last_words(words)}")
    if completed.timed_out:
        return error_of(completed, OperationTimedOut, f"{what} was ended after {completed.seconds:.0f} s")
    if _REFUSED_VERSION.search(words):
        return error_of(completed, VersionRefused, f"{what} was refused to this version: {last_words(words)}")
    if _DENIED.search(words):
        return error_of(completed, AccessDenied, f"{what} was refused: {last_words(words)}")
    return error_of(completed, failure, f"{what} ended with {_ending(completed)}: {last_words(words)}")


def error_of(completed: CompletedCommand, kind: type[TargetError], words: str) -> TargetError:
    """An error of this kind, with all that the command has printed as evidence, and the packs that it names."""
    return kind(words, evidence=evidence_of(completed), blobs=packs_named(completed.stderr + b" " + completed.stdout))


def add_evidence(error: TargetError, printed: str) -> None:
    """Add what somebody else has printed about the same failure, which may name packs, too."""
    error.evidence += printed
    error.blobs = packs_named(error.evidence.encode())


def check_set_up(
    completed: CompletedCommand, problem: str, *, what: str = "Kopia", failure: type[HarnessError] = HarnessError
) -> None:
    """Raise `failure`, in one line that begins with the problem, unless the command ended by itself and with 0."""
    if completed.exit_code != 0 or completed.timed_out:
        raise failure(f"{problem}: {explain(completed, what, TargetError)}")


def last_words(text: str) -> str:
    """The last line that says something, short enough for one line of ours: what it was about, and why it failed."""
    # After an error 0.19.0 warns at length that it could not send a notification of it.
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("WARN ")]
    return shortened(lines[-1].removeprefix("ERROR ")) if lines else "it said nothing"


def shortened(line: str) -> str:
    """Without its middle: Kopia's errors name what was tried first, and the cause last."""
    half = _LAST_WORDS_CHARACTERS_MAX // 2
    return line if len(line) <= _LAST_WORDS_CHARACTERS_MAX else f"{line[:half]} ... {line[-half:]}"


def evidence_of(completed: CompletedCommand) -> str:
    """What was asked and what came back, for the report.

    Holds no secret: Kopia gets them in its environment only, and prints none.
    """
    head = f"$ kopia {' '.join(completed.argv[1:])}\n{_ending(completed)} after {completed.seconds:.1f} s\n"
    return "\n".join((head, _bounded(stderr_of(completed)), _bounded(completed.stdout.decode("utf-8", "replace"))))


def _bounded(text: str) -> str:
    """The beginning and the end."""
    if len(text) <= _EVIDENCE_CHARACTERS_MAX:
        return text
    half = _EVIDENCE_CHARACTERS_MAX // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def _ending(completed: CompletedCommand) -> str:
    return f"signal {-completed.exit_code}" if completed.exit_code < 0 else f"exit status {completed.exit_code}"


def stderr_of(completed: CompletedCommand) -> str:
    """What it wrote on stderr, as text."""
    return completed.stderr.decode("utf-8", "replace")


def read(completed: CompletedCommand, what: str, kind: type[_T], failure: type[TargetError]) -> _T:
    """What the command says on stdout. Raises as `check` does, and `failure` also for what can't be read."""
    check(completed, what, failure)
    try:
        return decoded(completed.stdout, kind)
    except ValueError as error:
        raise unreadable(completed, what, failure, error) from error


def unreadable(completed: CompletedCommand, what: str, failure: type[TargetError], reason: object) -> TargetError:
    """The failure of a command that ended well and whose JSON can't be read."""
    return error_of(completed, failure, f"{what} exited with 0 but its JSON can't be read: {reason}")


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
