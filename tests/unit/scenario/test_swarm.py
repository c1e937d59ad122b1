"""A swarm's configuration follows from its seed, and can always be run."""

from __future__ import annotations

import pytest

from snapstorm.faults.catalogue import FAULTS
from snapstorm.model.actions import ACTIONS
from snapstorm.scenario.swarm import ALWAYS, draw_swarm
from snapstorm.targets.kopia.parameters import PARAMETERS, Command, choices, options_for

SEEDS = range(200)


def test_the_same_seed_draws_the_same() -> None:
    """And another seed another one."""
    drawn = [draw_swarm(seed, list(FAULTS), choices()) for seed in SEEDS]
    assert drawn == [draw_swarm(seed, list(FAULTS), choices()) for seed in SEEDS]
    assert len({scenario.model_dump_json(exclude={"name", "description"}) for scenario in drawn}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_draw_tests_something(seed: int) -> None:
    """It writes, snapshots and restores; all that it names exists."""
    scenario = draw_swarm(seed, list(FAULTS), choices())
    assert all(scenario.weights[key] > 0 for key in ALWAYS)
    assert scenario.weights.keys() <= ACTIONS.keys()
    assert scenario.options.keys() <= scenario.weights.keys()
    assert set(scenario.faults) <= set(FAULTS)
    assert scenario.fault_weights.keys() == set(scenario.faults)
    assert all(value in PARAMETERS[name].choices for name, value in scenario.parameters.items())


def test_all_is_drawn_sometimes_and_left_out_sometimes() -> None:
    """Each action that can be drawn, each fault, each value of each setting."""
    drawn = [draw_swarm(seed, list(FAULTS), choices()) for seed in SEEDS]
    for key in FAULTS:
        assert 0 < sum(key in scenario.faults for scenario in drawn) < len(SEEDS)
        weights = {scenario.fault_weights[key] for scenario in drawn if key in scenario.faults}
        assert min(weights) <= 3 < 15 <= max(weights), "a fault is drawn rarely in one swarm, and often in another"
    for name, values in choices().items():
        assert {scenario.parameters.get(name) for scenario in drawn} == {None, *values}
    for key in set().union(*(scenario.weights for scenario in drawn)) - set(ALWAYS):
        assert 0 < sum(key in scenario.weights for scenario in drawn) < len(SEEDS)


def test_settings_become_options_of_their_command() -> None:
    """Error correction needs a second option, but not where it is off."""
    chosen = {"splitter": "FIXED-1M", "ecc-percent": "5", "compression": "zstd", "content-cache-mb": "1"}
    assert options_for(Command.CREATE, chosen) == [
        "--object-splitter=FIXED-1M",
        "--ecc-overhead-percent=5",
        "--ecc=REED-SOLOMON-CRC32",
    ]
    assert options_for(Command.POLICY, chosen) == ["--compression=zstd"]
    assert options_for(Command.CONNECT, chosen) == ["--content-cache-size-mb=1"]
    assert options_for(Command.FORMAT, chosen) == []
    assert options_for(Command.CREATE, {"ecc-percent": "0"}) == ["--ecc-overhead-percent=0"]
