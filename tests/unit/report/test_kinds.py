"""What is of one kind is shown once, with how often it came; different findings are never one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from snapstorm.model.events import RunEnded, ViolationFound
from snapstorm.model.expectations import State
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.model.protocols import Mode, TargetDescription
from snapstorm.model.verdict import Tally, decide
from snapstorm.report.github import github_progress
from snapstorm.report.kinds import by_kind
from snapstorm.report.summary import VIOLATIONS_SHOWN_MAX, summary_lines
from snapstorm.run.result import RunResult


def lost(number: int, words: str = "can't be restored: restore failed with status 1") -> Violation:
    """One of many of its kind."""
    snapshot = f"k{number:032x}"
    return Violation(
        Guarantee.RESTORED_EXACTLY, f"snapshot {snapshot} {words}", f"client-{number % 4}@snapstorm", snapshot
    )


OTHER = Violation(Guarantee.AVAILABLE, "list-snapshots failed although no fault was active", "client-1@snapstorm")


def result(violations: Sequence[Violation]) -> RunResult:
    tally = Tally(violations=list(violations))
    states = dict.fromkeys(State, 0)
    target = TargetDescription("kopia")
    verdict, reason = decide(tally)
    return RunResult(1, 1, verdict, reason, target, Mode.SERVER, 2, 1.0, {}, {}, 0.0, 0, tally, states, Path("bed"))


def test_one_kind_is_one_whatever_the_client_and_the_snapshot() -> None:
    """In the order of their first ones."""
    assert by_kind([lost(1), OTHER, lost(2), lost(3)]) == [[lost(1), lost(2), lost(3)], [OTHER]]


def test_other_words_or_another_guarantee_are_another_kind() -> None:
    """So that the second kind of damage does not stand behind the first."""
    different = [
        lost(1),
        lost(1, "differs: a: content is wrong"),
        lost(1, "differs: a: missing"),
        Violation(Guarantee.AVAILABLE, lost(1).detail, lost(1).client, lost(1).snapshot),
    ]
    assert by_kind(different) == [[one] for one in different]


def test_differences_in_paths_and_numbers_are_one_kind() -> None:
    """Names and sizes are drawn."""
    same = [
        Violation(Guarantee.RESTORED_EXACTLY, f"it differs: {path}: size is {size}, must be {size + 1}", path=path)
        for path, size in (("a/b c", 10), ("1234abcd-report.txt", 2000))
    ]
    assert by_kind(same) == [same]


def test_the_summary_shows_a_kind_once_with_its_number_and_the_first() -> None:
    """And the verdict counts them all, as `--json` lists them all."""
    shown = result([OTHER, *(lost(number) for number in range(1, 14))])
    lines = summary_lines(shown, is_testbed_kept=False)
    assert [line for line in lines if line.startswith("VIOLATED  ")] == [
        "VIOLATED   available (client-1@snapstorm)",
        f"VIOLATED   restored-exactly (13 times, first, client-1@snapstorm, {lost(1).snapshot})",
    ]
    assert sum("can't be restored" in line for line in lines) == 1
    assert lines[-1].startswith("VIOLATED: 14 violation(s)")
    assert len(shown.as_json()["violations"]) == 14


def test_many_kinds_are_cut_and_what_is_left_out_is_counted() -> None:
    """Each violation of the kinds that are not shown."""
    kinds = [lost(1, f"is wrong in way {chr(ord('a') + number)}") for number in range(VIOLATIONS_SHOWN_MAX + 2)]
    lines = summary_lines(result([*kinds, kinds[-1]]), is_testbed_kept=False)
    assert "           and 3 more violation(s) of other kinds" in lines


def test_github_gets_one_error_for_a_kind_and_the_count_at_the_end() -> None:
    """GitHub shows ten annotations of a step: thirteen of one kind would hide what else there is."""
    stream = io.StringIO()
    with github_progress(stream) as listen:
        for number in range(1, 14):
            listen(ViolationFound(lost(number)))
        listen(ViolationFound(OTHER))
        listen(RunEnded("violated", ""))
    lines = stream.getvalue().splitlines()
    errors = [line for line in lines if line.startswith("::error")]
    assert len(errors) == 2
    assert sum("can't be restored" in line for line in lines) == 13
    assert "::notice title=snapstorm::restored-exactly violated 13 times in the same way" in lines
