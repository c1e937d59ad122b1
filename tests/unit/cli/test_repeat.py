"""Running until a violation: how often, with which seeds, and what can't be asked for."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from snapstorm.cli.repeat import check_repetition, run_until_violation, seed_of
from snapstorm.cli.stages import Showing, Stage
from snapstorm.errors import ConfigError, HarnessError
from snapstorm.run.harness import HarnessOptions
from snapstorm.scenario.scenarios import Scenario
from snapstorm.targets.workload import SIMULATED

QUIET = Showing("none", json_output=True)
SHORT = SIMULATED.model_copy(update={"actions": 12})


def stage(testbed: Path | None, target: str, seed: int | None = 1) -> Stage:
    options = HarnessOptions(testbed=testbed, target=target, seed=seed, operation_seconds_max=0.3)
    return Stage(options, lambda harness: harness.run_scenario(SHORT))


def test_it_goes_on_until_the_time_is_over(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Honest runs on one testbed, each with a seed of its own that follows from the first.

    The clock shows half a minute more each time it is read: after the fourth run, another one would end too late.
    """
    half_minutes = itertools.count()
    status = run_until_violation(stage(scratch / "bed", "memory"), 4, QUIET, lambda: 30.0 * next(half_minutes))
    captured = capsys.readouterr()
    shown = json.loads(captured.out)
    each = shown["repeated"]["each"]
    assert status == 0
    assert shown["repeated"]["runs"] == len(each) == 4
    assert [row["run"] for row in each] == list(range(1, len(each) + 1))
    assert [row["seed"] for row in each] == [seed_of(1, number) for number in range(1, len(each) + 1)]
    assert len({row["seed"] for row in each}) == len(each)
    assert shown["restores_verified_earlier_runs"] > 0
    assert f"{len(each)} run(s)" in captured.err
    assert captured.err.count("PASS:") == len(each)
    assert captured.err.count("\ntarget ") == 1, "only the last run is summed up"


def test_a_violation_ends_it(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit status and the summary of the run that found it."""
    status = run_until_violation(stage(scratch / "bed", "memory:restore-flips-a-byte"), 10, QUIET)
    captured = capsys.readouterr()
    shown = json.loads(captured.out)
    assert status == 1
    assert shown["verdict"] == "violated"
    assert shown["repeated"]["each"][-1]["verdict"] == "violated"
    assert "VIOLATED" in captured.err


def test_one_run_is_always_made(capsys: pytest.CaptureFixture[str]) -> None:
    """However short the time; and a temporary testbed goes when nothing was found."""
    assert run_until_violation(stage(None, "memory", None), 0.0001, QUIET) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["repeated"]["runs"] == 1
    assert not Path(shown["testbed"]).exists()


def test_what_was_violated_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """A temporary testbed stays with its evidence."""
    run_until_violation(stage(None, "memory:restore-flips-a-byte"), 10, QUIET)
    testbed = Path(json.loads(capsys.readouterr().out)["testbed"])
    assert list(testbed.rglob("evidence/*/README.md"))
    from snapstorm.filesystem.removal import remove_tree  # noqa: PLC0415 - to clean up what this test has left

    remove_tree(testbed.parent)


def test_a_run_that_can_not_be_made_ends_it(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason comes through, and how many runs there were is told."""
    (scratch / "bed").mkdir()
    (scratch / "bed" / "other").touch()
    with pytest.raises((ConfigError, HarnessError), match="no testbed"):
        run_until_violation(stage(scratch / "bed", "memory"), 10, QUIET)
    assert "0 run(s)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("minutes", "changes", "is_wanted", "is_upgrade", "words"),
    [
        (5, {}, False, False, "--until-violation"),
        (0, {}, True, False, "above 0"),
        (float("nan"), {}, True, False, "above 0"),
        (5, {}, True, True, "versions"),
        (5, {"versions": ("0.19.0", "0.23.1")}, True, False, "versions"),
        (1, {"duration_seconds": 61.0, "actions": None}, True, False, "shorten --duration"),
    ],
)
def test_nonsense_is_refused(
    minutes: float, changes: dict[str, object], is_wanted: bool, is_upgrade: bool, words: str
) -> None:
    """In one line, before anything is done."""
    scenario = Scenario.model_copy(SHORT, update=changes)
    with pytest.raises(ConfigError, match=words):
        check_repetition(minutes, scenario, is_wanted=is_wanted, is_upgrade=is_upgrade)


def test_what_makes_sense_is_not() -> None:
    """With and without a bound."""
    check_repetition(None, SHORT, is_wanted=True, is_upgrade=False)
    check_repetition(5, SHORT, is_wanted=True, is_upgrade=False)
