"""What the listing commands print is what there is."""

from __future__ import annotations

import tomllib

import pytest

from snapstorm.report.listings import as_document, scenario_lines
from snapstorm.scenario.recording import RecordedFault, RecordedStep, Recording
from snapstorm.scenario.scenarios import Scenario, parse_scenario
from snapstorm.scenario.shipped_scenarios import SHIPPED

STEPS = (
    RecordedStep(name="a-1", client=1, action="write-random-files", draws=("c", 1)).with_options(
        count="1..3", links=False
    ),
    RecordedStep(name="a-2", client=2, action="snapshot-root", after=("a-1",)),
    RecordedStep(name="a-3", client=2, action="restore-snapshot", of="a-2", part="a \"b\" \\ 'c'\n\t# ü\x01"),
)
RECORDED = Scenario(
    name='a "name" with \\ and\nlines',
    clients=2,
    faults=("kill-server",),
    parameters={"a.b": "c d"},
    recorded=Recording(
        seed=7, run=3, steps=STEPS, faults=(RecordedFault(key="kill-server", number=2, after=("a-1",)),)
    ),
)


@pytest.mark.parametrize("scenario", [*SHIPPED, RECORDED], ids=lambda scenario: scenario.name.partition(" ")[0])
def test_a_scenario_that_is_printed_reads_back(scenario: Scenario) -> None:
    """As the same document, and as the same scenario."""
    text = "\n".join(scenario_lines(scenario, as_json=False))
    assert tomllib.loads(text) == as_document(scenario)
    assert parse_scenario(text, "printed.toml") == scenario
