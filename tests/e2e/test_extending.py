"""The example of docs/extending.md: a distribution that is installed beside snapstorm adds one of each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, Ran, snapstorm
from tests.waiting import GIVE_UP_SECONDS

EXAMPLE = Path(__file__).parent.parent.parent / "examples/extending"
AGAIN = ("--clients", "3", "--actions", "40", "--weights", "list-again=20")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which pip has installed it, without a network."""
    directory = tmp_path_factory.mktemp("extending")
    shutil.copytree(EXAMPLE, directory / "source")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--no-build-isolation", "--target", directory / "site", directory / "source"),
        ],
        check=True,
        timeout=GIVE_UP_SECONDS,
    )
    return {"PYTHONPATH": str(directory / "site")}


def run(installed: dict[str, str], target: str, *words: str | Path) -> Ran:
    return snapstorm("run", "--target", target, "--json", *SMALL, *words, env=installed)


def test_the_target_passes_and_its_commands_are_judged(scratch: Path, installed: dict[str, str]) -> None:
    """Many clients on one server, a second run on the same testbed, and one client directly on the archives."""
    bed = ("--testbed", scratch / "bed", *AGAIN)
    for _ in range(2):
        ran = run(installed, "tar", *bed)
        assert (ran.status, ran.json["verdict"]) == (0, "pass"), ran.stderr
        assert ran.json["actions"]["list-again"]["ok"] > 0
    direct = ("--testbed", scratch / "direct", "--actions", "20", "--mode", "direct", "--clients", "1")
    ran = run(installed, "tar", *direct)
    assert (ran.status, ran.json["verdict"]) == (0, "pass"), ran.stderr


def test_the_planted_defect_violates_the_guarantee(scratch: Path, installed: dict[str, str]) -> None:
    """That one and no other; judging the run again finds the same."""
    ran = run(installed, "tar:lists-in-any-order", "--testbed", scratch / "bed", *AGAIN)
    assert (ran.status, ran.json["verdict"]) == (1, "violated"), ran.stderr
    assert {violation["guarantee"] for violation in ran.json["violations"]} == {"listed-in-one-order"}
    again = snapstorm("recheck", scratch / "bed", "--json", env=installed)
    assert again.status == 1, again.stderr
    assert {(one["today"], one["guarantee"]) for one in again.json["violations"]} == {("still", "listed-in-one-order")}
    refused = run(installed, "tar:no-such-defect", "--testbed", scratch / "other")
    assert (refused.status, "lists-in-any-order" in refused.stderr) == (2, True)


def test_the_judge_is_calibrated_on_it(installed: dict[str, str]) -> None:
    """With a defect that works for every target, of which the example knows nothing; an honest run passes."""
    words = ("--target", "tar", "--only", "restore-flips-a-byte", "--honest", "1", "--seed", "1")
    ran = snapstorm("calibrate", *words, "--json", env=installed)
    assert ran.status == 0, ran.stderr
    assert (ran.json["caught"], ran.json["honest_passed"], ran.json["classes"][0]["kind"]) == (1, 1, "tar")


def test_the_fault_strikes_and_is_healed(scratch: Path, installed: dict[str, str]) -> None:
    """What fails meanwhile is excused, and everything is there afterwards."""
    ran = run(installed, "tar", "--testbed", scratch / "bed", "--clients", "1", "--actions", "4",
              "--faults", "unmount-archives")  # fmt: skip
    assert (ran.status, ran.json["verdict"]) == (0, "pass"), ran.stderr
    assert ran.json["faults"]["unmount-archives"] > 0


def test_all_of_it_is_listed(installed: dict[str, str]) -> None:
    """With its words, by the commands that list what there is."""
    described = snapstorm("target", "tar", "--json", env=installed)
    assert described.json["capabilities"]["hard_links"] is False
    assert snapstorm("actions", "--json", env=installed).json["list-again"]["options"] == {"times": 3}
    assert snapstorm("faults", "--json", env=installed).json["unmount-archives"]["needs"] == "the target tar"


def test_it_stays_small() -> None:
    """Each of the four is a file, and all of it is read in some minutes."""
    files = sorted((EXAMPLE / "src/stormtar").glob("*.py"))
    assert [file.stem for file in files] == ["__init__", "action", "fault", "guarantee", "target"]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 300
