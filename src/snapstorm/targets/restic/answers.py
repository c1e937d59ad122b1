"""Tells why a command of restic has failed, by its words. What answers of one kind say is read in other modules.

From 0.17 on restic ends with 10 where there is no repository, 11 where it is locked, and 12 for a wrong password;
before, with 1 for everything. So its words are gone by, which say the same in all versions (0.14.0, 0.16.5 and 0.18.1,
measured).
"""

from __future__ import annotations

import os
import re

from snapstorm.errors import AccessDenied, RepositoryLocked, TargetError, VersionRefused
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.answers import AnswerReader, KnownFailure
from snapstorm.targets.command_output import shortened, stderr_of
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

_STACK_FRAME = re.compile(r"^\S+\n\t\S+:\d+$", re.MULTILINE)
"""A function and where it stands in the source. `prune` ends with them where it can't read what it needs (0.18.1)."""

_EXIT_ERROR = re.compile(r'^\{"message_type":"exit_error".*"message":"(.*)"\}$', re.MULTILINE)


def last_words(text: str) -> str:
    """The line that says why it failed, short enough for one line of ours."""
    found = _EXIT_ERROR.findall(text)
    said = _STACK_FRAME.sub("", "\n".join(found or [text]).replace(r"\n", "\n").replace(r"\t", "\t"))
    telling = [line.strip() for line in said.splitlines() if line.strip() and not _UNHELPFUL.match(line.strip())]
    if len(telling) > 1 and _STACK_FRAME.search(text):
        telling.append(f"{telling[-1]}: {telling[-2]}")  # With a stack, the cause comes before what it has failed.
    return shortened(telling[-1].removeprefix("Fatal: ")) if telling else "it said nothing"


def add_evidence(error: TargetError, printed: str) -> None:
    """Add what somebody else has printed about the same failure."""
    error.evidence += printed


_READER = AnswerReader(
    program="restic",
    title="restic",
    failures=(
        KnownFailure(_LOCKED, RepositoryLocked, "found the repository locked"),
        KnownFailure(_REFUSED_VERSION, VersionRefused, "was refused to this version"),
        KnownFailure(_DENIED, AccessDenied, "was refused"),
    ),
    last_words=last_words,
    blobs_named=blobs_named,
)
"""Evidence holds no secret: restic gets them in its environment only, and prints `***` for the server's password."""

check = _READER.check
explain = _READER.explain
error_of = _READER.error_of
check_set_up = _READER.check_set_up
evidence_of = _READER.evidence_of
read = _READER.read
unreadable = _READER.unreadable


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
