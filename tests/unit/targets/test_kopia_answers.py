"""What Kopia's answers mean, on answers that the real one gave (0.19.0 to 0.23.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from snapstorm.errors import (
    AccessDenied,
    NoSpaceError,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    SnapstormError,
)
from snapstorm.model.protocols import ListedSnapshot, SnapshotReceipt
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.kopia import answers

ROOT = {"name": "src", "type": "d", "summ": {"size": 17, "files": 5, "symlinks": 1, "dirs": 5, "numFailed": 0}}
CREATED: dict[str, Any] = {
    "id": "e9f6048d1ea698e593d2c5061207d16c",
    "source": {"host": "h1", "userName": "u1", "path": "/src"},
    "rootEntry": ROOT,
    "tags": {"tag:operation": "7", "tag:testbed": "ab"},
}
DENIED = (
    "failed to open repository: unable to establish session for purpose=: error establishing session: unable to "
    "initialize session: rpc error: code = PermissionDenied desc = access denied for u1@h1: EOF\n"
)
OTHERS = "error loading snapshot e9f6048d: unable to find manifest entries: access denied\n"
WRONG_PASSWORD = (
    "open repository: unable to open repository: unable to create format manager: invalid repository password"
)
FULL = 'error restoring: cannot write data to file "/r/x": write /r/x: no space left on device\n'
UNREACHABLE = (
    "error processing u1@h1:/src@2026-11-23 14:47:01 UTC/4: error reading object: unable to establish session: "
    "error establishing session: Session(): rpc error: code = Unavailable desc = connection refused\n"
)
CHECKSUM = (
    "error processing u1@h1:/src@2026-11-23 14:25:05 UTC/x: error reading object 5cc45c57: unable to open object "
    "5cc45c57: unexpected content error: invalid checksum at p4d6c81bd offset 3000060 length 3000028/3000028\n"
)


def ended(exit_code: int = 0, stdout: object = b"", stderr: str = "", *, timed_out: bool = False) -> CompletedCommand:
    output = stdout if isinstance(stdout, bytes) else json.dumps(stdout).encode()
    return CompletedCommand(
        argv=("/bin/kopia", "some", "command"),
        env={},
        exit_code=exit_code,
        stdout=output,
        stderr=stderr.encode(),
        began_seconds=0.0,
        seconds=1.0,
        timed_out=timed_out,
    )


def created(**changes: object) -> dict[str, object]:
    return {**CREATED, **changes}


def summary(**changes: object) -> dict[str, object]:
    return created(rootEntry={**ROOT, "summ": {**ROOT["summ"], **changes}})  # type: ignore[dict-item]


def test_complete_snapshot_is_acknowledged() -> None:
    """Status 0, JSON, nothing incomplete, nothing failed: the id and the counts."""
    receipt = answers.read_receipt(ended(stdout=CREATED))
    assert receipt == SnapshotReceipt(id=CREATED["id"], files=5, directories=5, size_bytes=17)


@pytest.mark.parametrize(
    ("completed", "error"),
    [
        (ended(0, created(incomplete="canceled")), OperationPartial),
        (ended(0, summary(incomplete="canceled")), OperationPartial),
        (ended(0, summary(numFailed=1)), OperationPartial),
        (ended(0, summary(numIgnoredErrors=2)), OperationPartial),
        (ended(1, summary(numFailed=1, errors=[{"path": "a", "error": "can't read"}])), OperationPartial),
        (ended(0, summary(errors=[{"path": "a", "error": "can't read"}])), OperationPartial),
        (ended(1, CREATED), OperationUnknown),
        (ended(0, b""), OperationUnknown),
        (ended(0, b'{"id": '), OperationUnknown),
        (ended(0, b"[]"), OperationUnknown),
        (ended(0, {"id": "e9f6"}), OperationUnknown),
        (ended(0, created(id="")), OperationUnknown),
        (ended(-9, b""), OperationUnknown),
        (ended(1, b"", "error connecting: connection refused"), OperationUnknown),
        (ended(0, created(incomplete="canceled"), timed_out=True), OperationTimedOut),
        (ended(0, CREATED, timed_out=True), OperationTimedOut),
        (ended(1, b"", DENIED), AccessDenied),
        (ended(1, CREATED, FULL), NoSpaceError),
    ],
)
def test_everything_else_is_in_doubt(completed: CompletedCommand, error: type[SnapstormError]) -> None:
    """Nothing but a whole acknowledgement is one, and what is known of the rest is said by its type."""
    with pytest.raises(error) as caught:
        answers.read_receipt(completed)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("completed", "error"),
    [
        (ended(1, stderr=DENIED), AccessDenied),
        (ended(1, stderr=OTHERS), AccessDenied),
        (ended(1, stderr=WRONG_PASSWORD), AccessDenied),
        (ended(1, stderr="open /src/access denied/x: permission denied\n"), OperationFailed),
        (ended(1, stderr=FULL), NoSpaceError),
        (ended(-15, stderr=FULL, timed_out=True), NoSpaceError),
        (ended(0, timed_out=True), OperationTimedOut),
        (ended(-9), OperationFailed),
        (ended(1), OperationFailed),
    ],
)
def test_failures_are_told_by_their_words(completed: CompletedCommand, error: type[SnapstormError]) -> None:
    """Who is to blame for a status that is always 1."""
    with pytest.raises(error) as caught:
        answers.check(completed, "restore", OperationFailed)
    assert type(caught.value) is error


def test_listing_is_read_with_tags_and_incomplete_entries() -> None:
    """Entries of ours carry both tags; an operator's own have none; a canceled one says so."""
    other = created(id="2", tags=None)
    canceled = created(id="3", incomplete="canceled")
    partial = created(id="4", rootEntry={"summ": {"numFailed": 2, "numIgnoredErrors": 1}})
    listed = answers.read_listing(ended(stdout=[CREATED, other, canceled, partial]))
    assert listed[0] == ListedSnapshot(CREATED["id"], "u1@h1", "/src", "ab", "7", incomplete=None)
    assert (listed[1].testbed, listed[1].operation) == (None, None)
    assert listed[2].incomplete == "canceled"
    assert [entry.failed_entries for entry in listed] == [0, 0, 0, 3]
    assert answers.read_listing(ended(stdout=b"[\n]")) == ()


