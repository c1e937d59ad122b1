"""What somebody else has changed in a client's files is seen, and what the client does itself is not held against
anybody."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from snapstorm.filesystem.change_detection import TreeLooks, changes_between, looks_of_tree
from snapstorm.filesystem.scanner import scan_tree, scan_tree_and_looks
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import (
    ChangeMetadata,
    DeleteFiles,
    DeleteRandomSubdirectory,
    FileAction,
    ModifyFiles,
    WriteRandomFiles,
)
from snapstorm.model.amounts import Span
from snapstorm.model.capabilities import Capabilities

pytestmark = pytest.mark.anyio

ACTIONS: tuple[FileAction, ...] = (
    WriteRandomFiles(count=20, size_bytes=Span(low=0, high=9000), depth=Span(low=0, high=3), odd_percent=40),
    ModifyFiles(count=5),
    ChangeMetadata(count=5),
    DeleteFiles(percent=20),
    DeleteRandomSubdirectory(),
)


@pytest.fixture
def data(scratch: Path) -> Path:
    return scratch / "data"


@pytest.fixture
def writer(data: Path) -> TreeFileWriter:
    return TreeFileWriter(data_directory=data, capabilities=Capabilities())


async def write(writer: TreeFileWriter, seed: int = 1) -> None:
    await writer.apply(WriteRandomFiles(count=8, size_bytes=100, depth=1, odd_percent=0), random.Random(seed))


async def write_watched(writer: TreeFileWriter, *, is_scanned: bool) -> None:
    """A tree that was scanned, or only looked at, when somebody else is asked for something."""
    await write(writer)
    if is_scanned:
        await writer.scan()
    await writer.watch()


def first_file(data: Path) -> Path:
    return next(path for path in sorted(data.rglob("*")) if path.is_file())


def overwrite(file: Path) -> None:
    file.write_bytes(b"another")


def append(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"!")


def make_beside(file: Path) -> None:
    file.with_name("another").touch()


def change_mode(file: Path) -> None:
    file.chmod(0o611)


def change_time(file: Path) -> None:
    os.utime(file, ns=(1, 2))


def become_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def become_a_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("x")


def rewrite_and_set_back(file: Path) -> None:
    """One byte is another one, and size, mode and times are as before. The change time can't be set."""
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # Until the system's clock has ticked.
        with file.open("r+b") as opened:
            opened.write(b"!")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def replace_and_set_back(file: Path) -> None:
    """Another file that looks the same is put in its place; the directory's time is set back, too."""
    before, directory = file.stat(), file.parent.stat()
    other = file.with_name("other")
    while not other.exists() or other.stat().st_ctime_ns == before.st_ctime_ns:
        other.write_bytes(b"!" * before.st_size)
        other.chmod(before.st_mode)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file)
    os.utime(file.parent, ns=(directory.st_atime_ns, directory.st_mtime_ns))


def change_mode_to_and_fro(file: Path) -> None:
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:
        file.chmod(0o611)
        file.chmod(before.st_mode)


def change_directory_to_and_fro(file: Path) -> None:
    change_mode_to_and_fro(file.parent)


SET_BACK = "was changed and made to look as before"

CHANGES: dict[Callable[[Path], object], str] = {
    overwrite: "size_bytes 100, now 7",
    append: "size_bytes 100, now 101",
    Path.unlink: "is gone",
    make_beside: "another: is new",
    change_mode: "now 611",
    change_time: "now 2",
    become_a_directory: "kind 100000, now 40000",
    become_a_link: "kind 100000, now 120000",
    rewrite_and_set_back: SET_BACK,
    replace_and_set_back: SET_BACK,
    change_mode_to_and_fro: SET_BACK,
    change_directory_to_and_fro: SET_BACK,
}


@pytest.mark.parametrize("is_scanned", [True, False])
@pytest.mark.parametrize("change", CHANGES)
async def test_each_change_by_another_is_told_once(
    writer: TreeFileWriter, data: Path, change: Callable[[Path], object], is_scanned: bool
) -> None:
    """Whether the tree was scanned before, as for a snapshot, or only looked at; and the writer goes on."""
    await write_watched(writer, is_scanned=is_scanned)
    assert await writer.changes_by_others() == []
    change(first_file(data))
    found = await writer.changes_by_others()
    assert any(CHANGES[change] in line for line in found), found
    assert await writer.changes_by_others() == []
    for seed, action in enumerate(ACTIONS):
        await writer.apply(action, random.Random(seed))
    assert await writer.scan() == scan_tree(data, writer._view.tree.segments_of)


