"""Paths with `..` may be given to every option that takes one, and lead where the kernel would go."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, Ran, command, lines_of, scenario, snapstorm
from tests.e2e.conftest import Recorded
from tests.waiting import GIVE_UP_SECONDS

BAD_USAGE = 2
SHORT = ("--clients", "2", "--seed", "3", "--progress", "none", *SMALL)

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def here(scratch: Path) -> Path:
    """A working directory with `sub`, and `link`, which points to `elsewhere/deep`."""
    (scratch / "here" / "sub").mkdir(parents=True)
    (scratch / "elsewhere" / "deep").mkdir(parents=True)
    (scratch / "here" / "link").symlink_to(scratch / "elsewhere" / "deep")
    return scratch / "here"


def ask(here: Path, *words: str | Path, status: int = 0) -> Ran:
    ran = snapstorm(*words, cwd=here)
    assert ran.status == status, ran.stderr
    return ran


@pytest.mark.parametrize(
    "place", ["link/../", *(pytest.param(place, marks=pytest.mark.long) for place in ("../", "sub/../"))]
)
def test_the_real_target_works_below_a_parent(place: str, here: Path, scratch: Path, real_kopia: Path) -> None:
    """Testbed, repository, work directory, copies, reports and the program itself. With the other places, the next test
    shows it on the simulated target."""
    root = Path(os.path.realpath(here / place))
    (root / "kopia").symlink_to(real_kopia)
    (root / "steps.toml").write_text(scenario("write-random-files count = 2", "snapshot-root", clients=1))
    steps = ("--config", f"{place}steps.toml", "--mode", "direct", "--progress", "none")
    ran = ask(
        here, "run", "--testbed", f"{place}bed", "--repository", f"{place}repository", "--workdir", f"{place}work",
        "--persist", f"kopia:{place}copies", "--report", f"{place}reports", "--kopia", f"{place}kopia", "--json",
        *steps,
    )  # fmt: skip
    assert ran.json["testbed"] == str(root / "bed")
    assert (root / "repository" / "kopia.repository.f").is_file()
    assert (root / "copies" / "kopia.repository.f").is_file()
    assert (root / "reports" / "report.html").is_file()
    assert [path.parent for path in root.glob("work/*/client-1@*")] == list(root.glob("work/*"))
    ask(
        here, "run", "--from", f"kopia:{place}copies", "--secrets-file", f"{place}bed/secrets.toml", "--testbed",
        f"{place}other", "--take-over", "--json", "--kopia", f"{place}kopia", *steps,
    )  # fmt: skip
    assert ask(here, "sweep", "--testbed", f"{place}other", "--json").json["testbed"] == str(root / "other")


def test_every_command_takes_such_paths(here: Path, scratch: Path) -> None:
    """Also as TESTBED:NUMBER, and for what it writes."""
    (scratch / "mine.toml").write_text(ask(here, "scenarios", "randomized").stdout)
    ran = ask(
        here, "run", "--target", "memory:restore-flips-a-byte", "--testbed", "../bed", "--persist", "../copies",
        "--config", "../mine.toml", "--json", "--actions", "30", *SHORT, status=1,
    )  # fmt: skip
    assert ran.json["testbed"] == str(scratch / "bed")
    assert str(scratch / "bed") in ask(here, "status", "--testbed", "../bed").stdout
    ask(here, "history", "--testbed", "sub/../../bed")
    ask(here, "compact", "--testbed", "../bed")
    for number, _ in enumerate(ran.json["violations"], 1):  # Both clients may have found one before the run ended.
        ask(here, "accept", str(number), "--testbed", "../bed", "--reason", "known")
    ask(here, "recheck", "../bed:1")
    ask(here, "report", "../bed", "--html", "../run.html", "--junit", "link/../run.xml")
    ask(here, "report", "--testbed", "../bed", "--json", "../trend.json")
    assert json.loads((scratch / "trend.json").read_text())
    assert (scratch / "elsewhere" / "run.xml").is_file()
    ask(here, "bundle", "../bed:1", "--output", "../bundle.tar.gz")
    assert (scratch / "bundle.tar.gz").is_file()
    ask(here, "replay", "../bed:1", "--testbed", "../again", "--progress", "none", status=1)
    assert (scratch / "again" / "ledger.sqlite3").is_file()
    ask(here, "shrink", "../bed:1", "--minutes", "0.02", "--output", "link/../shrunk")
    assert (scratch / "elsewhere" / "shrunk" / "scenario.toml").is_file()
    (scratch / "bed" / "ledger.sqlite3").write_bytes(b"damaged")
    assert str(scratch / "bed") in ask(here, "recover", "--testbed", "../bed", "--from", "../copies").stdout
    assert {path.name for path in here.iterdir()} == {"sub", "link"}


@pytest.mark.parametrize(
    "words",
    [
        ["--testbed", "missing/../bed"],
        ["--testbed", "../bed", "--workdir", "missing/../work"],
        ["--testbed", "../bed", "--repository", "missing/../repository"],
        ["--testbed", "../bed", "--persist", "missing/../copies"],
        ["--testbed", "../bed", "--persist", "kopia:missing/../copies"],
        ["--testbed", "../bed", "--from", "missing/../copies"],
        ["--testbed", "../bed", "--report", "missing/../reports"],
        ["--testbed", "../bed", "--kopia", "missing/../kopia"],
        ["--testbed", ""],
    ],
    ids=" ".join,
)
def test_a_path_that_leads_nowhere_changes_nothing(words: list[str], here: Path, scratch: Path) -> None:
    """One line, status 2, and no directory is left behind."""
    before = sorted(scratch.rglob("*"))
    ran = snapstorm("run", *words, cwd=here)
    assert ran.status == BAD_USAGE, ran.stderr
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert "missing: No such file or directory" in ran.stderr or "must not be empty" in ran.stderr
    assert sorted(scratch.rglob("*")) == before


IN_A_REMOVED_DIRECTORY = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'


def in_a_removed_directory(parent: Path, *arguments: str | Path) -> Ran:
    """Run the command line in a directory that has been removed."""
    done = subprocess.run(
        ["/bin/sh", "-c", IN_A_REMOVED_DIRECTORY, "sh", *command(*arguments)],
        cwd=parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_a_removed_current_directory_is_no_obstacle_for_absolute_paths(scratch: Path, real_kopia: Path) -> None:
    """The program is found, the testbed is temporary or absolute, and commands run elsewhere."""
    config = scratch / "steps.toml"
    config.write_text(scenario("write-random-files count = 2", "snapshot-root", clients=1))
    for more in ((), ("--testbed", scratch / "bed", "--kopia", real_kopia)):
        ran = in_a_removed_directory(scratch, "run", "--config", config, "--mode", "direct", *more)
        assert ran.status == 0, ran.stderr
    assert in_a_removed_directory(scratch, "target", "kopia").status == 0


@pytest.mark.parametrize(
    "arguments",
    ["run --testbed bed", "run --config my.toml", "status --testbed bed", "report {bed} --html r.html", "bundle {bed}",
     "run --report reports", "run --repository r --testbed {bed}", "run --kopia ./kopia"],
)  # fmt: skip
def test_a_relative_path_in_a_removed_directory_is_refused_in_one_line(
    arguments: str, scratch: Path, recorded: Recorded
) -> None:
    """Bad usage, and it says why."""
    bed = recorded("memory", scenario("write-random-files", "snapshot-root", clients=1))
    ran = in_a_removed_directory(scratch, *arguments.format(bed=bed).split())
    (line,) = lines_of(ran.stderr)
    assert ran.status == 2, ran.stderr
    assert line.endswith("can't be used: the current directory has been removed; change to one that exists")
