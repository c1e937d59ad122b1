"""A target of another distribution: chosen by its name like ours, with its own options, and nothing else to be done."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, Ran, snapstorm

PLUGIN = '''
from dataclasses import dataclass

from snapstorm.errors import ConfigError
from snapstorm.targets.memory.plugin import MemoryPlugin
from snapstorm.targets.plugin import TargetOptions


@dataclass(frozen=True)
class TwinOptions(TargetOptions):
    colour: str = "red"
    """Which one of the two is meant."""

    def external_server(self, testbed):
        if self.colour != "red":
            raise ConfigError(f"there is no {self.colour} one")
        return None


PLUGIN = MemoryPlugin(
    name="twin", sentence="The simulated target once more.", has_planted_defects=True, options={"run": TwinOptions}
)
'''


@pytest.fixture
def installed(scratch: Path) -> dict[str, str]:
    """An environment in which the distribution is installed."""
    package, metadata = scratch / "site" / "snapstorm_twin", scratch / "site" / "snapstorm_twin-1.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(textwrap.dedent(PLUGIN))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: snapstorm-twin\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[snapstorm.targets]\ntwin = snapstorm_twin.plugin:PLUGIN\n")
    return {**os.environ, "PYTHONPATH": str(scratch / "site")}


def run(installed: dict[str, str], *words: str | Path) -> Ran:
    return snapstorm("run", "--target", *words, "--actions", "20", "--clients", "2", "--json", *SMALL, env=installed)


def test_it_is_run_and_judged_like_any_other(scratch: Path, installed: dict[str, str]) -> None:
    """Honest it passes, with a planted defect it is violated, and its testbed is its own."""
    bed = scratch / "bed"
    passed = run(installed, "twin", "--testbed", bed, "--colour", "red")
    assert (passed.status, passed.json["verdict"]) == (0, "pass"), passed.stderr
    other = run(installed, "memory", "--testbed", bed)
    assert other.status == 2
    assert "this testbed was made with target twin" in other.stderr
    violated = run(installed, "twin:restore-flips-a-byte", "--testbed", scratch / "other")
    assert violated.status == 1, violated.stderr


def test_its_options_stand_in_the_help_under_its_name(installed: dict[str, str]) -> None:
    """And are refused for other targets, and by itself."""
    shown = snapstorm("run", "--help", env={**installed, "COLUMNS": "200"}).stdout
    _, _, group = shown.partition("─ Target twin ─")
    assert "The simulated target once more." in group
    assert "--colour" in group.partition("─ Copies of the ledger ─")[0]
    assert "Which one of the two is meant." in group
    refused = run(installed, "memory", "--colour", "blue")
    assert refused.status == 2
    assert "--colour is an option of the target twin, not of memory" in refused.stderr
    refused = run(installed, "twin", "--colour", "blue")
    assert (refused.status, "there is no blue one" in refused.stderr) == (2, True)


def test_it_is_described(installed: dict[str, str]) -> None:
    """`snapstorm target` knows it, and so do other commands."""
    described = snapstorm("target", "twin", env=installed)
    assert described.status == 0, described.stderr
    assert "what survives a snapshot and a restore here:" in described.stdout
    assert "twin" in snapstorm("target", "twim", env=installed).stderr
    assert "no bugs of the target twin" in snapstorm("known-bugs", "--target", "twin", env=installed).stderr


def test_one_that_can_not_be_loaded_is_told_to_who_chooses_it(scratch: Path, installed: dict[str, str]) -> None:
    """In one line, status 3; runs against other targets go on."""
    (scratch / "site" / "snapstorm_twin" / "plugin.py").write_text("import no_such_module\n")
    broken = run(installed, "twin")
    assert broken.status == 3
    assert "the target twin can't be loaded: ModuleNotFoundError" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert run(installed, "memory").status == 0


def test_an_option_that_two_targets_have_is_told(scratch: Path, installed: dict[str, str]) -> None:
    """In one line, status 3, with what to do."""
    plugin = scratch / "site" / "snapstorm_twin" / "plugin.py"
    plugin.write_text(plugin.read_text().replace("colour", "server"))
    refused = run(installed, "memory")
    assert refused.status == 3
    assert "several targets have an option --server; uninstall all but one of them" in refused.stderr
