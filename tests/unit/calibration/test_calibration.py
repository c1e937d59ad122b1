"""Calibration: who judges learns nothing, and the books are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from snapstorm.calibration.calibration import Calibration, Observation, Sighting, Trial, in_drawn_order, observe
from snapstorm.cli.calibrate import calibrate_with, choose_specimens
from snapstorm.errors import ConfigError
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.verdict import Verdict
from snapstorm.report.calibration_table import calibration_lines
from snapstorm.targets.kopia.planted import wrapped
from snapstorm.targets.memory.planted import MEMORY_DEFECTS, simulated
from snapstorm.targets.planted import HONEST, Specimen

ALL = (wrapped(Path("/bin/true")), simulated())


def simulated_specimen(name: str | None) -> Specimen:
    """The simulated target with this defect, or without any."""
    return next(found for found in (*ALL[1].defects, *ALL[1].honest) if found.name == (name or HONEST))


def seen(*guarantees: Guarantee, verdict: Verdict | None = None) -> Observation:
    sightings = tuple(Sighting(guarantee, "detail", 7, 1.5, {"restore": 3}) for guarantee in guarantees)
    default = Verdict.VIOLATED if guarantees else Verdict.PASS
    return Observation(verdict or default, "reason", sightings, 48, 9.0)


def trial(name: str | None, observation: Observation, broke: str = "") -> Trial:
    return Trial(simulated_specimen(name), observation, None, broke)


FLIPPED = "restore-flips-a-byte"


def test_what_is_caught_under_its_right_name_is_right() -> None:
    """The right guarantee among those that were named is a catch; how much work it took is what was begun."""
    caught = trial(FLIPPED, seen(Guarantee.AVAILABLE, Guarantee.RESTORED_EXACTLY))
    assert caught.is_as_it_must_be
    assert caught.work_needed == 4
    assert Calibration(1, [caught]).is_perfect


@pytest.mark.parametrize(
    "observation", [seen(), seen(Guarantee.AVAILABLE), seen(verdict=Verdict.INCONCLUSIVE), seen(verdict=Verdict.ERROR)]
)
def test_what_is_not_caught_under_its_right_name_is_not_right(observation: Observation) -> None:
    """A pass, another name, and no verdict at all are misses, each told."""
    missed = trial(FLIPPED, observation)
    calibration = Calibration(1, [missed, trial(None, seen())])
    assert not missed.is_as_it_must_be
    assert not calibration.is_perfect
    assert calibration.classes[0].caught == 0
    assert any(line.startswith("NOT RIGHT") and FLIPPED in line for line in calibration_lines(calibration))


def test_an_honest_run_must_pass() -> None:
    """One that is violated is a false alarm; one that could not be judged is none, and not right either."""
    alarm = trial(None, seen(Guarantee.AVAILABLE))
    unjudged = trial(None, seen(verdict=Verdict.INCONCLUSIVE))
    assert (alarm.is_false_alarm, alarm.is_as_it_must_be) == (True, False)
    assert (unjudged.is_false_alarm, unjudged.is_as_it_must_be) == (False, False)
    assert Calibration(1, [alarm]).as_json()["false_alarms"] == 1
    assert not Calibration(1, [unjudged]).is_perfect


def test_a_specimen_that_broke_by_itself_shows_nothing() -> None:
    """Also when the run named the right guarantee."""
    assert not trial(FLIPPED, seen(Guarantee.RESTORED_EXACTLY), broke="ZeroDivisionError").is_as_it_must_be


def test_nothing_tried_is_not_perfect() -> None:
    """A calibration without a trial has shown nothing."""
    assert not Calibration(1, []).is_perfect


def test_a_class_is_caught_if_each_run_is() -> None:
    """The books count runs by class, and remember the greatest effort."""
    right, wrong = trial(FLIPPED, seen(Guarantee.RESTORED_EXACTLY)), trial(FLIPPED, seen())
    result = Calibration(1, [right, wrong]).classes[0]
    assert (result.caught, len(result.trials), result.is_caught) == (1, 2, False)
    assert result.as_json()["needed"] == 4
    assert result.as_json()["actions"] == 7


def test_the_order_follows_from_the_seed() -> None:
    """The same seed gives the same order, another one another, and nothing is lost."""
    specimens = choose_specimens(ALL, [], runs=1, honest=20)
    names = [(specimen.kind, specimen.name) for specimen in in_drawn_order(specimens, 1)]
    assert names == [(specimen.kind, specimen.name) for specimen in in_drawn_order(specimens, 1)]
    assert names != [(specimen.kind, specimen.name) for specimen in in_drawn_order(specimens, 2)]
    assert len(names) == len(MEMORY_DEFECTS) + len(ALL[0].defects) + 20
    assert sum(name == HONEST for _, name in names) == 20


def test_honest_runs_are_of_every_kind_that_is_asked_for() -> None:
    """In turns, of the real and of the simulated one."""
    honest = [found for found in choose_specimens(ALL, [], runs=1, honest=20) if found.is_honest]
    assert [found.kind for found in honest].count("kopia") == 10
    assert len({found.setup.faults for found in honest if found.kind == "memory"}) > 5


def test_a_name_that_no_defect_has_is_refused() -> None:
    """With the nearest ones."""
    with pytest.raises(ConfigError, match="restore-flips-a-byte"):
        choose_specimens([simulated()], ["restore-flips-a-bite"], runs=1, honest=0)


def test_what_is_run_says_nothing_of_what_is_planted(scratch: Path) -> None:
    """Neither the options that a run gets nor the path in them hold the name of a defect."""
    for number, specimen in enumerate(choose_specimens(ALL, [], runs=1, honest=2)):
        options = specimen.plant(scratch / f"{number:02}")
        assert specimen.name not in repr(options)
        assert specimen.sentence not in repr(options)


def test_an_observer_finds_what_it_was_not_told_of(scratch: Path) -> None:
    """A defect of the simulated target is seen with how much was done until then; an honest one passes."""
    for name in (FLIPPED, None):
        specimen = simulated_specimen(name)
        place = scratch / (name or HONEST)
        place.mkdir()
        planted = specimen.plant(place / "planted")
        observation = anyio.run(observe, replace(specimen.setup, rounds=1), planted, place, 3)
        if name is None:
            assert (observation.verdict, observation.sightings) == (Verdict.PASS, ())
            continue
        assert observation.verdict is Verdict.VIOLATED
        assert observation.sightings[0].guarantee is Guarantee.RESTORED_EXACTLY
        assert 0 < observation.sightings[0].actions < observation.actions
        assert observation.sightings[0].work["create"] > 0


def test_a_defect_that_does_nothing_makes_it_fail(capsys: pytest.CaptureFixture[str]) -> None:
    """What claims to be a defect and is none can't be caught: exit status 1, and it is said which."""
    impossible = replace(simulated_specimen(None), name="impossible", guarantee=Guarantee.RESTORED_EXACTLY)
    assert calibrate_with([impossible], 1, json_output=False) == 1
    assert "NOT RIGHT    memory impossible: pass: missed (restored-exactly)" in capsys.readouterr().out
