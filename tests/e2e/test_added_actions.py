"""Actions of another distribution: one file of its own and an entry point, and every command knows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.commandline import snapstorm

ACTION = '''
from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.step import Step
from snapstorm.model.actions import Inspection
from snapstorm.model.outcomes import Ok, Outcome


class TouchNothing(Inspection[int]):
    """Do nothing, and count how often."""

    key = "touch-nothing"
    at_once: int = 1


@performs(TouchNothing)
class TouchNothingPerformer(Performer[int]):
    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._count = 0

    async def perform(self, step: Step, action: TouchNothing) -> Outcome[int]:
        self._count += action.at_once
        await self._operations.note(step, {"count": self._count})
        return Ok(self._count)
'''


SCENARIO = """
steps = [{action = "write-random-files"}, {action = "snapshot-root"}, {action = "touch-nothing", at_once = 3}]
weights = {touch-nothing = 9, modify-files = 1}
"""


def installed(directory: Path, text: str) -> dict[str, str]:
    """A distribution with one module there, as pip leaves it. Returns the environment in which it is found."""
    information = directory / "touching-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: touching\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[snapstorm.actions]\ntouching = touching\n")
    (directory / "touching.py").write_text(text)
    return {"PYTHONPATH": str(directory)}


def test_an_action_of_another_distribution_is_listed_drawn_and_reported(scratch: Path) -> None:
    """Lists, weights, scenario files, results and reports have it, without anybody naming it."""
    environment = installed(scratch / "site", ACTION)
    listed = snapstorm("actions", "--json", env=environment)
    assert listed.json["touch-nothing"]["options"] == {"at_once": 1}
    own = scratch / "own.toml"
    own.write_text(SCENARIO)
    bed = scratch / "bed"
    run = ("run", "--target", "memory", "--clients", "2", "--actions", "20", "--config", own, "--testbed", bed)
    ran = snapstorm(*run, "--json", "--report", scratch / "reports", env=environment)
    assert ran.status == 0, ran.stderr
    assert ran.json["actions"]["touch-nothing"]["ok"] >= 12
    assert "touch-nothing" in (scratch / "reports/report.html").read_text()
    for command in (("status", "--testbed", bed), ("report", bed, "--html", scratch / "later.html")):
        without = snapstorm(*command)
        assert without.status == 0, without.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            ACTION.replace("@performs(TouchNothing)", ""),
            "nothing performs the action touch-nothing: touching.TouchNothing",
        ),
        (
            "import no_such_module",
            "touching (snapstorm.actions) of the distribution touching can't be loaded (ModuleNotFoundError: No module "
            "named 'no_such_module'): repair it or uninstall it",
        ),
    ],
)
def test_what_can_not_work_is_one_line(text: str, words: str, scratch: Path) -> None:
    """Before anything is run."""
    ran = snapstorm("run", "--target", "memory", "--actions", "5", env=installed(scratch / "site", text))
    assert ran.status in {2, 3}
    assert ran.stderr.strip().splitlines()[-1].endswith(words)
