"""What is typed changes the scenario, and means what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.cli.failures import unforeseen
from snapstorm.cli.words import changed, choose_scenario
from snapstorm.errors import ConfigError
from snapstorm.model.actions import WriteRandomFiles
from snapstorm.scenario.shipped_scenarios import shipped


def typed(*options: str) -> WriteRandomFiles:
    """How the default scenario draws files when these options are typed."""
    scenario = changed(shipped("randomized"), options=options)
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


def test_a_config_that_can_not_be_read_is_refused_in_plain_words(tmp_path: Path) -> None:
    """The message names the file once, and neither a codec nor an error number."""
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "caf\xe9"\n')
    with pytest.raises(ConfigError, match=r"latin.toml can't be read: it is not UTF-8 text \(byte 11\)$"):
        choose_scenario(None, latin)
    with pytest.raises(ConfigError, match=f"^{tmp_path} can't be read: Is a directory$"):
        choose_scenario(None, tmp_path)


def test_a_failure_of_the_machine_names_the_file_first() -> None:
    """As other messages do, and without an error number."""
    assert unforeseen(PermissionError(13, "Permission denied", "/x/y")) == "could not go on: /x/y: Permission denied"
    assert unforeseen(OSError(28, "No space left on device")) == "could not go on: No space left on device"
