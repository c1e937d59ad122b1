"""The command line's part that draws a configuration: from the seed, of what the target and this machine can do."""

from __future__ import annotations

import sys

from snapstorm.errors import ConfigError
from snapstorm.faults.catalogue import FAULTS
from snapstorm.report.listings import scenario_lines
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.swarm import draw_swarm
from snapstorm.targets.registry import read_target


def draw_configuration(seed: int, target: str, *, has_operator: bool, is_alone: bool) -> Scenario:
    """The configuration that this seed gives, shown on stderr as a scenario that can be run again.

    Raises ConfigError where a configuration was also given otherwise.
    """
    if not is_alone:
        raise ConfigError("--swarm draws the scenario, so leave the other one out")
    plugin, _ = read_target(target)
    parameters = {} if has_operator else plugin.parameters
    scenario = draw_swarm(seed, [] if has_operator else list(FAULTS), parameters)
    print(f"swarm: seed {seed} draws", file=sys.stderr)
    for line in "\n".join(scenario_lines(scenario, as_json=False)).splitlines():
        print(f"    {line}".rstrip(), file=sys.stderr)
    return scenario
