"""For longer, on the real targets beside Kopia: every fault, kills, many odd trees, several versions."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, command, snapstorm, wait_until_none_left

from snapstorm.targets.registry import plugin_named

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("nothing_left")]

KILLS = 12
BORG = pytest.mark.needs_borg
TARGETS = ["restic", pytest.param("borg", marks=BORG)]
LAYOUTS = [(target, layout) for target in ("restic", "borg") for layout in plugin_named(target).parameters["layout"]]
VERSIONS = [("restic", "0.14.0", "0.18.1"), pytest.param("borg", "1.2.4", "1.4.5", marks=BORG)]
"""Of each the oldest that the project builds, and the newest."""
ALL_ACTIONS = (
    "--weights", "snapshot-subpath=10", "--weights", "restore-subpath=15", "--weights", "expire=10",
    "--weights", "restore-into-data-directory=8",
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "layout"), [pytest.param(*one, marks=BORG if one[0] == "borg" else ()) for one in LAYOUTS]
)
def test_every_fault_is_ridden_out(target: str, layout: str, scratch: Path) -> None:
    """All that are possible strike; nothing that was acknowledged is lost."""
    how = ("--faults", "all", "--duration", "2m", "--parameter", f"layout={layout}")
    ran = snapstorm("run", "--target", target, *how, "--testbed", scratch / "bed", "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    assert ran.json["sweep"]["left"] == 0


@pytest.mark.parametrize("target", TARGETS)
def test_kills_at_random_moments_lose_nothing(target: str, scratch: Path) -> None:
    """Whenever snapstorm is killed, no process is left, and what it promised is still held and passes."""
    bed, draws = scratch / "bed", random.Random(KILLS)
    how = ("--target", target, "--clients", "3", *SMALL, "--testbed", bed)
    for _ in range(KILLS):
        with subprocess.Popen(
            command("run", *how, "--duration", "60s", "--progress", "none"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            time.sleep(draws.uniform(0.5, 12.0))
            process.kill()
        wait_until_none_left(bed)
    after = snapstorm("run", *how, "--actions", "20", "--json")
    assert after.status == 0, after.stderr
    assert after.json["snapshots"]["in_doubt"] == 0
    assert after.json["restores_verified_earlier_runs"] > 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", TARGETS)
def test_odd_trees_pass_for_many_seeds(target: str, seed: int, scratch: Path) -> None:
    """Trees full of odd entries, with every action, give no false alarm."""
    odd = ("--option", "write-random-files.odd_percent=70")
    how = ("--target", target, "--actions", "150", "--seed", str(seed), *SMALL, *odd, *ALL_ACTIONS)
    ran = snapstorm("run", *how, "--testbed", scratch / "bed", "--json")
    assert ran.status == 0, ran.stderr


@pytest.mark.parametrize(("target", "oldest", "newest"), VERSIONS)
def test_versions_share_a_run(target: str, oldest: str, newest: str, scratch: Path) -> None:
    """Each process is one of them."""
    programs = [word for version in (oldest, newest) for word in ("--program", program_of(target, version))]
    how = ("--target", target, *programs, "--duration", "30s", *SMALL)
    ran = snapstorm("run", *how, "--testbed", scratch / "bed", "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["target"]["versions"] == [oldest, newest]


@pytest.mark.parametrize(("target", "oldest", "newest"), VERSIONS)
def test_the_newest_version_has_all_that_the_oldest_took(target: str, oldest: str, newest: str, scratch: Path) -> None:
    """Stage after stage on one testbed; the last one upgrades the format where there is a newer one."""
    programs = [word for version in (oldest, newest) for word in ("--program", program_of(target, version))]
    how = ("--target", target, "--upgrade", *programs, "--duration", "40s", *SMALL)
    ran = snapstorm("run", *how, "--testbed", scratch / "bed", "--json")
    assert ran.status == 0, ran.stderr
    assert [stage["target"]["version"] for stage in ran.json["stages"]] == [oldest, newest]
    assert ran.json["stages"][1]["restores_verified_earlier_runs"] > 0


def program_of(target: str, version: str) -> Path:
    """What `make tools-all` has built."""
    return plugin_named(target).find_version(version)
