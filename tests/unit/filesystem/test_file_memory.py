"""A scan that remembers gives what a scan that reads everything gives, and reads only what has changed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec
import pytest

from snapstorm.errors import HarnessError
from snapstorm.filesystem.file_memory import PROVED_EVERY, TICK_NS_MAX, FileMemory
from snapstorm.filesystem.scanner import scan_changes, scan_tree
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import ChangeMetadata, DeleteFiles, FileAction, ModifyFiles, WriteRandomFiles
from snapstorm.model.amounts import Span
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.manifest import Entry, EntryType, Manifest, Segment
from snapstorm.runtime.clock import Clock

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class LaterClock(Clock):
    """A clock by which everything on the disk is old, as it is some moments later."""

    later_ns: int = 10 * TICK_NS_MAX

    def wall_ns(self) -> int:
        return super().wall_ns() + self.later_ns


class NotedMemory(FileMemory):
    """Notes the sizes of the files that a scan has to read."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or Clock())
        self.read: list[int] = []

    def recall(self, path: bytes, status: os.stat_result, segments: tuple[Segment, ...]) -> Entry | None:
        entry = super().recall(path, status, segments)
        if entry is None:
            self.read.append(status.st_size)
        return entry


def known(path: bytes) -> tuple[Segment, ...]:
    return (Segment(1, 1, 0, 1),)


def scanned(tree: Path, memory: FileMemory) -> Manifest:
    return scan_changes(tree, known, memory).manifest


def test_only_what_has_changed_is_read_again(tmp_path: Path) -> None:
    """However the change hides: same size, same time of modification, another file in its place, another mode."""
    for number in range(6):
        (tmp_path / f"f{number}").write_bytes(b"%d" % number * (10 + number))
    os.link(tmp_path / "f5", tmp_path / "f6")
    memory = NotedMemory(LaterClock())
    assert scanned(tmp_path, memory) == scan_tree(tmp_path, known)
    memory.read.clear()
    before = (tmp_path / "f0").stat()
    (tmp_path / "f0").write_bytes(b"x" * 10)
    os.utime(tmp_path / "f0", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").write_bytes(b"y" * 11)
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, (tmp_path / "f1").stat().st_mtime_ns))
    (tmp_path / "new").replace(tmp_path / "f1")
    (tmp_path / "f2").chmod(0o600)
    (tmp_path / "f5").write_bytes(b"z" * 15)
    found = scanned(tmp_path, memory)
    assert sorted(memory.read) == [10, 11, 12, 15, 15], "f0, f1, f2, and f5 by both its names"
    assert found == scan_tree(tmp_path, known)


def test_what_may_change_within_the_same_tick_is_read_again(tmp_path: Path) -> None:
    """A file that has just been written could be written once more and keep its stamp."""
    (tmp_path / "f").write_bytes(b"just now")
    memory = NotedMemory()
    for _ in range(2):
        scanned(tmp_path, memory)
    assert len(memory.read) == 2


def test_what_is_remembered_is_proved_from_time_to_time(tmp_path: Path) -> None:
    """One scan of many reads everything."""
    (tmp_path / "f").write_bytes(b"content")
    memory = NotedMemory(LaterClock())
    for _ in range(2 * PROVED_EVERY):
        scanned(tmp_path, memory)
    assert len(memory.read) == 1 + 2


def test_a_file_that_changes_without_a_stamp_is_an_error(tmp_path: Path) -> None:
    """What was remembered was wrong: nothing more may rest on it."""
    (tmp_path / "f").write_bytes(b"content")
    memory = FileMemory(LaterClock())
    scanned(tmp_path, memory)
    remembered = memory._known[b"f"]
    memory._known[b"f"] = remembered._replace(entry=_other_content(remembered.entry))
    for _ in range(PROVED_EVERY - 2):
        scanned(tmp_path, memory)
    with pytest.raises(HarnessError, match="f: its content is not what was read before"):
        scanned(tmp_path, memory)


def _other_content(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, digest=b"\0" * 32)


def tamper(file: Path) -> None:
    """Another byte in the middle, and the time of modification as it was."""
    status, content = file.stat(), bytearray(file.read_bytes())
    content[50] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES_THAT_SHOW: dict[str, Callable[[Path], object]] = {
    "mode": lambda file: file.chmod(0o111),
    "time": os.utime,
    "size": lambda file: os.truncate(file, 90),
    "another name": lambda file: file.with_name("another").hardlink_to(file),
}


