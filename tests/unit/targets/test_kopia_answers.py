"""What Kopia's answers mean, on answers that the real one gave (0.19.0 to 0.23.1)."""

from __future__ import annotations

import json
from collections.abc import Callable
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
    TargetError,
)
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.kopia import answers, repository_answers, snapshot_answers

ROOT = {"name": "src", "type": "d", "summ": {"size": 17, "files": 5, "symlinks": 1, "dirs": 5, "numFailed": 0}}
CREATED: dict[str, Any] = {
    "id": "e9f6048d1ea698e593d2c5061207d16c",
    "source": {"host": "h1", "userName": "u1", "path": "/src"},
    "startTime": "2026-11-29T14:36:53.036670445Z",
    "endTime": "2026-11-29T14:36:53.03771056Z",
    "rootEntry": ROOT,
    "tags": {"tag:operation": "7", "tag:testbed": "ab"},
}
PARTICULARS = Particulars(
    1795963013_036670, 1795963013_037711, files=5, directories=5, size_bytes=17, symlinks=1, failed_entries=0
)
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
    return created(rootEntry={**ROOT, "summ": {**ROOT["summ"], **changes}})


def test_complete_snapshot_is_acknowledged() -> None:
    """Status 0, JSON, nothing incomplete, nothing failed: the id, the counts and the times, to the microsecond."""
    receipt = snapshot_answers.read_receipt(ended(stdout=CREATED))
    assert receipt == SnapshotReceipt(id=CREATED["id"], **PARTICULARS._asdict())
    assert receipt.particulars == PARTICULARS


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
        snapshot_answers.read_receipt(completed)
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
    listed = snapshot_answers.read_listing(ended(stdout=[CREATED, other, canceled, partial]))
    assert listed[0] == ListedSnapshot(CREATED["id"], "u1@h1", "/src", "ab", "7", None, particulars=PARTICULARS)
    assert (listed[1].testbed, listed[1].operation) == (None, None)
    assert listed[2].incomplete == "canceled"
    assert [entry.failed_entries for entry in listed] == [0, 0, 0, 3]
    assert snapshot_answers.read_listing(ended(stdout=b"[\n]")) == ()


@pytest.mark.parametrize("stdout", [b"", b"[{}]", b"[", b"7", b'[{"id": "1"}]'])
def test_listing_that_can_not_be_read_is_no_empty_listing(stdout: bytes) -> None:
    """Half a listing would make snapshots look gone."""
    with pytest.raises(OperationFailed, match="can't be read"):
        snapshot_answers.read_listing(ended(stdout=stdout))


@pytest.mark.parametrize("prefix", ["", "ERROR "])
def test_damage_that_a_check_finds_is_told_from_a_check_that_fails(prefix: str) -> None:
    """A server that can't be reached says nothing about the data."""
    with pytest.raises(OperationPartial, match="invalid checksum"):
        snapshot_answers.check_verified(ended(1, stderr=f"Processed 0 objects.\n{prefix}{CHECKSUM}"))
    with pytest.raises(OperationFailed):
        snapshot_answers.check_verified(ended(1, stderr=f"Processed 0 objects.\n{prefix}{UNREACHABLE}"))
    snapshot_answers.check_verified(ended(0, stderr="Finished processing 3 objects."))


def test_user_who_is_there_already_is_no_failure() -> None:
    """Clients of earlier runs are added again."""
    repository_answers.check_user_added(
        ended(1, stderr="error getting new user profile: u2@h2: user already exists\n"), "u2@h2"
    )
    with pytest.raises(OperationFailed):
        repository_answers.check_user_added(ended(1, stderr="no such repository\n"), "u2@h2")


def test_last_words_keep_what_was_tried_and_why_it_failed() -> None:
    """One line of a bounded length, without the long warning that 0.19.0 adds."""
    long = "error restoring: " + "x" * 1000 + ": BLOB not found"
    words = answers.last_words(f"Restoring...\nERROR {long}\nWARN unable to send notification\t{{...}}\n\n")
    assert words.startswith("error restoring: x")
    assert words.endswith(": BLOB not found")
    assert len(words) < 320
    assert answers.last_words(" \n") == "it said nothing"


