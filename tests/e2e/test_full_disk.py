"""A disk that runs full under a client: its own files make room, the run goes on, and says so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.commandline import snapstorm

SMALL_DISK_BYTES = 300 << 20


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
