"""What restic's answers mean: exit statuses and words, translated once; here what all answers have in common.

From 0.17 on restic ends with 10 where there is no repository, 11 where it is locked, and 12 for a wrong password;
before, with 1 for everything. So its words are gone by, which say the same in all versions (0.14.0, 0.16.5 and 0.18.1,
measured).
"""

from __future__ import annotations

import os
import re
from typing import TypeVar

from snapstorm.errors import (
    AccessDenied,
    HarnessError,
    NoSpaceError,
    OperationTimedOut,
    RepositoryLocked,
    SnapstormError,
    TargetError,
    VersionRefused,
)
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets import command_output
from snapstorm.targets.command_output import NO_SPACE, decoded, ending, shortened, stderr_of
from snapstorm.targets.restic.blobs import blobs_named

_DENIED = re.compile(r"(?:HTTP response \(|server response(?: unexpected)?: )40[13]\b|wrong password or no key found")
"""Refused by rest-server, or a wrong password for the repository itself."""

_LOCKED = re.compile(r"repository is already locked(?: exclusively)? by (?:PID (\d+) )?")
"""`unable to create lock in backend: repository is already locked exclusively by PID 15398 on HOST by USER (...)`."""

_REFUSED_VERSION = re.compile(r"config version \d+ not supported|unsupported repository version")

_UNHELPFUL = re.compile(
    r"^(?:Is there a repository at the following location\?|(?:rest|s3):\S*|/\S*|lock was created at .*|storage ID .*"
    r"|the `unlock` command can be used.*|signal terminated received, cleaning up|Try --help for usage\.?)$"
)
"""Lines after the one that says why."""

_EXIT_ERROR = re.compile(r'^\{"message_type":"exit_error".*"message":"(.*)"\}$', re.MULTILINE)

_T = TypeVar("_T")


def check(completed: CompletedCommand, what: str, failure: type[TargetError]) -> None:
    """Raise unless the command ended by itself and with 0. `failure` says what a plain failure leaves known."""
    if completed.exit_code != 0 or completed.timed_out:
        raise explain(completed, what, failure)


def explain(completed: CompletedCommand, what: str, failure: type[TargetError]) -> SnapstormError:
    """The error that fits a command that did not do what it was asked to: `failure`, or what its words say."""
    words = stderr_of(completed)
    if NO_SPACE.search(words):
        return NoSpaceError(f"{what} found a disk full: {last_words(words)}")
    if completed.timed_out:
        return error_of(completed, OperationTimedOut, f"{what} was ended after {completed.seconds:.0f} s")
    if _LOCKED.search(words):
        return error_of(completed, RepositoryLocked, f"{what} found the repository locked: {last_words(words)}")
    if _REFUSED_VERSION.search(words):
        return error_of(completed, VersionRefused, f"{what} was refused to this version: {last_words(words)}")
    if _DENIED.search(words):
        return error_of(completed, AccessDenied, f"{what} was refused: {last_words(words)}")
    return error_of(completed, failure, f"{what} ended with {ending(completed)}: {last_words(words)}")


def error_of(completed: CompletedCommand, kind: type[TargetError], words: str) -> TargetError:
    """An error of this kind, with all that the command has printed as evidence, and the packs that it names."""
    return kind(words, evidence=evidence_of(completed), blobs=blobs_named(completed.stderr + b" " + completed.stdout))


def add_evidence(error: TargetError, printed: str) -> None:
    """Add what somebody else has printed about the same failure."""
    error.evidence += printed


def check_set_up(
    completed: CompletedCommand, problem: str, *, what: str = "restic", failure: type[HarnessError] = HarnessError
) -> None:
    """Raise `failure`, in one line that begins with the problem, unless the command ended by itself and with 0."""
    if completed.exit_code != 0 or completed.timed_out:
        raise failure(f"{problem}: {explain(completed, what, TargetError)}")


def evidence_of(completed: CompletedCommand) -> str:
    """What was asked and what came back, for the report.

    Holds no secret: restic gets them in its environment only, and prints `***` for the server's password.
    """
    return command_output.evidence_of(completed, "restic")


def last_words(text: str) -> str:
    """The line that says why it failed, short enough for one line of ours."""
    found = _EXIT_ERROR.findall(text)
    lines = "\n".join(found or [text]).replace(r"\n", "\n").splitlines()
    telling = [line.strip() for line in lines if line.strip() and not _UNHELPFUL.match(line.strip())]
    return shortened(telling[-1].removeprefix("Fatal: ")) if telling else "it said nothing"


def is_locked_by_nobody(completed: CompletedCommand) -> bool:
    """Whether it was kept out by a lock of a process that does not run any more, as far as can be told."""
    if completed.exit_code == 0 or completed.timed_out:
        return False
    locked = _LOCKED.search(stderr_of(completed))
    return locked is not None and not (locked[1] and _runs(int(locked[1])))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


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
