"""A run is read as it was recorded, also one that was killed, moved, compacted, or whose evidence is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.unit.report.runs import BEGAN, CLIENTS, DIFFERENCES, NASTY, Bed, busy_bed

from snapstorm.errors import TestbedError
from snapstorm.ledger.samples import Quantity
from snapstorm.report.html import live_parts
from snapstorm.report.junit import run_as_junit
from snapstorm.report.markdown import run_as_markdown
from snapstorm.report.run_data import NOT_ENDED, read_run


def test_a_run_is_read_with_all_that_it_holds(tmp_path: Path) -> None:
    """What the run told at its end, and what the ledger holds of it."""
    busy_bed(tmp_path / "bed").close()
    run = read_run(tmp_path / "bed", 1)
    assert (run.verdict, run.seconds, run.seed, run.began_utc) == ("violated", 60.0, 7, BEGAN)
    assert run.clients == list(CLIENTS)  # client-10 after client-2
    assert len(run.operations) == 120
    assert run.proven.restores == 7
    assert run.proven.sweep_verified == 5
    assert set(run.samples) == set(Quantity)
    assert len(run.samples[Quantity.SERVER_OPEN_FILES]) == 60
    assert [fault.key for fault in run.faults] == ["kill-server"]
    assert run.commands["r1-client-1-1"][0].exit_code == 1
    assert run.target_name == "kopia 0.23.1"
    assert run.scenario == "randomized"
    (found,) = run.violations
    assert found.evidence is not None
    assert [one.kind for one in found.evidence.differences] == ["content", "missing"]
    assert found.evidence.differences[0].blocks[0].offset_bytes == 4500
    assert found.evidence.differences_total == 2


def test_a_run_that_was_killed_is_read_as_far_as_it_came(tmp_path: Path) -> None:
    """It has no verdict of its own; how long it went on is the last moment that is recorded."""
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    bed.operation(run, 1, began=3.0, seconds=1.5)
    bed.operation(run, 2, began=5.0, outcome=None)
    bed.fault(run, 4.0, None)
    bed.close()
    found = read_run(tmp_path / "bed", 1)
    assert found.verdict == NOT_ENDED
    assert not found.has_ended
    assert found.seconds == 5.0
    assert "killed" in found.reason
    assert found.operations[1].outcome is None


def test_a_run_that_did_nothing_is_read(tmp_path: Path) -> None:
    """Killed right at its beginning."""
    bed = Bed(tmp_path / "bed")
    bed.begin("sweep")
    bed.close()
    found = read_run(tmp_path / "bed", 1)
    assert (found.seconds, list(found.operations), found.scenario) == (0.0, [], "sweep")


def test_evidence_that_was_removed_is_told(tmp_path: Path) -> None:
    """Where it was is still known."""
    bed = busy_bed(tmp_path / "bed")
    bed.close()
    shutil.rmtree(tmp_path / "bed" / "runs")
    (found,) = read_run(tmp_path / "bed", 1).violations
    assert found.evidence is not None
    assert not found.evidence.is_there
    assert found.evidence.directory.name == "001-restored-exactly"


def test_evidence_of_a_testbed_that_was_moved_is_found(tmp_path: Path) -> None:
    """Its path is recorded as it was, and looked for where the testbed is now."""
    busy_bed(tmp_path / "bed").close()
    (tmp_path / "bed").rename(tmp_path / "moved")
    (found,) = read_run(tmp_path / "moved", 1).violations
    assert found.evidence is not None
    assert found.evidence.is_there
    assert found.evidence.directory.is_relative_to(tmp_path / "moved")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[1]", '{"differences": 3}', '{"differences": [{"blocks": "x"}]}', "\xff"]
)
def test_differences_that_are_not_what_we_know_are_left_out(tmp_path: Path, text: str) -> None:
    """The words are shown instead; nothing on the disk can stop a report."""
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    bed.violation(run, "x", {"differences.json": text, "differences.txt": "words"})
    bed.close()
    (found,) = read_run(tmp_path / "bed", 1).violations
    assert found.evidence is not None
    assert list(found.evidence.differences) == []
    assert found.evidence.texts == {"differences.txt": "words"}


def test_a_long_text_is_shown_in_part(tmp_path: Path) -> None:
    """Of how much it is the beginning is said."""
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    bed.violation(run, "x", {"differences.txt": "x" * 1_000_000, "differences.json": DIFFERENCES})
    bed.close()
    (found,) = read_run(tmp_path / "bed", 1).violations
    assert found.evidence is not None
    text = found.evidence.texts["differences.txt"]
    assert len(text) < 25_000
    assert "1,000,000 bytes" in text


def test_compacted_operations_are_counted(tmp_path: Path) -> None:
    """Also over several compactions, and none of a run that was left alone."""
    bed = Bed(tmp_path / "bed")
    for number in (1, 2, 3):
        run = bed.begin()
        for step in range(number):
            bed.operation(run, step, is_own=step > 0)
        bed.end(run)
    assert bed.ledger.compact(2).operations == 1
    assert bed.ledger.compact(1).operations == 2
    bed.close()
    assert [read_run(tmp_path / "bed", number).operations_dropped for number in (1, 2, 3)] == [1, 2, 0]


def test_all_accepted_is_said_beside_the_verdict(tmp_path: Path) -> None:
    """The verdict stays what it was; who reads it shall know."""
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    bed.violation(run, "x")
    bed.end(run, verdict="violated")
    assert read_run(tmp_path / "bed", 1).headline == "VIOLATED"
    bed.ledger.accept(1, "known since March")
    bed.close()
    found = read_run(tmp_path / "bed", 1)
    assert found.headline == "VIOLATED, ALL OF IT ACCEPTED"
    assert "VIOLATED, ALL OF IT ACCEPTED" in run_as_markdown(found)
    assert '<div class="verdict is-violated">' in live_parts(found)["head"]
    assert 'message="1 violation(s), accepted: known since March"' in run_as_junit(found)
    assert 'failures="0"' in run_as_junit(found)


def test_an_unknown_run_is_one_clear_line(tmp_path: Path) -> None:
    """Not a traceback."""
    bed = Bed(tmp_path / "bed")
    bed.close()
    with pytest.raises(TestbedError, match="no run 3"):
        read_run(tmp_path / "bed", 3)


def test_nothing_unprintable_reaches_a_renderer_from_evidence(tmp_path: Path) -> None:
    """Texts of evidence are made printable where they are read."""
    busy_bed(tmp_path / "bed").close()
    (found,) = read_run(tmp_path / "bed", 1).violations
    assert found.evidence is not None
    assert found.evidence.texts["README.md"].startswith(NASTY[:20])
    assert "\x1b" not in found.evidence.texts["README.md"]
    assert "\u202e" not in found.evidence.texts["README.md"]


def test_a_pass_apart_from_known_bugs_is_a_pass(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    bed.violation(run, "x")
    bed.ledger.accept(1, "known bug x")
    bed.end(run, verdict="pass")
    bed.close()
    found = read_run(tmp_path / "bed", 1)
    assert found.headline == "PASS, APART FROM KNOWN BUGS"
    assert '<div class="verdict is-pass">' in live_parts(found)["head"]