@pytest.mark.parametrize(
    "words",
    [
        "unexpected content error: invalid checksum at {pack} offset 32 length 300028/300028: decrypt: failed",
        'error getting cached content from blob "{pack}": failed to get blob with ID {pack}: BLOB not found',
        "object 1121828f2e9bbb90ec70718475256b91 is backed by missing blob {pack}",
        'invalid (offset=267,length=481) for blob "{pack}" of size 100',
    ],
)
@pytest.mark.parametrize("pack", ["pa67717b141e80bc8d41e3900e87b7ea4-s746c46e422e01ee5147", f"q{'0' * 31}f"])
def test_the_packs_that_an_error_names_are_told(words: str, pack: str) -> None:
    """As 0.19.0 and 0.23.1 name them (measured), in a failure and in what a check reports; and nothing else is one."""
    failed = ended(
        1, stderr=f"ERROR error reading object 5e4cb1f7b012d60b2cf87810c254bb42: {words.format(pack=pack)}\n"
    )
    with pytest.raises(OperationFailed) as error:
        answers.check(failed, "restore", OperationFailed)
    assert error.value.blobs == {pack}
    with pytest.raises(OperationPartial) as partial:
        snapshot_answers.check_verified(ended(1, stderr=f"ERROR error processing a/b: {words.format(pack=pack)}\n"))
    assert partial.value.blobs == {pack}
    other = "q" + "0" * 32 + "-s0123456789abcdef"
    answers.add_evidence(error.value, f"the server has ended:\npanic: can't read {other}\n")
    assert error.value.blobs == {pack, other}


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


def read_schedule(document: dict[str, Any]) -> repository_answers.Schedule:
    return repository_answers.read_maintenance_schedule(ended(stdout={"owner": "a@b", "schedule": document}))


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
    around = read_schedule(before), read_schedule(after)
    assert repository_answers.is_maintenance_done(*around, is_full=False) is is_quick_done
    assert repository_answers.is_maintenance_done(*around, is_full=True) is is_full_done


def test_a_maintenance_task_that_failed_is_not_done() -> None:
    """Kopia records failures, too."""
    failed = schedule("f2", "q2", snapshot_gc=["t2"])
    failed["runs"]["snapshot-gc"][0]["success"] = False
    assert not repository_answers.is_maintenance_done(read_schedule(NEW), read_schedule(failed), is_full=True)


HALF_A_PAIR = "\ud800"
DEEP = b"[" * 200_000
NO_TEXT = [5, True, ["a"], {"a": 1}, "a\x00b", HALF_A_PAIR, f"a{HALF_A_PAIR}b"]
NO_TIME = ["", "yesterday", "2026-11-29", "2026-11-29T14:36:53", "2026-13-29T14:36:53Z", "2026-11-29T14:36:61Z"]
NO_TIME += ["10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "2026-11-29T14:36:53+99:00", 5, True, {}, []]
NO_COUNT = [10**30, 2**63, -1, 1.5, True, "5", [1], {"a": 1}]


def source(**changes: object) -> dict[str, object]:
    return {**CREATED["source"], **changes}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        *[(created(id=value), "$.id") for value in [*NO_TEXT, None, "", "a" * 200_000]],
        *[(created(incomplete=value), "$.incomplete") for value in NO_TEXT],
        *[(created(startTime=value), "$.startTime") for value in NO_TIME],
        *[(created(endTime=value), "$.endTime") for value in NO_TIME],
        (created(startTime=HALF_A_PAIR), "surrogates"),
        *[(summary(incomplete=value), "$.rootEntry.summ.incomplete") for value in NO_TEXT],
        *[(summary(files=value), "$.rootEntry.summ.files") for value in NO_COUNT],
        *[(summary(dirs=value), "$.rootEntry.summ.dirs") for value in NO_COUNT],
        *[(summary(size=value), "$.rootEntry.summ.size") for value in NO_COUNT],
        *[(summary(numFailed=value), "$.rootEntry.summ.numFailed") for value in NO_COUNT],
        *[(summary(numIgnoredErrors=value), "$.rootEntry.summ.numIgnoredErrors") for value in NO_COUNT],
        (summary(numFailed=2**63 - 1, numIgnoredErrors=1), "numFailed"),
        (summary(errors={"path": "a"}), "$.rootEntry.summ.errors"),
        (summary(errors=["a"]), "$.rootEntry.summ.errors[0]"),
        (summary(errors=[{"path": HALF_A_PAIR}]), "$.rootEntry.summ.errors[0].path"),
        (summary(errors=[{"error": HALF_A_PAIR}]), "$.rootEntry.summ.errors[0].error"),
        (created(rootEntry=5), "$.rootEntry"),
        (created(rootEntry={"summ": [5]}), "$.rootEntry.summ"),
        (created(rootEntry={}), "rootEntry.summ"),
        (created(rootEntry={"summ": {}}), "rootEntry.summ"),
        ({"rootEntry": ROOT}, "`id`"),
        (DEEP, "nested too deeply"),
        (b"9" * 5000, "integer"),
        (b'{"id": "\xff"}', "utf-8"),
    ],
)
def test_acknowledgement_of_odd_types_or_values_is_none(changed: object, field: str) -> None:
    """It would break what stores it or passes it on. What is wrong is named, and what was said is kept."""
    with pytest.raises(OperationUnknown) as caught:
        snapshot_answers.read_receipt(ended(stdout=changed))
    check_unreadable(caught.value, OperationUnknown, field)


