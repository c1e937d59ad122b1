"""What borg's answers mean, on answers that the real one gave (1.2.4 and 1.4.5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snapstorm.errors import (
    AccessDenied,
    NoSpaceError,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    RepositoryLocked,
    SnapstormError,
    TargetError,
)
from snapstorm.model.action_results import Particulars
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.borg.answers import Answers
from snapstorm.targets.borg.comment import Comment

ANSWERS = Answers("c1@h")
CREATED = {
    "archive": {
        "name": "r1-c1-2",
        "start": "2026-11-30T18:26:48.000000",
        "end": "2026-11-30T18:26:49.000000",
        "stats": {"compressed_size": 91, "deduplicated_size": 91, "nfiles": 2, "original_size": 5},
    },
    "repository": {"location": "/r"},
}
PARTICULARS = Particulars(began_us=1796063208_000000, ended_us=1796063209_000000)
COMMENT = '{"client":"c1@h","source":"/d","testbed":"t","operation":"r1-c1-2"}'
LISTED = {
    "archive": "r1-c1-2",
    "barchive": "r1-c1-2",
    "comment": COMMENT,
    "start": "2026-11-30T18:26:48.000000",
    "end": "2026-11-30T18:26:49.000000",
    "name": "r1-c1-2",
    "username": "c1",
    "hostname": "h",
}
DENIED = (
    '{"type": "log_message", "time": 1, "message": "Connection closed by remote host. Is borg working on the server?", '
    '"levelname": "ERROR", "name": "borg.archiver", "msgid": "ConnectionClosedWithHint"}\n'
    "c1@h: Permission denied (key).\n"
)
FULL = '{"type": "log_message", "message": "OSError: [Errno 28] No space left on device", "levelname": "ERROR"}\n'


def line(message: str, msgid: str | None = None) -> str:
    return json.dumps({"type": "log_message", "message": message, "levelname": "ERROR", "msgid": msgid}) + "\n"


LOCKED = line("Failed to create/acquire the lock /r/lock.exclusive (timeout).", "LockTimeout")
ELSEWHERE = line("Repository path not allowed: /r", "PathNotAllowed")
FLIPPED = line("Data integrity error: Segment entry checksum mismatch [segment 12, offset 8]", "IntegrityError")
LOST = line(
    "Traceback (most recent call last):\n\n  File ...\n\nFileNotFoundError: [Errno 2] No such file or directory: "
    "'/bed/repository/c1@h/data/0/18'\n",
    "FileNotFoundError",
) + line("Borg server: Platform: Linux vm\nPlatform: Linux vm\nSSH_ORIGINAL_COMMAND: None\n")
MISCOUNTED = line("Index object count mismatch.") + line("Finished full repository check, errors found.")


def ended(exit_code: int = 0, stdout: object = b"", stderr: str = "", *, timed_out: bool = False) -> CompletedCommand:
    return CompletedCommand(
        argv=("/bin/borg", "some", "command"),
        env={},
        exit_code=exit_code,
        stdout=stdout if isinstance(stdout, bytes) else json.dumps(stdout).encode(),
        stderr=stderr.encode(),
        began_seconds=0.0,
        seconds=1.0,
        timed_out=timed_out,
        cwd=Path("/"),
    )


def test_a_receipt_says_what_was_taken() -> None:
    """Counts of files that have one name or several, and whole seconds, which are UTC."""
    receipt = ANSWERS.read_receipt(ended(stdout=CREATED), counts_bytes=True)
    assert (receipt.id, receipt.files, receipt.size_bytes, receipt.counts_files_once) == ("r1-c1-2", 2, 5, True)
    assert (receipt.began_us, receipt.ended_us) == (PARTICULARS.began_us, PARTICULARS.ended_us)
    assert ANSWERS.read_receipt(ended(stdout=CREATED), counts_bytes=False).size_bytes is None


@pytest.mark.parametrize("code", [1, 100, 107])
def test_only_0_acknowledges(code: int) -> None:
    """With a warning something may be missing, whatever the answer says."""
    with pytest.raises(OperationPartial):
        ANSWERS.read_receipt(ended(code, CREATED, line("/d/f: file changed while we backed it up")), counts_bytes=True)


@pytest.mark.parametrize("output", [b"", b"{}", b"[", b'{"archive": {"name": "a"}}'])
def test_a_receipt_that_can_not_be_read_acknowledges_nothing(output: bytes) -> None:
    """With exit status 0."""
    with pytest.raises(OperationUnknown, match="can't be read"):
        ANSWERS.read_receipt(ended(stdout=output), counts_bytes=True)


def test_a_listing_shows_whose_archives_are() -> None:
    """By their comments; a checkpoint has none, and is no archive that was asked for."""
    cut_off = {**LISTED, "name": "r1-c1-9.checkpoint.1", "comment": ""}
    strange = {**LISTED, "name": "mine", "comment": "by hand"}
    first, second, third = ANSWERS.read_listing(ended(stdout={"archives": [LISTED, cut_off, strange]}))
    assert (first.id, first.client, first.source, first.testbed) == ("r1-c1-2", "c1@h", "/d", "t")
    assert (first.operation, first.incomplete, first.particulars) == ("r1-c1-2", None, PARTICULARS)
    assert (second.operation, second.incomplete, second.testbed) == ("r1-c1-9", "a checkpoint", None)
    assert (third.client, third.operation, third.incomplete) == ("c1@h", None, None)


def test_a_comment_is_no_pattern() -> None:
    """Borg replaces what stands in braces; doubled, they stand for themselves."""
    option = Comment("c1@h", "/d/{now}", "t", "r1-c1-2").as_option
    assert option.format() == COMMENT.replace('"/d"', '"/d/{now}"')


@pytest.mark.parametrize(
    ("completed", "kind", "words"),
    [
        (ended(81, stderr=DENIED), AccessDenied, "Permission denied"),
        (ended(83, stderr=ELSEWHERE), AccessDenied, "not allowed"),
        (ended(2, stderr=LOCKED), RepositoryLocked, "timeout"),
        (ended(73, stderr=LOCKED), RepositoryLocked, "timeout"),
        (ended(2, stderr=FULL), NoSpaceError, "No space left"),
        (ended(-9, stderr=FULL, timed_out=True), NoSpaceError, "No space left"),
        (ended(-9, timed_out=True), OperationTimedOut, "was ended after"),
        (ended(-9), OperationUnknown, "signal 9: it said nothing"),
        (ended(2, stderr=LOST), OperationUnknown, "No such file or directory: '/bed/repository/c1@h/data/0/18'"),
    ],
)
def test_a_failure_is_told_by_what_borg_calls_it(
    completed: CompletedCommand, kind: type[SnapstormError], words: str
) -> None:
    """Whatever the exit status: 1.2.4 has 2 for all. What it says last is the reason, without where it broke."""
    error = ANSWERS.explain(completed, "create", OperationUnknown)
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    ("stderr", "about", "not_about"),
    [
        (FLIPPED, ["c1@h.12"], ["c1@h.1", "c2@h.12"]),
        (LOST, ["c1@h.18"], ["c1@h.1", "c2@h.18"]),
        (MISCOUNTED, ["c1@h.1", "c1@h.12"], ["c2@h.1"]),
        (LOCKED, [], ["c1@h.1"]),
        (line("Archive a does not exist", "Archive.DoesNotExist"), [], ["c1@h.1"]),
    ],
)
def test_a_failure_is_about_the_segments_that_it_names(stderr: str, about: list[str], not_about: list[str]) -> None:
    """Or, where it speaks of damage and names none, about any of its repository."""
    error = ANSWERS.explain(ended(2, stderr=stderr), "extract", OperationFailed)
    assert isinstance(error, TargetError)
    assert all(blob in error.blobs for blob in about)
    assert not any(blob in error.blobs for blob in not_about)


def test_a_deletion_that_finds_nothing_has_failed() -> None:
    """1.2.4 ends with 0 then, 1.4.5 with 1."""
    for code in (0, 1):
        with pytest.raises(OperationFailed, match="did not find"):
            ANSWERS.check_deleted(ended(code, stderr=line("Archive nope not found (1/1).")))
    ANSWERS.check_deleted(ended())
    with pytest.raises(OperationUnknown):
        ANSWERS.check_deleted(ended(2, stderr=line("something else")))


def test_a_check_that_finds_damage_is_not_one_that_fails() -> None:
    """Only the first says anything about the data."""
    for found in (ended(1, stderr=MISCOUNTED), ended(90, stderr=FLIPPED), ended(2, stderr=FLIPPED)):
        with pytest.raises(OperationPartial) as caught:
            ANSWERS.check_verified(found, "check")
        assert "c1@h.3" in caught.value.blobs
    with pytest.raises(RepositoryLocked):
        ANSWERS.check_verified(ended(73, stderr=LOCKED), "check")
    with pytest.raises(NoSpaceError):
        ANSWERS.check_verified(ended(1, stderr=FULL), "check")
    ANSWERS.check_verified(ended(), "check")
