"""What Kopia's answers mean: exit statuses, stderr and JSON, translated once; here what all answers have in common.

Kopia exits with 0 or 1 only, and 0 does not mean done: an interrupted `snapshot create` exits 0, and so does a
maintenance run that found another one at work. So each function of `snapshot_answers` and `repository_answers` says
what an acknowledged success is.

An answer that differs in kind from an honest Kopia's can't be read, and is judged as such.
"""

from __future__ import annotations

import re

from snapstorm.errors import AccessDenied, TargetError, VersionRefused
from snapstorm.targets.answers import AnswerReader, KnownFailure
from snapstorm.targets.command_output import last_line
from snapstorm.targets.kopia.blobs import packs_named

_DENIED = re.compile(r"code = PermissionDenied|(?:: |desc = )access denied\b|: invalid repository password")
"""Refused at the door (`rpc error: code = PermissionDenied desc = access denied for u1@h1`), refused one manifest of
another user (`unable to find manifest entries: access denied`), or a wrong password for the repository itself; as
0.19.0, 0.22.3 and 0.23.1 print it (measured). A file of ours that can't be read says `permission denied`."""

_REFUSED_VERSION = re.compile(
    r"This version of Kopia does not support feature|repository upgrade in progress", re.IGNORECASE
)
"""By design: `internal/feature/feature.go` and `repo/open.go`, the same from 0.19.0 to 0.23.1."""


def last_words(text: str) -> str:
    """The last line that says something, short enough for one line of ours: what it was about, and why it failed."""
    # After an error 0.19.0 warns at length that it could not send a notification of it.
    lines = [line.strip() for line in text.splitlines()]
    return last_line("\n".join(line.removeprefix("ERROR ") for line in lines if not line.startswith("WARN ")))


def add_evidence(error: TargetError, printed: str) -> None:
    """Add what somebody else has printed about the same failure, which may name packs, too."""
    error.evidence += printed
    error.blobs = packs_named(error.evidence.encode())


_READER = AnswerReader(
    program="kopia",
    title="Kopia",
    failures=(
        KnownFailure(_REFUSED_VERSION, VersionRefused, "was refused to this version"),
        KnownFailure(_DENIED, AccessDenied, "was refused"),
    ),
    last_words=last_words,
    blobs_named=packs_named,
)
"""Evidence holds no secret: Kopia gets them in its environment only, and prints none."""

check = _READER.check
explain = _READER.explain
error_of = _READER.error_of
check_set_up = _READER.check_set_up
evidence_of = _READER.evidence_of
read = _READER.read
unreadable = _READER.unreadable