def check_unreadable(error: TargetError, kind: type[TargetError], field: str) -> None:
    """One line of a bounded length that names the field; the evidence says what was asked, and how it ended."""
    assert type(error) is kind
    assert field in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 400
    assert str(error).encode()
    assert "exit status 0" in error.evidence


def test_how_a_command_ended_says_more_than_an_answer_that_can_not_be_read() -> None:
    """After a failure there often is none."""
    odd = created(id=5, incomplete={})
    with pytest.raises(AccessDenied):
        snapshot_answers.read_receipt(ended(1, odd, DENIED))
    with pytest.raises(OperationTimedOut):
        snapshot_answers.read_receipt(ended(-9, DEEP, timed_out=True))
    with pytest.raises(OperationUnknown, match="ended with exit status 1: boom"):
        snapshot_answers.read_receipt(ended(1, odd, "boom\n"))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        *[(created(id=value), "$[1].id") for value in [*NO_TEXT, None, "", "a" * 200_000]],
        *[(created(incomplete=value), "$[1].incomplete") for value in NO_TEXT],
        *[(created(startTime=value), "$[1].startTime") for value in NO_TIME],
        *[(created(endTime=value), "$[1].endTime") for value in NO_TIME],
        (created(endTime=HALF_A_PAIR), "surrogates"),
        *[(summary(files=value), "$[1].rootEntry.summ.files") for value in NO_COUNT],
        *[(created(source=source(path=value)), "$[1].source.path") for value in NO_TEXT],
        *[(created(source=source(host=value)), "$[1].source.host") for value in NO_TEXT],
        *[(created(source=source(userName=value)), "$[1].source.userName") for value in NO_TEXT],
        *[(created(tags={"tag:operation": value}), "$[1].tags") for value in NO_TEXT],
        *[(created(tags={"tag:testbed": value}), "$[1].tags") for value in NO_TEXT],
        (created(tags={HALF_A_PAIR: "a"}), "$[1].tags"),
        (created(tags=["tag:operation"]), "$[1].tags"),
        *[(summary(numFailed=value), "$[1].rootEntry.summ.numFailed") for value in NO_COUNT],
        (summary(numFailed=2**63 - 1, numIgnoredErrors=2**63 - 1), "numFailed"),
        (created(rootEntry=[]), "$[1].rootEntry"),
        (created(source=None), "$[1].source"),
        (None, "$[1]"),
        (7, "$[1]"),
    ],
)
def test_listing_with_an_entry_of_odd_types_or_values_can_not_be_read(changed: object, field: str) -> None:
    """Left out, the entry would look gone; and what is stored of it must be what was said."""
    with pytest.raises(OperationFailed, match="can't be read") as caught:
        snapshot_answers.read_listing(ended(stdout=[CREATED, changed]))
    check_unreadable(caught.value, OperationFailed, field)


