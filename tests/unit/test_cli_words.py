"""What is typed changes the scenario, and means what it says."""

from __future__ import annotations

import pytest

from snapstorm.cli_words import changed, changes_of
from snapstorm.model.actions import WriteRandomFiles
from snapstorm.plan.scenarios import Scenario, shipped


def typed(*options: str) -> WriteRandomFiles:
    """How the default scenario draws files when these options are typed."""
    changes = changes_of(None, None, None, None, None, list(options))
    scenario: Scenario = changed(shipped("randomized"), changes)
    return WriteRandomFiles(**scenario.options[WriteRandomFiles.key])


@pytest.mark.parametrize(
    ("options", "small_first"),
    [
        ((), True),
        (("write-random-files.count=3",), True),
        (("write-random-files.size_bytes=0..5000000",), False),
        (("write-random-files.size_bytes=0..5000000", "write-random-files.small_first=true"), True),
        (("write-random-files.small_first=false",), False),
    ],
)
def test_sizes_that_are_typed_are_drawn_from_the_first_step_on(options: tuple[str, ...], small_first: bool) -> None:
    """Small files come first in the default scenario, unless its user says which sizes to draw."""
    assert typed(*options).small_first is small_first
