"""A disk that runs full under a client: its own files make room, the run goes on, and says so."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, command, snapstorm
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.testbed.testbed import read_testbed

SMALL_DISK_BYTES = 400 << 20
OPERATIONS_MIN = 10
"""So many are done before the disk is filled."""


@pytest.fixture
def small_disk(scratch: Path) -> Iterator[Path]:
    """A file system in memory that a few writes fill."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system to fill")
    directory = scratch / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, timeout=30, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], timeout=30, check=True)


def test_a_full_disk_is_recovered_from(small_disk: Path, scratch: Path) -> None:
    """Writes that fill the disk end in deleted files of the client's own, a note, and a pass."""
    config = scratch / "fill.toml"
    config.write_text(
        """
        clients = 2
        steps = [
            {action = "write-random-files", repeat = 6, count = 20, size_bytes = 2000000, odd_percent = 0},
            {action = "delete-files", percent = 90},
            {action = "delete-files", percent = 90},
            {action = "snapshot-root"},
            {action = "restore-snapshot"},
        ]
        """.replace("\n            ", " ")
    )
    ran = snapstorm(
        "run", "--config", config, "--target", "memory", "--testbed", scratch / "bed", "--workdir", small_disk, "--json"
    )
    assert ran.status == 0, ran.stderr
    assert any("of its own files" in note for note in ran.json["notes"])
    assert ran.json["actions"]["write-random-files"]["failed"] > 0
    assert ran.json["restores_verified"] > 0


def test_too_little_space_is_refused(small_disk: Path, scratch: Path) -> None:
    """A disk that is nearly full is refused before anything is made."""
    filler = small_disk / "filler"
    filler.write_bytes(bytes(SMALL_DISK_BYTES - (100 << 20)))
    ran = snapstorm("run", "--target", "memory", "--testbed", small_disk / "bed")
    assert ran.status == 3
    assert "too little space" in ran.stderr
    assert list(small_disk.iterdir()) == [filler]


@pytest.mark.parametrize("target", ["memory", pytest.param("kopia", marks=pytest.mark.long)])
def test_a_full_testbed_loses_no_promise(small_disk: Path, scratch: Path, target: str) -> None:
    """Ledger and repository find their disk full in the midst of a run: an error of the machine. With room again, every
    promise is still there, and the testbed goes on."""
    bed = small_disk / "bed"
    words = ("--target", target, "--testbed", bed, "--workdir", scratch / "work", "--clients", "2", *SMALL)
    first = snapstorm("run", *words, "--actions", "40", "--json")
    assert first.status == 0, first.stderr
    log = scratch / "stderr"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command("run", *words, "--duration", "30m"), stdin=subprocess.DEVNULL, stderr=stderr) as run,
    ):
        wait_until(lambda: run.poll() is not None or operations_of(bed, 2) > OPERATIONS_MIN)
        fill(small_disk, run)
        status = run.wait(GIVE_UP_SECONDS)
    said = log.read_text()
    assert status == 3, said
    assert "full" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert "VIOLATED" not in said
    (small_disk / "filler").unlink()
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as ledger:
        promised = {row[0] for row in ledger.execute("SELECT operation FROM expectations WHERE state = 'live'")}
    swept = snapstorm("sweep", "--testbed", bed, "--workdir", scratch / "work", "--json")
    assert swept.status == 0, swept.stderr
    assert swept.json["snapshots"]["in_doubt"] == 0
    assert swept.json["sweep"]["verified"] >= len(promised)
    assert snapstorm("run", *words, "--actions", "40", "--json").status == 0


def test_shrinking_on_a_full_disk_says_so_and_concludes_nothing(small_disk: Path, scratch: Path) -> None:
    """The history does not fit: that is no history that does not show it, and it is not remembered as one.

    There is room for the files, and not for a snapshot of them: nothing that happens later makes room for a restore.
    """
    config, bed, out = scratch / "large.toml", scratch / "bed", small_disk / "out"
    config.write_text(
        """
        clients = 1
        steps = [
            {action = "write-random-files", count = 1, size_bytes = 160000000, odd_percent = 0,
             compressible_percent = 0},
            {action = "snapshot-root"},
            {action = "restore-snapshot"},
        ]
        """.replace("\n            ", " ")
    )
    ran = snapstorm("run", "--config", config, "--target", "memory:restore-flips-a-byte", "--testbed", bed)
    assert ran.status == 1, ran.stderr
    (small_disk / "filler").write_bytes(bytes(SMALL_DISK_BYTES - (280 << 20)))
    shrunk = snapstorm("shrink", bed, "--output", out)
    assert shrunk.status == 3, shrunk.stderr
    began, error = shrunk.stderr.splitlines()
    assert began.startswith("shrinking run 1")
    assert "full" in error or "space" in error
    assert [path.name for path in out.iterdir()] == ["progress.lock"]


def operations_of(bed: Path, run: int) -> int:
    with read_testbed(bed) as ledger:
        return ledger.record.count_operations(run)


def fill(directory: Path, run: subprocess.Popen[bytes]) -> None:
    """Take all the room there is, and what is given back, until the run has ended."""
    with (directory / "filler").open("wb", buffering=0) as filler:
        while run.poll() is None:
            with suppress(OSError):
                filler.write(bytes(64 << 10))
                continue
            time.sleep(0.02)
