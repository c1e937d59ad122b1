"""What a run that passed would have caught: no more than its work allows to say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snapstorm.model.expectations import State
from snapstorm.model.protocols import Mode, TargetDescription
from snapstorm.model.verdict import Tally, Verdict
from snapstorm.model.work import WorkKind, work_done
from snapstorm.report.power import CalibratedClass, calibrated, caught_by, power_line, would_have_caught
from snapstorm.report.summary import summary_lines
from snapstorm.run.result import RunResult
from snapstorm.targets.kopia.planted import wrapped
from snapstorm.targets.memory.planted import simulated

CLASSES = (
    CalibratedClass("flips", WorkKind.RESTORE, 3),
    CalibratedClass("link", WorkKind.RESTORE_LINK, 1),
    CalibratedClass("others", WorkKind.LIST_AMONG_OTHERS, 1),
    CalibratedClass("removed", WorkKind.REMOVED_CLIENT, 1),
    CalibratedClass("killed", "fault kill-server", 2),
)


def result(tally: Tally, *, verdict: Verdict = Verdict.PASS, clients: int = 2) -> RunResult:
    return RunResult(
        1,
        1,
        verdict,
        "",
        TargetDescription("kopia"),
        Mode.SERVER,
        clients,
        1.0,
        {},
        {},
        0.0,
        0,
        tally,
        dict.fromkeys(State, 0),
        Path(),
    )


def caught(tally: Tally, *, clients: int = 2) -> list[str]:
    return caught_by(work_done(tally, clients), CLASSES)


def test_a_kind_counts_only_with_as_much_work_as_it_took() -> None:
    """One restore less, and it does not count."""
    assert caught(Tally(restores_verified=2)) == []
    assert caught(Tally(restores_verified=3)) == ["flips"]
    assert caught(Tally(restores_verified=3, links_verified=1)) == ["flips", "link"]


def test_listings_among_others_need_others() -> None:
    """A single client, or a server that does not keep clients apart, shows nothing of who sees whose snapshots."""
    tally = Tally(isolates_clients=True)
    tally.actions["list-snapshots"]["ok"] += 1
    assert caught(tally) == ["others"]
    assert caught(tally, clients=1) == []
    assert caught(replace(tally, isolates_clients=False)) == []


def test_what_was_not_done_does_not_count() -> None:
    """A no-op is no work."""
    tally = Tally()
    tally.actions["list-snapshots"]["no_op"] += 1
    assert caught(tally) == []


def test_locks_and_faults_count_as_work() -> None:
    """Who was refused, and what was broken."""
    assert caught(Tally(refused={WorkKind.REMOVED_CLIENT: 1}, faults={"kill-server": 2})) == ["removed", "killed"]


def test_only_a_pass_tells_its_power() -> None:
    """A run that found something, or judged nothing, claims nothing."""
    for verdict in Verdict:
        line = power_line(result(Tally(restores_verified=3), verdict=verdict))
        assert (line is not None) == (verdict is Verdict.PASS)


def test_the_summary_has_it_in_one_line() -> None:
    """Above the verdict."""
    passed = result(Tally(restores_verified=100_000))
    names, there_are = would_have_caught(passed), len(calibrated("kopia"))
    assert names
    assert len(names) < there_are
    lines = summary_lines(passed, is_testbed_kept=False)
    assert lines[-2] == f"power      would have caught {len(names)} of {there_are} kinds of planted defects"


def test_the_shipped_table_is_of_defects_that_there_are() -> None:
    """Each shipped kind is in the tables, takes some work, and enough of them are there."""
    for kind, specimens in (("kopia", wrapped(Path("/bin/true"))), ("memory", simulated())):
        shipped = calibrated(kind)
        names = {specimen.name for specimen in specimens.defects}
        assert {found.name for found in shipped} <= names | {"restore-changes-an-owner"}
        assert len(shipped) >= 40
        assert all(found.needed >= 1 for found in shipped)
    assert calibrated("another") == ()
