"""Faults on the real Kopia: each strikes, heals, and is judged; what a kill leaves broken, the next run heals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.e2e.commandline import NO_DELETIONS, SMALL, Ran, command, scenario, snapstorm
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.faults.catalogue import FAULTS

pytestmark = pytest.mark.usefixtures("nothing_left")

LITTLE_CALM = ("--seed", "65")
"""The pauses between faults follow from the seed, and are short here."""
ONE_SNAPSHOT = scenario("write-random-files count = 2", "snapshot-root", clients=1)


def faults_of(bed: Path) -> list[tuple[str, str | None]]:
    """Each fault that the ledger knows, with its outcome."""
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as ledger:
        return ledger.execute("SELECT key, outcome FROM faults ORDER BY number").fetchall()


def mounts_below(directory: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if line.split()[4].startswith(str(directory))]


STANDS_STILL_IN_MAINTENANCE = """
if argv[:2] == ["maintenance", "run"]:
    import time

    child = subprocess.Popen([real, *argv])
    time.sleep(0.05)
    child.send_signal(signal.SIGSTOP)
    time.sleep(5)
    child.send_signal(signal.SIGCONT)
    sys.exit(child.wait())
"""
"""Otherwise it may have ended before it is killed, on a quick machine."""


def test_a_short_storm_passes(scratch: Path, wrapper: Callable[[str], Path]) -> None:
    """Processes, rights and the network are broken under working clients; all recover, and everything is restored."""
    bed = scratch / "bed"
    ran = snapstorm(
        "run", "--testbed", bed, "--clients", "2", "--actions", "8", *LITTLE_CALM, "--json", *SMALL, *NO_DELETIONS,
        "--kopia", wrapper("import signal\n" + STANDS_STILL_IN_MAINTENANCE),
        "--faults", "kill-server,kill-client,network-reset", "--faults", "remove-user,kill-maintenance",
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert ran.json["faults"].keys() == {
        "kill-server", "kill-client", "network-reset", "remove-user", "kill-maintenance"
    }  # fmt: skip
    assert {outcome for _, outcome in faults_of(bed)} <= {"healed"} | {
        outcome for _, outcome in faults_of(bed) if outcome and outcome.startswith("nothing")
    }
    assert ran.json["sweep"]["left"] == 0
    assert ran.json["snapshots"]["in_doubt"] == 0
    assert {"recovery", "own_check"} <= ran.json["seconds_by_part"].keys()


def test_damage_is_found_and_undone(scratch: Path) -> None:
    """Restores fail while a blob is missing, name it, and succeed once it is back."""
    bed = scratch / "bed"
    ran = snapstorm(
        "run", "--testbed", bed, "--clients", "1", "--actions", "8", "--seed", "357", "--json", *SMALL, *NO_DELETIONS,
        "--faults", "lose-blob,truncate-blob",
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert ran.json["faults"].keys() == {"lose-blob", "truncate-blob"}
    assert not list((bed / "faults").iterdir())
    assert ran.json["sweep"] == {"verified": ran.json["snapshots"]["live"], "left": 0}


@contextmanager
def struck_by(fault: str, bed: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run in which this fault has just struck. Killed when the block is left, if it has not ended. `more` words of
    the command come last."""
    log = bed.with_name("stderr")
    words: Sequence[str | Path] = (
        "run", "--testbed", bed, "--clients", "1", "--duration", "30m", "--faults", fault, "--progress", "plain",
        *SMALL, *more,
    )  # fmt: skip
    with log.open("wb") as stderr, subprocess.Popen(command(*words), stdin=subprocess.DEVNULL, stderr=stderr) as run:
        try:
            wait_until(lambda: run.poll() is not None or f"fault {fault}" in log.read_text())
            assert run.poll() is None, log.read_text()
            yield run
        finally:
            run.kill()


def go_on(bed: Path, *more: str) -> Ran:
    """A run that takes one more snapshot, and restores all. `more` words of the command come last."""
    config = bed.with_name("one.toml")
    config.write_text(ONE_SNAPSHOT)
    return snapstorm("run", "--config", config, "--testbed", bed, "--json", "--progress", "plain", *more)


