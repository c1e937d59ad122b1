"""The target restic, as a user runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.e2e.commandline import scenario, snapstorm

from snapstorm.targets.restic.discovery import NEWEST_VERSION, find_restic
from snapstorm.targets.restic.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.wrapper_programs import make_wrapper

pytestmark = pytest.mark.usefixtures("nothing_left")

STEPS = (
    "write-random-files count = 8, size_bytes = '0..20000'",
    "snapshot-root",
    "restore-snapshot",
    "expire keep_latest = 1",
    "run-gc",
)


def config(directory: Path) -> Path:
    file = directory / "short.toml"
    file.write_text(scenario(*STEPS, "verify-repository"))
    return file


@pytest.mark.parametrize(
    ("layout", "mode"),
    [
        ("private", "server"),
        pytest.param("shared", "server", marks=pytest.mark.long),
        pytest.param("private", "direct", marks=pytest.mark.long),
    ],
)
def test_a_run_passes_and_goes_on(layout: str, mode: str, scratch: Path) -> None:
    """With a repository for each client, with one for all, and without a server; a sweep finds what was promised."""
    bed = ("--target", "restic", "--testbed", scratch / "bed")
    how = ("--config", config(scratch), "--mode", mode, "--parameter", f"layout={layout}", "--seed", "3")
    ran = snapstorm("run", *how, *bed, "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    assert ran.json["target"]["version"] == NEWEST_VERSION
    assert ran.json["restores_verified"] > 0
    assert ran.json["snapshots"]["live"] == (2 if mode == "server" else 1)
    swept = snapstorm("sweep", *bed[2:], "--json")
    assert swept.status == 0, (swept.stdout, swept.stderr)
    assert swept.json["sweep"]["verified"] == ran.json["snapshots"]["live"]


@pytest.mark.parametrize(
    "name",
    [
        "restore-splits-names",
        pytest.param("restore-loses-an-xattr", marks=pytest.mark.long),
        pytest.param("restore-drops-a-fifo", marks=pytest.mark.long),
        pytest.param("backup-leaves-a-file-out", marks=pytest.mark.long),
    ],
)
def test_a_program_that_loses_something_is_caught(name: str, scratch: Path) -> None:
    """Under the guarantee that it breaks."""
    defect = WRAPPER_DEFECTS[name]
    program = make_wrapper(scratch / "planted", find_restic().path, defect.body, HELPERS)
    file = scratch / "short.toml"
    steps = ["write-random-files count = 30, one_of_each = true", *["snapshot-root", "restore-snapshot"] * 3]
    file.write_text(scenario(*steps, clients=1))
    bed = ("--testbed", scratch / "bed", "--target", "restic", "--mode", "direct")
    ran = snapstorm("run", "--config", file, *bed, "--program", program, "--seed", "1", "--json")
    assert ran.status == 1, (ran.stdout, ran.stderr)
    assert defect.guarantee in {found["guarantee"] for found in ran.json["violations"]}


@pytest.mark.long
def test_a_violation_is_made_a_script_that_shows_it(scratch: Path) -> None:
    """On the program that has it, and not on the honest one."""
    planted = WRAPPER_DEFECTS["restore-flips-one-byte"]
    program = make_wrapper(scratch / "planted", find_restic().path, planted.body, HELPERS)
    bed = ("--testbed", scratch / "bed", "--target", "restic", "--program", program)
    file = scratch / "short.toml"
    steps = ["write-random-files count = 5", *["snapshot-root", "restore-snapshot"] * 2]
    file.write_text(scenario(*steps, clients=1))
    assert snapstorm("run", "--config", file, *bed, "--seed", "1").status == 1
    shrunk = snapstorm("shrink", scratch / "bed", "--program", program, "--minutes", "1", "--output", scratch / "out")
    assert shrunk.status in (0, 4), (shrunk.stdout, shrunk.stderr)
    (script,) = (scratch / "out").glob("*.sh")
    # The program strikes at every second restore, so one of two runs of the script meets it.
    shown = [subprocess.run(["bash", script, program], capture_output=True, text=True, check=False) for _ in range(2)]
    assert any(one.returncode == 1 and "SHOWN: " in one.stdout for one in shown), shown
    honest = subprocess.run(["bash", script, find_restic().path], capture_output=True, text=True, check=False)
    assert (honest.returncode, honest.stdout) == (0, "not shown\n"), (honest.stdout, honest.stderr)


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        ("#3311", "pass"),
        ("5233", "deleted-stays-gone"),
        pytest.param("lost-pack", "restored-exactly", marks=pytest.mark.long),
    ],
)
def test_known_bugs_show_where_they_are(key: str, seen: str) -> None:
    """One that was mended, and two that were not."""
    ran = snapstorm("known-bugs", key, "--target", "restic", "--program", find_restic().path, "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    assert [(row["bug"], row["seen"]) for row in ran.json["rows"]] == [(key.removeprefix("#"), seen)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--program", "/bin/true"), "is not restic"),
        (("--program", "/no/such/restic"), "there is no restic at"),
        (("--repository", "gateway"), "in mode server the target restic stores in directories only"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(arguments: tuple[str, ...], words: str, scratch: Path) -> None:
    """Before anything is made."""
    ran = snapstorm("run", "--target", "restic", *arguments, "--testbed", scratch / "bed")
    assert ran.status in (2, 3)
    assert words in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not (scratch / "bed").exists()


def test_a_rest_server_that_is_missing_is_said(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where one is needed; nothing is left."""
    monkeypatch.setenv("REST_SERVER_EXE", "/no/such/server")
    ran = snapstorm("run", "--target", "restic", "--testbed", scratch / "bed")
    assert ran.status == 3
    assert "there is no rest-server at /no/such/server (from REST_SERVER_EXE)" in ran.stderr
    assert not (scratch / "bed").exists()


@pytest.mark.long
@pytest.mark.parametrize("layout", ["private", "shared"])
def test_rights_that_are_taken_away_are_given_back(layout: str, scratch: Path) -> None:
    """A removed user, a changed password, and a server that lets nobody delete."""
    faults = ("--faults", "append-only,remove-user,change-password,kill-server,kill-client", "--duration", "30s")
    bed = ("--testbed", scratch / "bed", "--parameter", f"layout={layout}")
    ran = snapstorm("run", "--target", "restic", "--clients", "2", "--seed", "5", *faults, *bed, "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