RULE = {"id": "1", "user": "*@*", "target": {"type": "snapshot"}, "access": "FULL"}
READERS: dict[str, Callable[[CompletedCommand], object]] = {
    "listing": snapshot_answers.read_listing,
    "manifests": snapshot_answers.read_marks,
    "rules": repository_answers.read_snapshot_rules,
    "repository": repository_answers.read_repository_id,
    "format": repository_answers.read_format_version,
    "schedule": repository_answers.read_maintenance_schedule,
    "blobs": repository_answers.read_storage_bytes,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("stdout", [b"", DEEP, b'"a"', b"7", b"\xff", b"9" * 5000])
def test_what_is_no_answer_at_all_can_not_be_read(reader: str, stdout: bytes) -> None:
    """Whatever was asked for."""
    with pytest.raises(OperationFailed) as caught:
        READERS[reader](ended(stdout=stdout))
    check_unreadable(caught.value, OperationFailed, "")


@pytest.mark.parametrize(
    ("reader", "stdout", "field"),
    [
        *[("manifests", [{"id": value}], "$[0].id") for value in [*NO_TEXT, None, ""]],
        ("manifests", {}, "array"),
        ("manifests", ["a"], "$[0]"),
        *[("rules", [{**RULE, "id": value}], "$[0].id") for value in NO_TEXT],
        *[("rules", [{**RULE, "user": value}], "$[0].user") for value in NO_TEXT],
        *[("rules", [{**RULE, "target": {"type": value}}], "$[0].target.type") for value in NO_TEXT],
        ("rules", [{**RULE, "target": None}], "$[0].target"),
        ("rules", {}, "array"),
        *[("repository", {"uniqueIDHex": value}, "$.uniqueIDHex") for value in [*NO_TEXT, None, ""]],
        ("repository", {}, "uniqueIDHex"),
        *[("format", {"contentFormat": {"version": value}}, "$.contentFormat.version") for value in NO_COUNT],
        ("format", {}, "contentFormat"),
        *[("schedule", {"schedule": {"nextFullMaintenance": value}}, "nextFullMaintenance") for value in NO_TEXT],
        *[("schedule", {"schedule": {"nextQuickMaintenance": value}}, "nextQuickMaintenance") for value in NO_TEXT],
        ("schedule", {"schedule": []}, "$.schedule"),
        ("schedule", {"schedule": {"runs": []}}, "$.schedule.runs"),
        ("schedule", {"schedule": {"runs": {"snapshot-gc": {}}}}, "$.schedule.runs"),
        ("schedule", {"schedule": {"runs": {"snapshot-gc": [{"success": "yes"}]}}}, "success"),
        ("schedule", {"schedule": {"runs": {"snapshot-gc": [{"start": 5}]}}}, "start"),
        ("blobs", b"Total: " + b"9" * 5000, "total"),
        ("blobs", b"Total: " + b"9" * 30, "total"),
    ],
)
def test_answers_about_the_repository_of_odd_types_or_values_can_not_be_read(
    reader: str, stdout: object, field: str
) -> None:
    """They are no less on command lines, and in the ledger, than what clients are told."""
    with pytest.raises(OperationFailed) as caught:
        READERS[reader](ended(stdout=stdout))
    check_unreadable(caught.value, OperationFailed, field)


def test_honest_answers_of_any_shape_are_read() -> None:
    """New fields, which may hold anything, another order, line breaks, other time zones, a warning on stderr, names
    that are not UTF-8 as Kopia prints them, and nothing but what is needed."""
    warning = "WARN unable to send notification\n"
    times = {"startTime": "2026-11-29T16:36:53.036670445+02:00", "new": {"a\x00": [None, HALF_A_PAIR, 10**30, 1.5]}}
    odd = {**dict(reversed(CREATED.items())), **times, "source": source(path="/s/\ufffd\U0001f600")}
    receipt = snapshot_answers.read_receipt(ended(0, json.dumps(odd, indent=2).encode(), warning))
    assert receipt == SnapshotReceipt(id=CREATED["id"], **PARTICULARS._asdict())
    short = {"id": "1", "rootEntry": {"summ": {"files": 1}}}
    assert snapshot_answers.read_receipt(ended(stdout=short)) == SnapshotReceipt("1", files=1, failed_entries=0)
    bare = {"id": "1", "source": CREATED["source"]}
    listed = snapshot_answers.read_listing(ended(0, json.dumps([odd, bare], indent=1).encode(), warning))
    raw = json.dumps([{**bare, "source": odd["source"]}], ensure_ascii=False)
    assert snapshot_answers.read_listing(ended(stdout=raw.encode()))[0].source == listed[0].source
    assert (listed[0].source, listed[0].particulars) == ("/s/\ufffd\U0001f600", PARTICULARS)
    assert listed[1] == ListedSnapshot("1", "u1@h1", "/src", None, None, None, particulars=Particulars())


STATISTICS = {
    "totalSize": 3021, "excludedTotalSize": 0, "fileCount": 0, "cachedFiles": 6, "nonCachedFiles": 0, "dirCount": 5,
    "excludedFileCount": 0, "excludedDirCount": 0, "ignoredErrorCount": 0, "errorCount": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"fileCount": 5, "cachedFiles": 0, "totalSize": 17}, ""),
        ({"dirCount": 4}, "5 directories in its summary and 4 in its statistics"),
        ({"fileCount": 4, "cachedFiles": 0}, "5 files in its summary and 4 in its statistics"),
        ({"totalSize": 16}, "17 bytes in its summary and 16 in its statistics"),
        ({"errorCount": 1}, "0 entries that failed in its summary and 1 in its statistics"),
        ({"ignoredErrorCount": 2}, "0 ignored errors in its summary and 2 in its statistics"),
        ({"excludedTotalSize": 9}, "9 bytes that were left out of 0 entries"),
    ],
)
def test_a_summary_and_its_statistics_must_agree(changed: dict[str, int], words: str) -> None:
    """Where they count the same, in listings and receipts; of a snapshot that is not whole they need not."""
    said = created(stats={**STATISTICS, **changed})
    (listed,) = snapshot_answers.read_listing(ended(stdout=[said]))
    assert (listed.disagreement, snapshot_answers.read_receipt(ended(stdout=said)).disagreement) == (words, words)
    (cut_off,) = snapshot_answers.read_listing(ended(stdout=[{**said, "incomplete": "canceled"}]))
    assert cut_off.disagreement == ""


