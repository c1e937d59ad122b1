"""`snapstorm replay`: a recorded run is done again, and shows the same."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, command, snapstorm
from tests.e2e.conftest import Recorded
from tests.waiting import GIVE_UP_SECONDS

HISTORY = """
name = "history"
clients = 4
actions = 150
[weights]
snapshot-root = 20
restore-random-snapshot = 20
delete-random-snapshot = 10
write-random-files = 20
modify-files = 10
delete-files = 5
list-snapshots = 5
restore-subpath = 5
snapshot-subpath = 3
restore-into-data-directory = 3
expire = 1
run-gc = 1
[options.write-random-files]
count = "1..10"
size_bytes = "0..20000"
depth = "0..3"
"""

QUICK = ("--clients", "2", "--actions", "20", *SMALL)


def done_by_clients(bed: Path) -> dict[str, list[tuple[str, ...]]]:
    """What each client did, what came of it, and which trees it snapshotted, byte for byte."""
    query = (
        "SELECT o.client, o.action, o.options, o.outcome, e.manifest FROM operations o"
        " LEFT JOIN expectations e ON e.operation = o.id WHERE NOT o.is_own ORDER BY o.client, o.began_tick"
    )
    found: dict[str, list[tuple[str, ...]]] = {}
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as connection:
        for client, *rest in connection.execute(query):
            found.setdefault(client, []).append(tuple(rest))
    return found


def test_faults_of_the_storage_strike_again(scratch: Path) -> None:
    """The replay is behind the gateway as well; it has what only that has."""
    bed, again = scratch / "bed", scratch / "again"
    quick = ("--clients", "2", "--actions", "10", *SMALL)
    faults = ("--repository", "gateway", "--faults", "storage-drop")
    ran = snapstorm("run", "--target", "memory", "--testbed", bed, "--seed", "1", *quick, *faults, "--json")
    assert ran.json["faults"], ran.stderr
    replayed = snapstorm("replay", bed, "--testbed", again, "--json")
    assert (again / "gateway").is_dir(), replayed.stderr
    assert "left out of the faults" not in replayed.stderr


@pytest.mark.parametrize("how", [(), ("--sequential",)])
def test_the_same_files_and_the_same_choices(scratch: Path, recorded: Recorded, how: tuple[str, ...]) -> None:
    """Every snapshot of the replay is of the very tree that the recorded one was of."""
    bed, again = recorded("memory", HISTORY), scratch / "again"
    replayed = snapstorm("replay", bed, "--testbed", again, "--json", *how)
    assert replayed.status == 0, replayed.stderr
    done = done_by_clients(bed)
    assert sum(map(len, done.values())) >= 150
    assert done_by_clients(again) == done


@pytest.mark.parametrize(
    "defect",
    [
        "restore-flips-a-byte",
        "delete-takes-another-too",
        "list-shows-a-ghost",
        "create-skips-a-file",
    ],
)
def test_a_violation_comes_back(scratch: Path, recorded: Recorded, defect: str) -> None:
    """Each of three times, against the target of the recorded run."""
    bed = recorded(f"memory:{defect}", HISTORY)
    replayed = snapstorm("replay", bed, "--repeat", "3", "--json", "--testbed", scratch / "again")
    assert replayed.status == 1, replayed.stderr
    assert replayed.json["came_back"] == replayed.json["repeats"] == 3
    assert "the same violation came back each of 3 times" in replayed.stderr


def test_a_violation_that_does_not_come_back_is_said_to_be_gone(scratch: Path, recorded: Recorded) -> None:
    """Against a healthy target."""
    bed = recorded("memory:restore-flips-a-byte", HISTORY)
    replayed = snapstorm("replay", f"{bed}:1", "--target", "memory", "--json")
    assert replayed.status == 0, replayed.stderr
    assert replayed.json["came_back"] == 0
    assert "did not come back" in replayed.stderr


def test_what_was_not_tried_did_not_fail_to_come_back(scratch: Path, recorded: Recorded) -> None:
    """A program that is no Kopia, a disk without room: whether it comes back is open, and the status says so."""
    bed = recorded("memory:restore-flips-a-byte", HISTORY)
    replayed = snapstorm("replay", bed, "--target", "kopia", "--kopia", "/bin/true", "--json")
    assert replayed.status == 3, replayed.stderr
    assert "(restored-exactly) comes back was not found out" in replayed.stderr
    assert "did not come back" not in replayed.stderr
    assert replayed.json["answers"] == 0


def test_what_was_found_before_a_signal_is_told(scratch: Path, recorded: Recorded) -> None:
    """A violation counts more than that the rest was not done."""
    bed = recorded("memory:restore-flips-a-byte", HISTORY)
    words = command("replay", bed, "--repeat", "1000", "--json", "--progress", "none", "--testbed", scratch / "again")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("replay 1:"):
                process.send_signal(signal.SIGTERM)
                break
        stdout, _ = process.communicate(timeout=GIVE_UP_SECONDS)
    assert process.returncode == 1
    found = json.loads(stdout)
    assert found["interrupted"] is True
    assert 1 <= found["came_back"] < 1000


def test_a_compacted_run_is_said_to_be_incomplete(scratch: Path, recorded: Recorded) -> None:
    """It looks like a run that did less."""
    bed = recorded("memory", HISTORY)
    assert snapstorm("run", "--target", "memory", "--testbed", bed, "--seed", "6", *QUICK).status == 0
    assert snapstorm("compact", "--testbed", bed, "--keep-runs", "1").status == 0
    replayed = snapstorm("replay", f"{bed}:1")
    assert "of its operations were dropped by `snapstorm compact`" in replayed.stderr


def test_what_was_accepted_can_be_done_again(scratch: Path, recorded: Recorded) -> None:
    """Known is not gone."""
    bed = recorded("memory:restore-flips-a-byte", HISTORY)
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as connection:
        numbers = [row[0] for row in connection.execute("SELECT number FROM violations")]
    for number in numbers:
        assert snapstorm("accept", str(number), "--testbed", bed, "--reason", "known").status == 0
    replayed = snapstorm("replay", bed)
    assert "the same violation came back" in replayed.stderr
    assert "all that it found violated has been accepted since" in replayed.stderr


def test_bad_input_is_one_line(scratch: Path, recorded: Recorded) -> None:
    """No such testbed, no such run, a testbed that is there already, a strange number of times."""
    bed = recorded("memory", HISTORY)
    for words in (
        (scratch / "none",),
        (f"{bed}:7",),
        (bed, "--testbed", scratch),
        (bed, "--repeat", "0"),
    ):
        refused = snapstorm("replay", *words)
        assert refused.status == 2, refused.stderr
        assert len(refused.stderr.splitlines()) == 1
