"""Several versions on one testbed: mixed in one run, or one after the other; and what an old one is refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.commandline import scenario, snapstorm

Versioned = Callable[..., Path]

REFUSED = """
if argv[:2] == ["snapshot", "create"]:
    print("ERROR unable to open repository: This version of Kopia does not support feature 'x'.", file=sys.stderr)
    sys.exit(1)
"""
STEPS = ("write-random-files count = 3", "snapshot-root", "restore-snapshot")
DRAWS_BOTH = "1"
"""A seed with which snapshots are taken by each of two versions: the draws depend on nothing else."""
DIRECT = ("--mode", "direct")
"""Where no server is needed: it costs half."""
FROM_THE_OLDEST = 'versions = ["1.0.0", "2.0.0"]\nrepository_format = "oldest"\n'


@pytest.fixture
def versioned(wrapper: Callable[..., Path]) -> Versioned:
    """Makes a program that is Kopia, but says that it is of another version, and may misbehave."""

    def make(version: str, body: str = "") -> Path:
        answer = f'if argv == ["--version"]:\n    print("{version} build: x from: y")\n    sys.exit(0)\n'
        return wrapper(answer + body, f"kopia-{version}")

    return make


def programs_run(bed: Path) -> dict[str, set[str]]:
    """By the file name of the program, the commands that it has run."""
    found: dict[str, set[str]] = {}
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as ledger:
        for (argv,) in ledger.execute("SELECT argv FROM commands"):
            words = json.loads(argv)
            found.setdefault(Path(words[0]).name, set()).add(" ".join(words[1:3]))
    return found


@pytest.mark.long  # That they are drawn: tests/unit/targets/test_kopia_programs.py; that a run has several: below.
def test_mixed_versions_share_a_run(scratch: Path, versioned: Versioned) -> None:
    """Each process is one of them, and the result names both."""
    bed, config = scratch / "bed", scratch / "steps.toml"
    config.write_text(
        scenario(STEPS[0], "snapshot-root repeat = 3", "restore-random-snapshot", "expire keep_latest = 1")
    )
    kopias = ("--kopia", versioned("1.0.0"), "--kopia", versioned("2.0.0"))
    ran = snapstorm("run", "--config", config, "--testbed", bed, *kopias, "--seed", DRAWS_BOTH, "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["target"]["versions"] == ["1.0.0", "2.0.0"]
    assert [program["version"] for program in ran.json["target"]["executables"]] == ["1.0.0", "2.0.0"]
    commands = programs_run(bed)
    assert "snapshot create" in commands["kopia-1.0.0"] & commands["kopia-2.0.0"]


def test_versions_run_one_after_the_other_and_the_last_upgrades_the_format(scratch: Path, versioned: Versioned) -> None:
    """Each stage sweeps what those before it have promised; the table says who restored whose snapshots."""
    bed, config = scratch / "bed", scratch / "steps.toml"
    config.write_text(FROM_THE_OLDEST + scenario(*STEPS, clients=1))
    kopias = ("--kopia", versioned("1.0.0"), "--kopia", versioned("2.0.0"))
    ran = snapstorm("run", "--config", config, "--testbed", bed, *kopias, *DIRECT, "--json")
    assert ran.status == 0, ran.stderr
    stages = ran.json["stages"]
    assert [stage["target"]["version"] for stage in stages] == ["1.0.0", "2.0.0"]
    assert stages[1]["restores_verified_earlier_runs"] >= 1
    assert {stage["seed"] for stage in stages} == {ran.json["seed"]}
    assert "kopia 1.0.0 -> kopia 2.0.0" in ran.stderr
    commands = programs_run(bed)
    assert "repository upgrade" in commands["kopia-2.0.0"]
    assert "repository upgrade" not in commands["kopia-1.0.0"]
    config.write_text(scenario("snapshot-root", clients=1))
    again = snapstorm("run", "--upgrade", "--config", config, "--testbed", bed, *kopias, *DIRECT, "--json")
    assert again.status == 0, again.stderr
    assert len(again.json["stages"]) == 2


def test_a_stage_that_does_not_pass_is_the_last(scratch: Path, versioned: Versioned) -> None:
    """What comes after it would only blur what went wrong."""
    bad = versioned("1.0.0", 'if argv[:2] == ["snapshot", "verify"]:\n    sys.exit(3)\n')
    config = scratch / "steps.toml"
    config.write_text(FROM_THE_OLDEST + scenario(*STEPS, "verify-repository", clients=1))
    kopias = ("--kopia", bad, "--kopia", versioned("2.0.0"))
    ran = snapstorm("run", "--config", config, "--testbed", scratch / "bed", *kopias, *DIRECT, "--json")
    assert ran.status == 1, ran.stderr
    assert [stage["verdict"] for stage in ran.json["stages"]] == ["violated"]


def test_what_an_old_version_is_refused_violates_nothing(scratch: Path, versioned: Versioned) -> None:
    """But with one version only, there is no newer one whose doing it could be."""
    old = versioned("1.0.0", REFUSED)
    config = scratch / "steps.toml"
    config.write_text(scenario(STEPS[0], "snapshot-root repeat = 3", clients=1))
    options = ("--config", config, *DIRECT, "--seed", DRAWS_BOTH, "--json")
    mixed = snapstorm("run", "--testbed", scratch / "mixed", "--kopia", old, "--kopia", versioned("2.0.0"), *options)
    assert mixed.status == 0, mixed.stderr
    assert mixed.json["refused_by_design"] > 0
    assert "refused by design" in mixed.stderr
    alone = snapstorm("run", "--testbed", scratch / "alone", "--kopia", old, *options)
    assert alone.status == 1, alone.stderr
    assert {violation["guarantee"] for violation in alone.json["violations"]} == {"available"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--upgrade",), "needs at least two"),
        (("upgrade", "--target", "memory"), "no versions"),
    ],
)
def test_bad_input(scratch: Path, words: tuple[str, ...], complaint: str) -> None:
    """One line, and no testbed."""
    ran = snapstorm("run", *words, "--testbed", scratch / "bed")
    assert ran.status == 2
    assert complaint in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not (scratch / "bed").exists()


@pytest.mark.long
def test_the_shipped_upgrade_passes(scratch: Path) -> None:
    """Three released versions, from the oldest format to the newest."""
    ran = snapstorm("run", "upgrade", "--testbed", scratch / "bed", "--duration", "45s", "--json")
    assert ran.status == 0, ran.stderr
    assert [stage["target"]["version"] for stage in ran.json["stages"]] == ["0.19.0", "0.22.3", "0.23.1"]
    assert "kopia 0.19.0 -> kopia 0.23.1" in ran.stderr