def test_what_was_left_out_on_request_is_read() -> None:
    """Files and directories; a receipt has no statistics (measured)."""
    said = created(stats={**STATISTICS, "excludedFileCount": 2, "excludedDirCount": 1, "excludedTotalSize": 9})
    assert snapshot_answers.read_listing(ended(stdout=[said]))[0].excluded_entries == 3
    assert snapshot_answers.read_receipt(ended(stdout=said)).excluded_entries == 3
    assert snapshot_answers.read_receipt(ended(stdout=CREATED)).excluded_entries is None


@pytest.mark.parametrize(
    ("time", "began_us"),
    [
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("0001-01-01T00:00:00+02:00", -62_135_604_000_000_000),
        ("9999-12-31T23:59:59-05:00", 253_402_318_799_000_000),
        ("1970-01-01T00:00:00.000001499Z", 1),
    ],
)
def test_times_at_the_edges_of_time_are_read(time: str, began_us: int) -> None:
    """The first is what Go prints for no time; all can be stored."""
    assert snapshot_answers.read_receipt(ended(stdout=created(startTime=time))).began_us == began_us


def test_entry_that_could_not_be_read_is_named_as_kopia_names_it() -> None:
    """Its name may be no UTF-8, which Kopia replaces."""
    failed = summary(numFailed=1, errors=[{"path": "a/\ufffd", "error": "permission denied"}])
    with pytest.raises(OperationPartial, match=r"1 entries, the first 'a/\ufffd' \(permission denied\)"):
        snapshot_answers.read_receipt(ended(1, failed))


def test_honest_answers_about_the_repository_are_read() -> None:
    """As the real one prints them (0.19.0 to 0.23.1), shortened."""
    other = {**RULE, "id": "2", "target": {"type": "policy", "hostname": "OWN_HOST"}}
    users = {**RULE, "id": "3", "user": "u1@h1"}
    assert repository_answers.read_snapshot_rules(ended(stdout=[RULE, other, users])) == [
        repository_answers.AccessRule("1", is_everybodys=True),
        repository_answers.AccessRule("3", is_everybodys=False),
    ]
    labels = {"hostname": "h", "path": "/x", "tag:testbed": "abc", "type": "snapshot", "username": "u"}
    manifests = [
        {"id": "1", "length": 683, "labels": labels, "mtime": "2026-11-29T11:50:37.1+02:00"},
        {"id": "2", "labels": {"type": "snapshot", "username": "u", "hostname": "g"}},
    ]
    assert snapshot_answers.read_marks(ended(stdout=manifests)) == {"1": ("u@h", "abc"), "2": ("u@g", None)}
    assert snapshot_answers.read_marks(ended(stdout=b"[\n]")) == {}
    status = {"configFile": "/c", "uniqueIDHex": "f4af", "contentFormat": {"hash": "BLAKE2B-256-128", "version": 3}}
    assert repository_answers.read_repository_id(ended(stdout=status)) == "f4af"
    assert repository_answers.read_format_version(ended(stdout=status)) == 3
    assert repository_answers.read_storage_bytes(ended(stdout=b"Count: 14\nTotal: 29089\nAverage: 2077\n")) == 29089


def test_schedule_is_read_as_it_is_compared() -> None:
    """What `maintenance info` says is what tells whether maintenance was done."""
    assert repository_answers.is_maintenance_done(read_schedule(NEW), read_schedule(QUICK), is_full=False)
    assert not repository_answers.is_maintenance_done(read_schedule(QUICK), read_schedule(QUICK), is_full=False)
    none = repository_answers.read_maintenance_schedule(ended(stdout={}))
    assert not repository_answers.is_maintenance_done(none, none, is_full=False)
