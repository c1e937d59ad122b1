"""The target borg, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.commandline import scenario, snapstorm

from snapstorm.targets.borg.discovery import PINNED_VERSION, find_borg
from snapstorm.targets.borg.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.wrapper_programs import make_wrapper

pytestmark = [pytest.mark.needs_borg, pytest.mark.usefixtures("nothing_left")]

STEPS = (
    "write-random-files count = 8, size_bytes = '0..20000'",
    "snapshot-root",
    "restore-snapshot",
    "expire keep_latest = 1",
    "run-gc",
)
OTHERS = {"private": "", "shared": 'encryption = "authenticated-blake2"\ncompression = "auto,lzma,1"\n'}
"""Further parameters, so that values other than the defaults occur."""


def config(directory: Path, layout: str) -> Path:
    file = directory / f"{layout}.toml"
    file.write_text(f'{scenario(*STEPS, "verify-repository")}\n[parameters]\nlayout = "{layout}"\n{OTHERS[layout]}')
    return file


@pytest.mark.parametrize(
    ("layout", "mode"),
    [
        ("private", "server"),
        pytest.param("shared", "server", marks=pytest.mark.long),
        pytest.param("shared", "direct", marks=pytest.mark.long),
    ],
)
def test_a_run_passes_and_goes_on(layout: str, mode: str, scratch: Path) -> None:
    """With a repository for each client, with one for all, and without a server; a sweep finds what was promised."""
    bed = ("--target", "borg", "--testbed", scratch / "bed")
    ran = snapstorm("run", "--config", config(scratch, layout), "--mode", mode, "--seed", "3", *bed, "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    assert ran.json["target"]["version"] == PINNED_VERSION
    assert ran.json["restores_verified"] > 0
    assert ran.json["snapshots"]["live"] == (2 if mode == "server" else 1)
    assert snapstorm("recheck", scratch / "bed").status == 0  # What was recorded tells the same.
    swept = snapstorm("sweep", *bed[2:], "--json")
    assert swept.status == 0, (swept.stdout, swept.stderr)
    assert swept.json["sweep"]["verified"] == ran.json["snapshots"]["live"]


@pytest.mark.parametrize(
    "name",
    [
        "extract-splits-hard-links",
        pytest.param("extract-drops-a-fifo", marks=pytest.mark.long),
        pytest.param("create-leaves-a-file-out", marks=pytest.mark.long),
    ],
)
def test_a_program_that_loses_something_is_caught(name: str, scratch: Path) -> None:
    """Under the guarantee that it breaks."""
    defect = WRAPPER_DEFECTS[name]
    program = make_wrapper(scratch / "planted", find_borg().path, defect.body, HELPERS)
    file = scratch / "short.toml"
    steps = ["write-random-files count = 30, one_of_each = true", *["snapshot-root", "restore-snapshot"] * 3]
    file.write_text(scenario(*steps, clients=1))
    bed = scratch / "bed"
    ran = snapstorm(
        "run", "--config", file, "--target", "borg", "--program", program, "--seed", "1", "--testbed", bed, "--json"
    )
    assert ran.status == 1, (ran.stdout, ran.stderr)
    assert defect.guarantee in {found["guarantee"] for found in ran.json["violations"]}


@pytest.mark.parametrize(("key", "seen"), [("metadata-in-stats", "pass"), ("lost-segment", "restored-exactly")])
def test_known_bugs_show_where_they_are(key: str, seen: str) -> None:
    """One that was mended, and one that was not."""
    ran = snapstorm("known-bugs", key, "--target", "borg", "--program", find_borg().path, "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    assert [(row["bug"], row["seen"]) for row in ran.json["rows"]] == [(key, seen)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--program", "/bin/true"), "is not borg"),
        (("--program", "/no/such/borg"), "there is no borg at"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(arguments: tuple[str, ...], words: str, scratch: Path) -> None:
    """Before anything is made."""
    ran = snapstorm("run", "--target", "borg", *arguments, "--testbed", scratch / "bed")
    assert ran.status in (2, 3)
    assert words in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not (scratch / "bed").exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("kill-server", "there is no server of our own"),
        ("narrow-rights", "rights can't be narrowed here"),
        ("network-reset", "clients don't reach the server over a network of ours"),
    ],
)
def test_a_fault_that_has_no_meaning_is_refused_with_the_reason(fault: str, words: str, scratch: Path) -> None:
    """There is no server process, no network, and no right that can be taken alone."""
    ran = snapstorm("run", "--target", "borg", "--faults", fault, "--testbed", scratch / "bed")
    assert ran.status == 3
    assert f"the fault {fault} is not possible here: {words}" in ran.stderr