@pytest.mark.parametrize(
    "fault",
    [
        "disk-full",
        *(
            pytest.param(fault, marks=pytest.mark.long)
            for fault in (
                "narrow-rights",
                "slow-storage",
                "read-only-storage",
                "lose-blob",
                "change-password",
                "failing-storage",
            )
        ),
    ],
)
def test_what_a_kill_leaves_broken_is_healed(fault: str, scratch: Path) -> None:
    """snapstorm is killed while something is broken: the next start makes it whole, says so, and nothing is lost."""
    if FAULTS[fault].why_not_here():
        pytest.skip(f"{fault} is not possible here: {FAULTS[fault].why_not_here()}")
    bed = scratch / "bed"
    with struck_by(fault, bed) as run:
        time.sleep(1.0)
        run.kill()
    assert [key for key, outcome in faults_of(bed) if outcome is None] == [fault]
    again = go_on(bed)
    assert again.status == 0, again.stderr
    assert f"the fault {fault} of the killed run 1 had left" in again.stderr
    assert again.json["sweep"] == {"verified": again.json["snapshots"]["live"], "left": 0}
    assert again.json["snapshots"]["in_doubt"] == 0
    assert not mounts_below(scratch)
    assert [outcome for _, outcome in faults_of(bed) if outcome is None] == []


def test_a_testbed_that_was_moved_or_copied_since_is_healed_where_it_is(scratch: Path) -> None:
    """Each heals its own repository, and no other one."""
    bed, moved, copied = scratch / "bed", scratch / "moved", scratch / "copied"
    with struck_by("lose-blob", bed, "--target", "memory") as run:
        run.kill()
        run.wait(timeout=GIVE_UP_SECONDS)
    shutil.copytree(bed, copied, symlinks=True)
    bed.rename(moved)
    for place in (copied, moved):
        again = go_on(place, "--target", "memory")
        assert again.status == 0, again.stderr
        assert "back, which the fault lose-blob of the killed run 1 had left" in again.stderr
        assert again.json["sweep"] == {"verified": again.json["snapshots"]["live"], "left": 0}
    assert not bed.exists()


def test_a_signal_heals_what_is_broken(scratch: Path) -> None:
    """Ctrl-C in the midst of a fault: it heals before the run ends."""
    bed = scratch / "bed"
    with struck_by("pause-server", bed) as run:
        run.send_signal(signal.SIGINT)
        assert run.wait(GIVE_UP_SECONDS) == 130
    assert [outcome for _, outcome in faults_of(bed) if outcome is None] == []
    assert go_on(bed).status == 0


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("--faults", "kill-servr"), 2, "did you mean 'kill-server'"),
        (("--faults", ""), 2, "needs names of faults"),
        (("--faults", "partition", "--target", "memory"), 3, "partition is not possible here"),
        (("--faults", "kill-server", "--mode", "direct"), 3, "kill-server is not possible here"),
    ],
)
def test_bad_input(scratch: Path, words: tuple[str, ...], status: int, complaint: str) -> None:
    """One line, before anything is kept."""
    ran = snapstorm("run", *words, "--testbed", scratch / "bed", "--progress", "none")
    assert ran.status == status, ran.stderr
    assert complaint in ran.stderr
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert not (scratch / "bed").exists()


def test_faults_are_listed_with_what_they_need() -> None:
    """Each by name, and as JSON with whether this machine has what it takes."""
    listed = snapstorm("faults")
    assert listed.status == 0
    table = json.loads(snapstorm("faults", "--json").stdout)
    assert table.keys() == FAULTS.keys()
    for key, fault in table.items():
        assert key in listed.stdout
        assert fault["is_available"] == (fault["reason"] is None)
    assert os.geteuid() != 0 or table["kill-server"]["is_available"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_storage_that_takes_no_writes_is_the_simulated_targets_own_trouble(scratch: Path) -> None:
    """What fails of it is excused by the fault, and is no error of the machine."""
    ran = snapstorm(
        "run", "--target", "memory", "--testbed", scratch / "bed", "--actions", "60", "--faults", "read-only-storage",
        "--seed", "1", "--json", *SMALL,
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert ran.json["faults"]["read-only-storage"] >= 1
    assert ran.json["failed_under_faults"] >= 1


def test_all_leaves_out_what_is_not_possible_and_says_so(scratch: Path) -> None:
    """On the simulated target there are no processes to kill; the rest strikes."""
    ran = snapstorm(
        "run", "--target", "memory", "--testbed", scratch / "bed", "--actions", "60", "--faults", "all", "--json",
        *SMALL,
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert any("left out of the faults" in note and "kill-client" in note for note in ran.json["notes"])
    assert sum(ran.json["faults"].values()) >= 1


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_everything(scratch: Path, seed: int) -> None:
    """Each fault that is possible here strikes at least once in five minutes."""
    ran = snapstorm("run", "--testbed", scratch / "bed", "--duration", "5m", "--seed", str(seed), "--faults", "all",
                    "--json", seconds_max=900)  # fmt: skip
    possible = {key for key, fault in FAULTS.items() if not fault.why_not_here()}
    assert ran.json["faults"].keys() == possible
    assert ran.status == 0, ran.stderr