@pytest.mark.parametrize("stdout", [b"", b"[{}]", b"[", b"7", b'[{"id": "1"}]'])
def test_listing_that_can_not_be_read_is_no_empty_listing(stdout: bytes) -> None:
    """Half a listing would make snapshots look gone."""
    with pytest.raises(OperationFailed, match="can't be read"):
        answers.read_listing(ended(stdout=stdout))


@pytest.mark.parametrize("prefix", ["", "ERROR "])
def test_damage_that_a_check_finds_is_told_from_a_check_that_fails(prefix: str) -> None:
    """A server that can't be reached says nothing about the data."""
    with pytest.raises(OperationPartial, match="invalid checksum"):
        answers.check_verified(ended(1, stderr=f"Processed 0 objects.\n{prefix}{CHECKSUM}"))
    with pytest.raises(OperationFailed):
        answers.check_verified(ended(1, stderr=f"Processed 0 objects.\n{prefix}{UNREACHABLE}"))
    answers.check_verified(ended(0, stderr="Finished processing 3 objects."))


def test_user_who_is_there_already_is_no_failure() -> None:
    """Clients of earlier runs are added again."""
    answers.check_user_added(ended(1, stderr="error getting new user profile: u2@h2: user already exists\n"), "u2@h2")
    with pytest.raises(OperationFailed):
        answers.check_user_added(ended(1, stderr="no such repository\n"), "u2@h2")


def test_last_words_keep_what_was_tried_and_why_it_failed() -> None:
    """One line of a bounded length, without the long warning that 0.19.0 adds."""
    long = "error restoring: " + "x" * 1000 + ": BLOB not found"
    words = answers.last_words(f"Restoring...\nERROR {long}\nWARN unable to send notification\t{{...}}\n\n")
    assert words.startswith("error restoring: x")
    assert words.endswith(": BLOB not found")
    assert len(words) < 320
    assert answers.last_words(" \n") == "it said nothing"


def test_evidence_is_bounded() -> None:
    """A flood of errors does not end up whole in the report."""
    evidence = answers.evidence_of(ended(1, b"o" * 100_000, "e" * 100_000))
    assert len(evidence) < 20_000
    assert "exit status 1" in evidence


def schedule(next_full: str, next_quick: str, **runs: list[str]) -> dict[str, Any]:
    """What `maintenance info` shows, newest runs first, as the real one does."""
    return {
        "nextFullMaintenance": next_full,
        "nextQuickMaintenance": next_quick,
        "runs": {
            name.replace("_", "-"): [{"start": start, "end": start, "success": True} for start in starts]
            for name, starts in runs.items()
        }
        or None,
    }


NEVER = "0001-01-01T00:00:00Z"
NEW = schedule(NEVER, NEVER)
QUICK = schedule(NEVER, "q1", advance_epoch=["t1"], compact_single_epoch=["t1"])
FULL_RUN = schedule("f2", "q2", advance_epoch=["t2", "t1"], compact_single_epoch=["t2", "t1"], snapshot_gc=["t2"])
STARTED = schedule("f2", "q2", advance_epoch=["t1"], compact_single_epoch=["t1"])


@pytest.mark.parametrize(
    ("before", "after", "is_quick_done", "is_full_done"),
    [
        (NEW, NEW, False, False),
        (QUICK, QUICK, False, False),
        (NEW, QUICK, True, False),
        (QUICK, FULL_RUN, True, True),
        (QUICK, STARTED, False, False),
        (QUICK, {}, False, False),
    ],
)
def test_maintenance_is_done_only_if_the_schedule_says_so(
    before: dict[str, Any], after: dict[str, Any], *, is_quick_done: bool, is_full_done: bool
) -> None:
    """A quick run is no full one; a run that only began, or whose task failed, is none."""
    assert answers.is_maintenance_done(before, after, is_full=False) is is_quick_done
    assert answers.is_maintenance_done(before, after, is_full=True) is is_full_done


def test_a_maintenance_task_that_failed_is_not_done() -> None:
    """Kopia records failures, too."""
    failed = schedule("f2", "q2", snapshot_gc=["t2"])
    failed["runs"]["snapshot-gc"][0]["success"] = False
    assert not answers.is_maintenance_done(NEW, failed, is_full=True)