async def open_new_tree(data: Path, memory: FileMemory | None = None) -> TreeFileWriter:
    writer = TreeFileWriter(data_directory=data, capabilities=Capabilities(), memory=memory)
    await writer.apply(WriteRandomFiles(count=9, size_bytes=100, depth=0, odd_percent=0), random.Random(3))
    return writer


async def test_new_small_files_are_not_read(tmp_path: Path) -> None:
    """They are what was written; also when they are scanned again at once, and from time to time they are read."""
    memory = NotedMemory()
    writer = await open_new_tree(tmp_path / "data", memory)
    for number in range(PROVED_EVERY):
        manifest = await writer.scan()
        assert bool(memory.read) == (number == PROVED_EVERY - 1)
        assert manifest == scan_tree(tmp_path / "data", writer._view.tree.segments_of)


async def test_what_somebody_else_writes_to_a_new_file_is_not_taken_for_the_writers(tmp_path: Path) -> None:
    """A target that changes what it is to back up, and hides that, gives back what was never written."""
    writer = await open_new_tree(tmp_path / "data")
    written = scan_tree(tmp_path / "data", writer._view.tree.segments_of)
    tamper(tmp_path / "data" / os.fsdecode(written.entries[1].path))
    assert await writer.scan() == written
    assert scan_tree(tmp_path / "data", writer._view.tree.segments_of) != written


@pytest.mark.parametrize("change", CHANGES_THAT_SHOW)
async def test_a_new_file_that_looks_different_is_read(tmp_path: Path, change: str) -> None:
    """Whatever it looks like then is what it is."""
    memory = NotedMemory()
    writer = await open_new_tree(tmp_path / "data", memory)
    file = tmp_path / "data" / os.fsdecode((await writer.scan()).entries[1].path)
    memory.read.clear()
    CHANGES_THAT_SHOW[change](file)
    manifest = await writer.scan()
    assert len(memory.read) == (2 if change == "another name" else 1)
    assert _without_segments(manifest) == _without_segments(scan_tree(tmp_path / "data"))


@pytest.mark.parametrize("action", [ModifyFiles(count=1), ChangeMetadata(count=1), DeleteFiles(percent=10)])
async def test_after_any_other_change_new_files_are_read(tmp_path: Path, action: FileAction) -> None:
    """Not every change shows, as that of an extended attribute."""
    memory = NotedMemory()
    writer = await open_new_tree(tmp_path / "data", memory)
    await writer.apply(action, random.Random(4))
    assert _without_segments(await writer.scan()) == _without_segments(scan_tree(tmp_path / "data"))
    assert len(memory.read) >= 8


async def test_a_file_that_was_replaced_by_a_new_one_is_that(tmp_path: Path) -> None:
    """What is known goes with the file: a name that comes again is another file."""
    writer = await open_new_tree(tmp_path / "data")
    await writer.scan()
    for seed in range(4, 9):
        await writer.apply(DeleteFiles(percent=100), random.Random(seed))
        await writer.apply(WriteRandomFiles(count=9, size_bytes=100, depth=0, odd_percent=0), random.Random(3))
        assert await writer.scan() == scan_tree(tmp_path / "data", writer._view.tree.segments_of)


async def test_a_writer_knows_its_tree_as_well_as_by_reading_all_of_it(tmp_path: Path) -> None:
    """After each of many steps of every kind; and it reads far less."""
    memory = NotedMemory(LaterClock(later_ns=TICK_NS_MAX))
    writer = TreeFileWriter(data_directory=tmp_path / "data", capabilities=Capabilities(), memory=memory)
    draws, read_by_memory, read_by_all = random.Random(11), 0, 0
    actions = (
        WriteRandomFiles(count=Span(low=1, high=20), size_bytes=Span(low=0, high=9000), odd_percent=40),
        ModifyFiles(count=Span(low=1, high=3)),
        ChangeMetadata(count=Span(low=1, high=3)),
        DeleteFiles(percent=20),
    )
    for _ in range(60):
        await anyio.sleep(0.012)  # Longer than a tick.
        await writer.apply(draws.choice(actions), draws)
        memory.read.clear()
        remembered = await writer.scan()
        read_by_memory += len(memory.read)
        whole = scan_tree(tmp_path / "data")
        read_by_all += sum(entry.type is EntryType.FILE for entry in whole)
        assert _without_segments(remembered) == _without_segments(whole)
    assert 0 < read_by_memory < read_by_all / 2


def _without_segments(manifest: Manifest) -> list[Entry]:
    return [msgspec.structs.replace(entry, segments=()) for entry in manifest]
