"""The page of a comparison: facts, each with the command that shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snapstorm.comparison.comparison import Compared, Contender, TargetComparison, Timing, Weathered
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.protocols import Program
from snapstorm.model.verdict import Verdict
from snapstorm.report.comparison_table import comparison_lines

TIMING = Timing("one-large-file", [1.0, 3.0, 2.0], [0.5], files=1, size_bytes=40 << 20, trees="a", verdict=Verdict.PASS)
ONE = Compared(
    Contender("one", {"port": "7"}),
    [Program(Path("/one"), "1.2", "0" * 64)],
    Capabilities(hard_links=False),
    [TIMING],
    [
        Weathered("kill-server", Verdict.PASS, struck=1),
        Weathered("flip-byte", Verdict.PASS, struck=1, failed=2, first_failure="restore: blob `a|b` is\ndamaged"),
        Weathered("storage-drop", None, reason="it is not there"),
    ],
)
OTHER = replace(
    ONE,
    contender=Contender("other"),
    capabilities=Capabilities(),
    timings=[
        replace(
            TIMING,
            trees="b",
            verdict=Verdict.ERROR,
            reason="the server did not start",
            snapshot_seconds=[],
            restore_seconds=[],
        )
    ],
    weathered=[
        Weathered("kill-server", Verdict.VIOLATED, struck=1, failed=1, violated=["available", "recovers"]),
        Weathered("flip-byte", Verdict.PASS),
        Weathered("storage-drop", Verdict.INCONCLUSIVE, reason="nothing was restored"),
    ],
)


def page(*targets: Compared) -> list[str]:
    return list(comparison_lines(TargetComparison(7, list(targets)), "a machine"))


def test_each_fact_stands_beside_the_others() -> None:
    lines = page(ONE, OTHER)
    assert "# one, other: side by side" in lines
    assert "| version | 1.2 | 1.2 |" in lines
    assert "| two names of one file stay one file | no | yes |" in lines
    assert "| verdict | pass | **error**: the server did not start |" in lines
    assert "| snapshot | 2.00 (1.00 to 3.00) | - |" in lines
    assert "| restore | 0.50 | - |" in lines
    assert any(line.startswith("**The files were not the same**") for line in lines)
    assert "| `kill-server` | rode out | **violated: available, recovers** |" in lines
    assert "| `flip-byte` | recovered, 2 operation(s) failed | found nothing to break |" in lines
    assert "| `storage-drop` | not possible: it is not there | **inconclusive**: nothing was restored |" in lines
    assert "- `flip-byte`, one: `restore: blob 'a|b' is damaged`" in lines


def test_each_fact_has_its_command() -> None:
    lines = page(ONE, OTHER)
    assert "    snapstorm target other" in lines
    assert "    snapstorm run one-large-file --target one --parameter port=7 --clients 1 --seed 7" in lines
    (first,) = [line for line in lines if "--faults" in line and "--target one --parameter port=7" in line]
    assert "--faults kill-server --seed 7" in first


def test_what_was_not_done_is_not_there() -> None:
    lines = page(replace(ONE, timings=[], weathered=[]))
    assert not [line for line in lines if line.startswith(("## How long", "## What came"))]


def test_one_violation_makes_it_bad() -> None:
    assert TargetComparison(7, [ONE]).is_good
    assert not TargetComparison(7, [ONE, OTHER]).is_good
    while_timed = replace(ONE, timings=[replace(TIMING, verdict=Verdict.VIOLATED)])
    assert not TargetComparison(7, [while_timed]).is_good
