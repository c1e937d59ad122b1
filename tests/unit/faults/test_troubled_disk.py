"""A disk in trouble shows a directory as it is, only slower or with errors, and leaves it whole however it ends."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.unit.faults.scenes import scene_of
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.errors import OperationFailed, OperationTimedOut
from snapstorm.faults import troubled_disk
from snapstorm.faults.mounts import FailingStorage, SlowStorage, is_mounted, unmount
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.runtime.process import ProcessRunner

REASON = SlowStorage.why_not_here()

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(REASON is not None, reason=f"a disk in trouble is not possible here: {REASON}"),
]


class Stored:
    """A server whose repository is a directory."""

    unfinished_suffix = ".tmp."

    def __init__(self, directory: Path) -> None:
        self.storage_directory = directory

    async def content_blobs(self) -> list[Any]:
        return []


@contextmanager
def mounted(directory: Path, *, delay_seconds_max: float = 0, failing_share: float = 0) -> Iterator[Any]:
    """The program at work over a directory."""
    argv = [sys.executable, "-I", "-S", troubled_disk.__file__, str(directory), "--seed", "1"]
    argv += ["--delay-seconds-max", str(delay_seconds_max), "--failing-share", str(failing_share)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as disk:
        assert disk.stdout is not None
        try:
            assert disk.stdout.readline() == b"mounted\n"
            yield disk
        finally:
            unmount(directory)
            try:
                disk.wait(GIVE_UP_SECONDS)
            finally:
                disk.kill()


def change_much(directory: Path, draws: random.Random) -> None:
    """Do to a directory what a repository's files are done to, and some more."""
    (directory / "a" / "b").mkdir(parents=True)
    big = draws.randbytes(1_000_003)
    (directory / "a" / "b" / "new").write_bytes(big)
    assert (directory / "a" / "b" / "new").read_bytes() == big
    (directory / "a" / "b" / "new").rename(directory / "a" / "moved")
    (directory / "a").rename(directory / "c")
    assert (directory / "c" / "moved").read_bytes() == big
    with (directory / "c" / "moved").open("r+b") as file:
        file.seek(500_000)
        file.write(b"other")
        file.flush()
        os.fsync(file.fileno())
    with (directory / "c" / "log").open("ab") as file:
        file.write(b"one ")
        file.flush()
        (directory / "c" / "log").unlink()
        file.write(b"and more of a file that is gone")
        file.flush()
        assert os.fstat(file.fileno()).st_nlink == 0
    for number in range(300):
        (directory / "c" / "b" / f"{number:03}").write_bytes(b"%d" % number)
    assert sorted(path.name for path in (directory / "c" / "b").iterdir()) == [f"{n:03}" for n in range(300)]
    for number in range(0, 300, 2):
        (directory / "c" / "b" / f"{number:03}").unlink()
    (directory / "c" / "b" / "001").replace(directory / "c" / "b" / "003")
    os.truncate(directory / "c" / "b" / "005", 0)
    (directory / "c" / "b" / "007").chmod(0o640)
    for path in sorted(directory.rglob("*"), reverse=True):
        os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_001_987_654_321))
    (directory / "empty").mkdir()
    (directory / "empty").rmdir()
    with pytest.raises(FileNotFoundError):
        (directory / "empty" / "file").touch()


def test_it_shows_and_changes_what_the_directory_would(tmp_path: Path) -> None:
    """The same work, done through it and without it, leaves the same tree, seen through it or not."""
    through, without = tmp_path / "through", tmp_path / "without"
    for directory in (through, without):
        directory.mkdir()
    (through / "old").write_bytes(b"was there before")
    (without / "old").write_bytes(b"was there before")
    change_much(without, random.Random(5))
    with mounted(through):
        assert is_mounted(through)
        change_much(through, random.Random(5))
        os.utime(through, ns=(1, without.stat().st_mtime_ns))
        seen = scan_tree(through)
        assert shutil.disk_usage(through).total == shutil.disk_usage(without).total
    assert not is_mounted(through)
    assert seen == scan_tree(through) == scan_tree(without)


def test_a_slow_one_takes_its_time_until_it_has_healed(tmp_path: Path) -> None:
    """Each access waits; after the signal none does."""
    file = tmp_path / "file"
    file.write_bytes(b"slowly")
    with mounted(tmp_path, delay_seconds_max=0.2) as disk:
        seconds = [_seconds_to_read(file) for _ in range(2)]
        for attempt in range(8):
            seconds.append(_seconds_to_read(file))
            if seconds[-1] > 0.05:
                break
            assert attempt < 7, seconds
        disk.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while sum(_seconds_to_read(file) for _ in range(5)) > 0.1:
            assert time.monotonic() < deadline
    assert file.read_bytes() == b"slowly"


def _seconds_to_read(file: Path) -> float:
    began = time.monotonic()
    assert file.read_bytes() == b"slowly"
    return time.monotonic() - began


def test_a_failing_one_says_so_and_changes_nothing(tmp_path: Path) -> None:
    """Reading, writing, renaming and deleting end with an input/output error; listing does not."""
    file = tmp_path / "file"
    file.write_bytes(b"still here")
    with mounted(tmp_path, failing_share=1.0):
        for attempt in (
            file.read_bytes,
            file.unlink,
            (tmp_path / "new").touch,
            lambda: file.rename(tmp_path / "other"),
        ):
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                attempt()
        assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == b"still here"
    assert list(tmp_path.iterdir()) == [file]


def test_a_killed_one_is_unmounted_and_has_lost_nothing(tmp_path: Path) -> None:
    """Whoever has a file open there gets an error, nobody waits for ever."""
    # Closing it fails as well.
    with mounted(tmp_path) as disk, suppress(OSError), (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"written")
        disk.kill()
        disk.wait(GIVE_UP_SECONDS)
        with pytest.raises(OSError, match=f"{os.strerror(errno.ENOTCONN)}|{os.strerror(errno.EIO)}"):
            file.write(b"too late")
        assert SlowStorage.heal_left_over({"directory": str(tmp_path), "log": str(tmp_path / "log")}) is not None
    assert not is_mounted(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"written"


@pytest.mark.parametrize("kind", [SlowStorage, FailingStorage])
async def test_the_fault_is_recorded_first_and_leaves_nothing(kind: type[SlowStorage], tmp_path: Path) -> None:
    """Mount, process and log are gone once it has healed, also while somebody still has a file open."""
    repository = tmp_path / "repository"
    repository.mkdir()
    recorded: list[Any] = []

    def record(details: Any) -> None:
        assert not is_mounted(repository)
        recorded.append(details)

    async with ProcessRunner("test") as processes:
        fault = kind(scene_of(Stored(repository), tmp_path / "faults", processes), random.Random(1))
        await fault.inject(record)
        assert is_mounted(repository)
        assert [details["directory"] for details in recorded] == [str(repository)]
        await fault.heal()
        assert not is_mounted(repository)
        assert list((tmp_path / "faults").iterdir()) == []
        assert kind.heal_left_over(recorded[0]) is None


def test_a_repository_that_snapstorm_reads_itself_is_spared(tmp_path: Path) -> None:
    """As of the simulated target: its errors would be ours."""
    scene = scene_of(Stored(tmp_path), tmp_path)
    assert FailingStorage.why_not(scene) == "snapstorm itself reads the repository here"


def test_what_is_slow_excuses_no_failure(tmp_path: Path) -> None:
    """Only that something took too long."""
    fault = SlowStorage(scene_of(Stored(tmp_path), tmp_path), random.Random(1))
    assert fault.excuses(OperationTimedOut("too slow"))
    assert not fault.excuses(OperationFailed("wrong"))