@pytest.mark.parametrize("is_scanned", [True, False])
@pytest.mark.parametrize("change", CHANGES)
async def test_each_change_by_another_is_seen_by_a_scan(
    writer: TreeFileWriter, data: Path, change: Callable[[Path], object], is_scanned: bool
) -> None:
    """And told when somebody asks, also after the target was asked again; what comes after is told, too."""
    await write_watched(writer, is_scanned=is_scanned)
    change(first_file(data))
    assert await writer.scan() == scan_tree(data, writer._view.tree.segments_of)
    if is_scanned:
        await writer.watch()
    found = await writer.changes_by_others()
    assert any(CHANGES[change] in line for line in found), found
    assert await writer.changes_by_others() == []
    await writer.scan()
    await writer.watch()
    (data / "another").write_bytes(b"x")
    assert [line for line in await writer.changes_by_others() if line == "another: is new"]


class CountingWriter(TreeFileWriter):
    looks = 0

    async def _look(self) -> TreeLooks:
        self.looks += 1
        return await super()._look()


async def test_a_scan_is_a_look(data: Path) -> None:
    """So a tree is gone through once before each snapshot; once the target was asked, it is looked at again."""
    writer = CountingWriter(data_directory=data, capabilities=Capabilities())
    await write(writer)
    for number in range(3):
        await writer.scan()
        assert await writer.changes_by_others() == []
        assert writer.looks == number
        await writer.watch()
        assert await writer.changes_by_others() == []
        assert writer.looks == number + 1


@pytest.mark.parametrize("seed", range(6))
async def test_what_the_writer_does_itself_is_nobody_elses_doing(writer: TreeFileWriter, seed: int) -> None:
    """Odd trees, hard links among them: whatever it does, and wherever somebody begins to watch."""
    draws = random.Random(seed)
    for _ in range(40):
        await writer.apply(draws.choice(ACTIONS), draws)
        if draws.random() < 0.5:
            await writer.scan()
        if draws.random() < 0.7:
            await writer.watch()
        assert await writer.changes_by_others() == []


async def test_an_adopted_tree_is_ones_own(writer: TreeFileWriter, data: Path) -> None:
    """It takes the place of what was watched."""
    await write(writer)
    await writer.watch()
    restored = data.with_name("restored")
    restored.mkdir()
    (restored / "file").write_bytes(b"x")
    await writer.adopt(restored)
    assert await writer.changes_by_others() == []
    await writer.watch()
    (data / "file").unlink()
    assert [line for line in await writer.changes_by_others() if "is gone" in line]


async def test_a_tree_that_is_gone_is_told(writer: TreeFileWriter, data: Path) -> None:
    """With all that was in it; the writer goes on with an empty one."""
    await write(writer)
    await writer.watch()
    data.rename(data.with_name("elsewhere"))
    found = await writer.changes_by_others()
    assert found[0] == "the directory itself: is gone"
    assert len(found) == 10
    await write(writer, seed=2)
    assert len((await writer.scan()).entries) == 10


def test_a_look_is_what_a_scan_says(data: Path) -> None:
    """Entry for entry, of every kind, so that the one can be held against the other."""
    data.mkdir()
    (data / "d").mkdir(mode=0o700)
    (data / "d" / "f").write_bytes(b"x" * 10)
    (data / "l").symlink_to("d/f")
    os.mkfifo(data / "p")
    os.link(data / "d" / "f", data / "h")
    (data / os.fsdecode(b"\xff")).touch()
    looks = looks_of_tree(data)
    assert changes_between(scan_tree_and_looks(data).looks, looks) == []
    assert set(looks) == {b"", b"d", b"d/f", b"l", b"p", b"h", b"\xff"}


def test_what_came_and_went_is_told_first(data: Path) -> None:
    """A directory that has changed only because of that says less."""
    data.mkdir()
    (data / "a").mkdir()
    (data / "z").touch()
    before = looks_of_tree(data)
    (data / "z").unlink()
    (data / "a" / "new").touch()
    found = changes_between(before, looks_of_tree(data))
    assert [line.partition(": ")[2].split(" ")[0:2] for line in found[:2]] == [["is", "new"], ["is", "gone"]]
