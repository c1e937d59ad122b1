"""What Kopia's answers mean: exit statuses, stderr and JSON, translated once; here what all answers have in common.

Kopia exits with 0 or 1 only, and 0 does not mean done: an interrupted `snapshot create` exits 0, and so does a
maintenance run that found another one at work. So each function of `snapshot_answers` and `repository_answers` says
what an acknowledged success is.

An answer that differs in kind from an honest Kopia's can't be read, and is judged as such.
"""

from __future__ import annotations

import re
from typing import TypeVar

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
from snapstorm.targets import command_output
from snapstorm.targets.command_output import NO_SPACE, decoded, ending, last_line, stderr_of
from snapstorm.targets.kopia.blobs import packs_named

_DENIED = re.compile(r"code = PermissionDenied|(?:: |desc = )access denied\b|: invalid repository password")
"""Refused at the door (`rpc error: code = PermissionDenied desc = access denied for u1@h1`), refused one manifest of
another user (`unable to find manifest entries: access denied`), or a wrong password for the repository itself; as
0.19.0, 0.22.3 and 0.23.1 print it (measured). A file of ours that can't be read says `permission denied`."""

_REFUSED_VERSION = re.compile(
    r"This version of Kopia does not support feature|repository upgrade in progress", re.IGNORECASE
)
"""By design: `internal/feature/feature.go` and `repo/open.go`, the same from 0.19.0 to 0.23.1."""

_T = TypeVar("_T")


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
    return error_of(completed, failure, f"{what} ended with {ending(completed)}: {last_words(words)}")


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
    lines = [line.strip() for line in text.splitlines()]
    return last_line("\n".join(line.removeprefix("ERROR ") for line in lines if not line.startswith("WARN ")))


def evidence_of(completed: CompletedCommand) -> str:
    """What was asked and what came back, for the report.

    Holds no secret: Kopia gets them in its environment only, and prints none.
    """
    return command_output.evidence_of(completed, "kopia")


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
