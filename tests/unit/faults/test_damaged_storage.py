"""Damage is put aside before it is done, and undone exactly; what was written over a full disk is not lost."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.faults.scenes import scene_of

from snapstorm.errors import ANY_BLOB, OperationFailed
from snapstorm.faults import mounts
from snapstorm.faults.damaged_storage import FlipByte, LoseBlob, TruncateBlob, UnfinishedFiles
from snapstorm.faults.fault import NothingToBreak
from snapstorm.model.abilities import Blob

pytestmark = pytest.mark.anyio
CONTENT = b"backed up, and to be the same again" * 100


class Files:
    """A server whose repository is a directory."""

    unfinished_suffix = ".tmp."

    def __init__(self, directory: Path) -> None:
        self.storage_directory = directory

    async def content_blobs(self) -> list[Blob]:
        return [Blob(path.name, path, path.stat().st_size) for path in sorted(self.storage_directory.iterdir())]

    async def forget_caches(self, clients: list[str]) -> None:
        assert not clients, "clients are at work"


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    (tmp_path / "repository").mkdir()
    return scene_of(Files(tmp_path / "repository"), tmp_path / "aside")


@pytest.mark.parametrize("kind", [LoseBlob, FlipByte, TruncateBlob])
async def test_what_the_target_deletes_meanwhile_is_not_brought_back(kind: type[LoseBlob], scene: Any) -> None:
    """A collection may be faster than the fault: it has broken nothing then, and leaves nothing."""
    path = scene.server.storage_directory / "p1"
    path.write_bytes(CONTENT)
    fault = kind(scene, random.Random(3))
    with pytest.raises(NothingToBreak):
        await fault.inject(lambda details: path.unlink())
    await fault.heal()
    assert list(scene.server.storage_directory.iterdir()) == []
    assert list(scene.directory.iterdir()) == []


@pytest.mark.parametrize("kind", [LoseBlob, FlipByte, TruncateBlob])
async def test_damage_is_undone_to_the_byte(kind: type[LoseBlob], scene: Any) -> None:
    """The file is not what it was while it lasts, and is then, with its times; also if the next run heals it."""
    path = scene.server.storage_directory / "p1"
    for heals_itself in (True, False):
        path.write_bytes(CONTENT)
        os.utime(path, ns=(1, 1_000_000_007))
        recorded: list[Mapping[str, Any]] = []
        fault = kind(scene, random.Random(3))
        await fault.inject(recorded.append)
        assert len(recorded) == 1
        assert not path.exists() or path.read_bytes() != CONTENT
        if heals_itself:
            await fault.heal()
        else:
            assert kind.heal_left_over(recorded[0]) == "put p1 back"
        assert path.read_bytes() == CONTENT
        assert path.stat().st_mtime_ns == 1_000_000_007
        assert not list(scene.directory.iterdir())
        assert kind.heal_left_over(recorded[0]) is None


async def test_what_a_flip_changes_is_one_byte(scene: Any) -> None:
    """And the file keeps its size and times, so that only reading it tells."""
    path = scene.server.storage_directory / "p1"
    path.write_bytes(CONTENT)
    before = path.stat()
    await FlipByte(scene, random.Random(3)).inject(lambda _: None)
    changed = path.read_bytes()
    assert [old ^ new for old, new in zip(CONTENT, changed, strict=True) if old != new] == [0xFF]
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


async def test_a_failure_is_excused_if_it_is_about_the_blob(scene: Any) -> None:
    """As the target's adapter has read it from the message, whatever words stand there; or may be, as it can't say."""
    (scene.server.storage_directory / "p1").write_bytes(CONTENT)
    fault = LoseBlob(scene, random.Random(3))
    await fault.inject(lambda _: None)
    assert fault.excuses(OperationFailed("restore failed", blobs=["p2", "p1"]))
    assert fault.excuses(OperationFailed("restore failed: integrity error", blobs=ANY_BLOB))
    assert not fault.excuses(OperationFailed("restore failed", blobs=["p2"]))
    assert not fault.excuses(OperationFailed("restore of p1 failed", evidence="p1: no route to host"))


async def test_nothing_stored_is_nothing_to_break(scene: Any) -> None:
    """An empty repository is left alone, and so is an empty file."""
    for kind in (LoseBlob, UnfinishedFiles):
        with pytest.raises(NothingToBreak):
            await kind(scene, random.Random(1)).inject(lambda _: pytest.fail("nothing was to be recorded"))
    (scene.server.storage_directory / "p0").touch()
    with pytest.raises(NothingToBreak):
        await LoseBlob(scene, random.Random(1)).inject(lambda _: None)


async def test_unfinished_files_come_and_go(scene: Any) -> None:
    """Beside the stored ones, by the target's own way of naming them."""
    path = scene.server.storage_directory / "p1"
    path.write_bytes(CONTENT)
    fault = UnfinishedFiles(scene, random.Random(1))
    await fault.inject(lambda _: None)
    names = sorted(os.listdir(path.parent))
    assert len(names) == 2
    assert names[1].startswith("p1.tmp.")
    await fault.heal()
    assert os.listdir(path.parent) == ["p1"]


def test_what_was_written_over_a_full_disk_goes_below(tmp_path: Path) -> None:
    """New files and directories, replaced files, and deletions, which an overlay keeps as devices 0:0."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for path, content in {"a/kept": b"1", "a/replaced": b"old", "a/deleted": b"x"}.items():
        (lower / path).parent.mkdir(parents=True, exist_ok=True)
        (lower / path).write_bytes(content)
    for path, content in {"a/replaced": b"new", "b/c/new": b"2"}.items():
        (upper / path).parent.mkdir(parents=True, exist_ok=True)
        (upper / path).write_bytes(content)
    if os.geteuid() == 0:
        os.mknod(upper / "a" / "deleted", 0o020000, os.makedev(0, 0))
    mounts.move_down(upper, lower)
    found = {str(path.relative_to(lower)): path.read_bytes() for path in lower.rglob("*") if path.is_file()}
    deleted = {} if os.geteuid() == 0 else {"a/deleted": b"x"}
    assert found == {"a/kept": b"1", "a/replaced": b"new", "b/c/new": b"2"} | deleted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the devices and attributes of an overlay")
def test_directories_that_were_deleted_on_a_full_disk_go_below_as_well(tmp_path: Path) -> None:
    """One that is gone, as the lock of a repository is, and one that was made anew, which holds what is new only."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for path in ("gone/old", "again/old"):
        (lower / path).parent.mkdir(parents=True)
        (lower / path).write_bytes(b"1")
    (upper / "again").mkdir(parents=True)
    (upper / "again" / "new").write_bytes(b"2")
    os.mknod(upper / "gone", 0o020000, os.makedev(0, 0))
    try:
        os.setxattr(upper / "again", "trusted.overlay.opaque", b"y")
    except OSError as error:
        pytest.skip(f"this file system keeps no attributes of root's: {error}")
    mounts.move_down(upper, lower)
    assert [str(path.relative_to(lower)) for path in sorted(lower.rglob("*"))] == ["again", "again/new"]
