"""`snapstorm replay`: a recorded run is done again, and shows the same."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.commandline import command, snapstorm
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


def record(scratch: Path, target: str, seed: int = 5) -> Path:
    """The testbed of a run with this target."""
    bed, config = scratch / "bed", scratch / "history.toml"
    config.write_text(HISTORY)
    snapstorm("run", "--config", config, "--target", target, "--testbed", bed, "--seed", str(seed))
    return bed


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


@pytest.mark.parametrize("how", [(), ("--sequential",)])
def test_the_same_files_and_the_same_choices(scratch: Path, how: tuple[str, ...]) -> None:
    """Every snapshot of the replay is of the very tree that the recorded one was of."""
    bed, again = record(scratch, "memory"), scratch / "again"
    replayed = snapstorm("replay", bed, "--testbed", again, "--json", *how)
    assert replayed.status == 0, replayed.stderr
    recorded = done_by_clients(bed)
    assert sum(map(len, recorded.values())) >= 150
    assert done_by_clients(again) == recorded


@pytest.mark.parametrize(
    "defect",
    [
        "restore-flips-a-byte",
        "delete-takes-another-too",
        "list-shows-a-ghost",
        "create-skips-a-file",
    ],
)
def test_a_violation_comes_back(scratch: Path, defect: str) -> None:
    """Each of three times, against the target of the recorded run."""
    bed = record(scratch, f"memory:{defect}")
    replayed = snapstorm("replay", bed, "--repeat", "3", "--json", "--testbed", scratch / "again")
    assert replayed.status == 1, replayed.stderr
    assert replayed.json["came_back"] == replayed.json["repeats"] == 3
    assert "the same violation came back each of 3 times" in replayed.stderr


def test_a_violation_that_does_not_come_back_is_said_to_be_gone(scratch: Path) -> None:
    """Against a healthy target."""
    bed = record(scratch, "memory:restore-flips-a-byte")
    replayed = snapstorm("replay", f"{bed}:1", "--target", "memory", "--json")
    assert replayed.status == 0, replayed.stderr
    assert replayed.json["came_back"] == 0
    assert "did not come back" in replayed.stderr


def test_what_was_not_tried_did_not_fail_to_come_back(scratch: Path) -> None:
    """A program that is no Kopia, a disk without room: whether it comes back is open, and the status says so."""
    bed = record(scratch, "memory:restore-flips-a-byte")
    replayed = snapstorm("replay", bed, "--target", "kopia", "--kopia", "/bin/true", "--json")
    assert replayed.status == 3, replayed.stderr
    assert "(restored-exactly) comes back was not found out" in replayed.stderr
    assert "did not come back" not in replayed.stderr
    assert replayed.json["answers"] == 0


def test_what_was_found_before_a_signal_is_told(scratch: Path) -> None:
    """A violation counts more than that the rest was not done."""
    bed = record(scratch, "memory:restore-flips-a-byte")
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


def test_a_compacted_run_is_said_to_be_incomplete(scratch: Path) -> None:
    """It looks like a run that did less."""
    bed = record(scratch, "memory")
    record(scratch, "memory", seed=6)
    assert snapstorm("compact", "--testbed", bed, "--keep-runs", "1").status == 0
    replayed = snapstorm("replay", f"{bed}:1")
    assert "of its operations were dropped by `snapstorm compact`" in replayed.stderr


def test_what_was_accepted_can_be_done_again(scratch: Path) -> None:
    """Known is not gone."""
    bed = record(scratch, "memory:restore-flips-a-byte")
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as connection:
        numbers = [row[0] for row in connection.execute("SELECT number FROM violations")]
    for number in numbers:
        assert snapstorm("accept", str(number), "--testbed", bed, "--reason", "known").status == 0
    replayed = snapstorm("replay", bed)
    assert "the same violation came back" in replayed.stderr
    assert "all that it found violated has been accepted since" in replayed.stderr


def test_bad_input_is_one_line(scratch: Path) -> None:
    """No such testbed, no such run, a testbed that is there already, a strange number of times."""
    bed = record(scratch, "memory")
    for words in (
        (scratch / "none",),
        (f"{bed}:7",),
        (bed, "--testbed", scratch),
        (bed, "--repeat", "0"),
    ):
        refused = snapstorm("replay", *words)
        assert refused.status == 2, refused.stderr
        assert len(refused.stderr.splitlines()) == 1
