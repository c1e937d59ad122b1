"""The power of judging again: what was recorded and is wrong by today's rules is found, what is right is not.

That it finds again what a run has found, for every defect, `test_memory_defects` and `test_fault_defects` show.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.directories import memory_directory
from tests.e2e.commandline import snapstorm
from tests.power.test_memory_defects import run_once

from snapstorm.errors import TestbedError
from snapstorm.guarantees.rejudging import Recheck, Today, recheck
from snapstorm.ledger.observed import STORED_BYTES_MAX, Observed
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import decode_manifest
from snapstorm.model.observations import (
    ObservationKind,
    decode_listing,
    decode_receipt,
    decode_restore,
    encode_listing,
    encode_receipt,
    encode_restore,
)
from snapstorm.model.verdict import Verdict
from snapstorm.run.result import RunResult
from snapstorm.testbed.testbed import open_testbed, read_testbed

Recorded = Callable[..., RunResult]


@pytest.fixture(scope="module")
def kept() -> Iterator[Path]:
    """Where testbeds are kept that several tests begin with."""
    with memory_directory() as place:
        yield place


@pytest.fixture(scope="module")
def results() -> dict[Path, RunResult]:
    """Of the last run on each testbed that is kept."""
    return {}


@pytest.fixture
def recorded(kept: Path, results: dict[Path, RunResult], scratch: Path) -> Recorded:
    """Gives a test `bed`, its own copy of a testbed on which so many runs were made, and the result of the last."""

    def give(target: str, runs: int = 1) -> RunResult:
        bed = kept / f"{target}-{runs}"
        if bed not in results:
            for seed in range(1, runs + 1):
                results[bed] = run_once(bed, target, seed)
        shutil.copytree(bed, scratch / "bed", symlinks=True)
        return results[bed]

    return give


def recheck_of(testbed: Path, number: int = 1) -> Recheck:
    with read_testbed(testbed) as ledger:
        return recheck(ledger, number)


def tamper(testbed: Path, kind: ObservationKind, change: Callable[[Observed], bytes | None]) -> str:
    """Change the last recorded observation of a kind that can be changed; the operation that it is of."""
    with open_testbed(testbed, must_exist=True) as opened:
        opened.is_new = False
        # The last first: of snapshots that are deleted later, restores can't be judged again.
        for observed in reversed(list(opened.ledger.observations(1))):
            changed = change(observed) if observed.kind == kind else None
            if changed is not None:
                opened.ledger.observe(observed.operation, kind, changed)
                return observed.operation
    raise AssertionError("nothing to tamper with")


def with_another_digest(observed: Observed) -> bytes | None:
    restore = decode_restore(observed.encoded)
    is_whole = bool(restore.digest) and not restore.sub_path
    return encode_restore(msgspec.structs.replace(restore, digest=bytes(32))) if is_whole else None


def with_more_files(observed: Observed) -> bytes:
    receipt, there = decode_receipt(observed.encoded)
    return encode_receipt(receipt, there._replace(files=there.files + 1))


def without_a_snapshot(observed: Observed) -> bytes | None:
    listing = decode_listing(observed.encoded)
    return encode_listing(msgspec.structs.replace(listing, entries=listing.entries[:-1])) if listing.entries else None


def with_a_ghost(observed: Observed) -> bytes | None:
    listing = decode_listing(observed.encoded)
    ghost = [msgspec.structs.replace(entry, id="ghost", operation="r1-nobody-1") for entry in listing.entries[:1]]
    return encode_listing(msgspec.structs.replace(listing, entries=(*listing.entries, *ghost))) if ghost else None


def with_a_stranger(observed: Observed) -> bytes | None:
    listing = decode_listing(observed.encoded)
    entries = [msgspec.structs.replace(entry, client="stranger@s") for entry in listing.entries[:1]]
    return encode_listing(msgspec.structs.replace(listing, entries=(*listing.entries, *entries))) if entries else None


def with_another_time(observed: Observed) -> bytes | None:
    listing = decode_listing(observed.encoded)
    moved = [
        msgspec.structs.replace(one, particulars=one.particulars._replace(began_us=0))
        for one in listing.entries
        if one.particulars
    ]
    return (
        encode_listing(msgspec.structs.replace(listing, entries=(*moved[:1], *listing.entries[1:]))) if moved else None
    )


def of_another_time(observed: Observed) -> bytes:
    receipt, there = decode_receipt(observed.encoded)
    return encode_receipt(replace(receipt, began_us=0), there)


@pytest.mark.parametrize(
    ("kind", "change", "guarantee"),
    [
        (ObservationKind.RESTORE, with_another_digest, Guarantee.RESTORED_EXACTLY),
        (ObservationKind.RECEIPT, with_more_files, Guarantee.PARTIAL_IS_REPORTED),
        (ObservationKind.LISTING, without_a_snapshot, Guarantee.ACKNOWLEDGED_STAYS_LISTED),
        (ObservationKind.LISTING, with_another_time, Guarantee.ACKNOWLEDGED_STAYS_LISTED),
        (ObservationKind.LISTING, with_a_ghost, Guarantee.NOTHING_UNREQUESTED),
        (ObservationKind.LISTING, with_a_stranger, Guarantee.CLIENTS_ISOLATED),
    ],
)
def test_what_is_wrong_by_todays_rules_is_new(
    kind: ObservationKind,
    change: Callable[[Observed], bytes | None],
    guarantee: Guarantee,
    scratch: Path,
    recorded: Recorded,
) -> None:
    """A record of an honest run with one defect planted in it: found, under its guarantee and its operation."""
    recorded("memory")
    assert recheck_of(scratch / "bed").verdict[0] is Verdict.PASS
    operation = tamper(scratch / "bed", kind, change)
    again = recheck_of(scratch / "bed")
    assert again.verdict[0] is Verdict.VIOLATED
    assert {(one.today, one.violation.guarantee, one.violation.operation) for one in again.violations} == {
        (Today.NEW, guarantee, operation)
    }


def test_what_is_right_by_todays_rules_is_no_longer_found(scratch: Path, recorded: Recorded) -> None:
    """Restores that differed, and would not by other rules: told, and no reason for a red verdict any more."""
    found = recorded("memory:restore-flips-a-byte")
    with open_testbed(scratch / "bed", must_exist=True) as opened:
        opened.is_new = False
        for observed in list(opened.ledger.observations(1)):
            restore = decode_restore(observed.encoded) if observed.kind == ObservationKind.RESTORE else None
            if restore is not None and restore.trees is not None:
                repaired = encode_restore(msgspec.structs.replace(restore, restored=restore.promised))
                opened.ledger.observe(observed.operation, observed.kind, repaired)
    again = recheck_of(scratch / "bed")
    assert [one.today for one in again.violations] == [Today.NO_LONGER] * len(found.tally.violations)
    assert again.verdict[0] is Verdict.PASS


def test_what_is_not_recorded_stands(scratch: Path, recorded: Recorded) -> None:
    """A failure rests on what is not recorded; the verdict keeps it."""
    found = recorded("memory:restore-flips-a-byte")
    database = sqlite3.connect(scratch / "bed" / "ledger.sqlite3")
    with database:
        database.execute("DELETE FROM observations")
    database.close()
    again = recheck_of(scratch / "bed")
    assert [one.today for one in again.violations] == [Today.STANDS] * len(found.tally.violations)
    assert again.verdict[0] is Verdict.VIOLATED
    assert again.unrecorded > 0


def test_a_compacted_run_is_inconclusive(scratch: Path, recorded: Recorded) -> None:
    """Nothing to judge is never a pass."""
    recorded("memory", runs=2)
    with open_testbed(scratch / "bed", must_exist=True) as opened:
        opened.is_new = False
        opened.ledger.compact(1)
    assert recheck_of(scratch / "bed", 1).verdict[0] is Verdict.INCONCLUSIVE
    assert recheck_of(scratch / "bed", 2).verdict[0] is Verdict.PASS


def test_an_earlier_run_is_judged_by_what_was_expected_then(scratch: Path, recorded: Recorded) -> None:
    """Later runs have deleted what it promised."""
    recorded("memory", runs=3)
    for number in (1, 2, 3):
        again = recheck_of(scratch / "bed", number)
        assert again.violations == []
        assert again.verdict[0] is Verdict.PASS


def test_an_accepted_loss_counts_no_more(scratch: Path, recorded: Recorded) -> None:
    """It is shown, and the verdict is that of the rest."""
    recorded("memory:restore-flips-a-byte")
    with open_testbed(scratch / "bed", must_exist=True) as opened:
        opened.is_new = False
        for row in opened.ledger.recorded_violations(1):
            opened.ledger.accept(row.number, "known")
    again = recheck_of(scratch / "bed")
    assert all(one.is_accepted for one in again.violations)
    assert again.verdict[0] is Verdict.PASS


@pytest.mark.parametrize("ended", ["interrupted", "error", "inconclusive", None])
def test_what_did_not_judge_all_is_no_pass_by_judging_again(
    scratch: Path, recorded: Recorded, ended: str | None
) -> None:
    """A run that was cut short, failed, or was killed has left something out, and the record can't make up for it."""
    recorded("memory")
    with closing(sqlite3.connect(scratch / "bed" / "ledger.sqlite3", isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET verdict = ?", (ended,))
    verdict, reason = recheck_of(scratch / "bed").verdict
    assert verdict is (Verdict.INCONCLUSIVE if ended is None else Verdict(ended))
    assert "restores equal what was written" in reason


def test_what_is_accepted_is_not_called_equal(scratch: Path, recorded: Recorded) -> None:
    """Only those are counted that are."""
    recorded("memory")
    before = recheck_of(scratch / "bed")
    tamper(scratch / "bed", ObservationKind.RESTORE, with_another_digest)
    again = recheck_of(scratch / "bed")
    assert again.verdict[0] is Verdict.VIOLATED
    again.violations = [replace(one, is_accepted=True) for one in again.violations]
    restores = before.judged[ObservationKind.RESTORE]
    assert again.verdict == (
        Verdict.PASS,
        f"{restores - 1} restores equal what was written by today's rules, too; 1 do not, which is accepted",
    )


def test_what_is_damaged_is_one_line(scratch: Path, recorded: Recorded) -> None:
    """Rubbish in the record is the ledger's fault, not the target's."""
    recorded("memory")
    tamper(scratch / "bed", ObservationKind.LISTING, lambda _: b"\xc1rubbish")
    with pytest.raises(TestbedError, match="damaged"):
        recheck_of(scratch / "bed")


def test_what_is_too_large_is_not_kept(scratch: Path, recorded: Recorded) -> None:
    """The ledger stays small; judging again says that one is missing."""
    recorded("memory")
    with open_testbed(scratch / "bed", must_exist=True) as opened:
        opened.is_new = False
        before = list(opened.ledger.observations(1))
        opened.ledger.observe(before[0].operation, before[0].kind, None)
        opened.ledger.observe(before[0].operation, before[0].kind, os.urandom(STORED_BYTES_MAX + 1))
        opened.ledger.observe(before[0].operation, before[0].kind, bytes(64 << 20))
        assert list(opened.ledger.observations(1)) == before


def test_both_trees_are_kept_where_they_differ(scratch: Path, recorded: Recorded) -> None:
    """So that a later look needs neither the target nor the evidence."""
    recorded("memory:restore-flips-a-byte")
    with read_testbed(scratch / "bed") as ledger:
        kept = [decode_restore(one.encoded) for one in ledger.observations(1) if one.kind == ObservationKind.RESTORE]
    differing = [restore for restore in kept if not restore.digest]
    assert differing
    assert all(decode_manifest(one.promised) != decode_manifest(one.restored) for one in differing)
    assert all(not one.promised and len(one.digest) == 32 for one in kept if one.digest)


def test_the_command_line(scratch: Path, recorded: Recorded) -> None:
    """Exit status as of a run, one JSON object, and not a byte of the testbed changed."""
    recorded("memory:restore-flips-a-byte")
    before = {path: path.read_bytes() for path in (scratch / "bed").glob("ledger.sqlite3")}
    ran = snapstorm("recheck", scratch / "bed", "--json")
    assert ran.status == 1, ran.stderr
    assert ran.json["verdict"] == "violated"
    assert {violation["today"] for violation in ran.json["violations"]} == {"still"}
    words = snapstorm("recheck", f"{scratch / 'bed'}:1")
    assert words.status == 1
    assert "violated, today as then" in words.stdout
    assert {path: path.read_bytes() for path in (scratch / "bed").glob("ledger.sqlite3")} == before
    missing = snapstorm("recheck", f"{scratch / 'bed'}:7")
    assert missing.status == 2
    assert missing.stderr.count("\n") == 1
