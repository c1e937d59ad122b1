"""The power of the crash explorer: what the storage has lost of what was acknowledged is found wherever it is missed.

With the real Kopia, on a history that an honest run has left.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.directories import memory_directory
from tests.e2e.commandline import scenario, snapstorm
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.ledger.ledger import Ledger

STEPS = scenario(
    *("write-random-files count = 3", "snapshot-root", "write-random-files count = 3", "snapshot-root"),
    *("restore-snapshot", "delete-snapshot", "run-gc"),
    clients=2,
)


@pytest.fixture(scope="module")
def honest() -> Iterator[Path]:
    """A testbed behind the gateway, after an honest run."""
    with memory_directory() as place:
        config = place / "steps.toml"
        config.write_text(STEPS)
        ran = snapstorm("run", "--testbed", place / "bed", "--repository", "gateway", "--config", config, "--json")
        assert ran.status == 0, ran.stderr
        assert ran.json["history"]["writes"] > 0
        yield place / "bed"


@pytest.fixture
def bed(honest: Path, scratch: Path) -> Path:
    shutil.copytree(honest, scratch / "bed", symlinks=True)
    return scratch / "bed"


def drop_write(bed: Path, beginning: str, after: int = 0) -> int:
    """Drop the first write after this event, of an object whose key begins so, from the history. Returns its event."""
    with closing(sqlite3.connect(bed / "gateway" / "log.sqlite3", isolation_level=None)) as log:
        found = "SELECT min(applied) FROM writes WHERE key LIKE ? AND digest IS NOT NULL AND applied > ?"
        (applied,) = log.execute(found, (f"{beginning}%", after)).fetchone()
        log.execute("DELETE FROM writes WHERE applied = ?", (applied,))
    return int(applied)


def test_an_honest_run_has_lost_nothing(bed: Path) -> None:
    """At any of its writes, with any of those under way, and once maintenance has run. The testbed stays as it was."""
    before = (bed / "gateway" / "contents").read_bytes()
    explored = snapstorm("explore", bed, "--seed", "1", "--every", "4", "--go-on", "--json")
    assert explored.status == 0, explored.stderr + explored.stdout
    assert explored.json["verdict"] == "pass"
    assert explored.json["points"]["tried"] > 3
    assert explored.json["points"]["not_tried"] == 0
    assert explored.json["restores_compared"] > 0
    assert explored.json["states"]["gone_on"] == explored.json["states"]["tried"]
    assert (bed / "gateway" / "contents").read_bytes() == before
    assert not (bed / "explore").exists()
    kept = json.loads((bed / "runs" / "0001" / "explored.json").read_text())
    assert [one["verdict"] for one in kept] == ["pass"]


def test_a_dropped_pack_is_caught_at_every_later_point_that_needs_it(bed: Path) -> None:
    """The positive control. The evidence shows it to Kopia alone."""
    event = drop_write(bed, "p")
    ledger = Ledger.open(bed / "ledger.sqlite3")
    needing = min((span for span in ledger.promise_spans() if span.first_event > event), key=lambda span: span[1])
    ledger.close()
    explored = snapstorm("explore", f"{bed}:1", "--seed", "1", "--every", "3", "--in-flight", "0", "--json")
    assert explored.status == 1, explored.stderr
    losses = {one["snapshot"]: one for one in explored.json["losses"]}
    loss = losses[needing.expectation.snapshot]
    assert loss["guarantee"] == "restored-exactly"
    assert (loss["since"], loss["operation"]) == ("promise", needing.expectation.operation)
    with closing(sqlite3.connect(bed / "gateway" / "log.sqlite3")) as log:
        counts = [row[0] for row in log.execute("SELECT applied FROM writes ORDER BY applied")]
    points = counts[::-1][::3]
    last = needing.last_event or max(points)
    ends = {one: later - 1 for one, later in zip(counts, [*counts[1:], 1 << 60], strict=True)}
    assert loss["states"] == sum(ends[one] >= needing.first_event and one <= last for one in points)
    evidence = Path(loss["evidence"])
    assert "missing blob" in (evidence / "output.txt").read_text()
    password = tomllib.loads((bed / "secrets.toml").read_text())["repository"]
    looked = subprocess.run(
        ["bash", evidence / "look.sh"],
        env={**os.environ, "KOPIA_PASSWORD": password},
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )
    assert "missing blob" in looked.stderr
    assert looked.returncode != 0
    holders = [path for path in evidence.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
    assert not holders
    assert password not in looked.stdout + looked.stderr


@pytest.mark.long  # As a dropped pack.
def test_a_dropped_index_is_caught(bed: Path) -> None:
    """Snapshots whose manifests it has are not listed any more, or nothing can be read."""
    drop_write(bed, "xn0", after=drop_write(bed, "p"))
    explored = snapstorm("explore", bed, "--seed", "1", "--every", "5", "--json")
    assert explored.status == 1, explored.stderr
    assert {loss["guarantee"] for loss in explored.json["losses"]} <= {"acknowledged-stays-listed", "restored-exactly"}
