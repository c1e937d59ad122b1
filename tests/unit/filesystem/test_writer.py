"""Claims about the writer: it does what it says, knows what it wrote, and follows its draws alone."""

from __future__ import annotations

import errno
import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapstorm.errors import HarnessError, NoSpaceError
from snapstorm.filesystem import file_changes
from snapstorm.filesystem.allowances import PATH_BYTES_MAX, probe_platform
from snapstorm.filesystem.descriptors import opened_below
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.scanner import scan_tree, scan_tree_and_looks
from snapstorm.filesystem.tree_state import TreeState
from snapstorm.filesystem.writer import TOTAL_BYTES_MAX, TreeFileWriter
from snapstorm.model.action_results import WriteReport
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
from snapstorm.model.change_kinds import MetadataKind, ModifyKind, Oddity
from snapstorm.model.content import HEADER_BYTES, HOLE, blocks_in, content_digest, runs, whole_file
from snapstorm.model.manifest import Entry, EntryType, Manifest
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.protocols import FileWriter

ALL = Capabilities()
KOPIA_LIKE = Capabilities(
    hard_links=False,
    xattrs=False,
    non_utf8_names=False,
    special_files=False,
    forbidden_name_suffixes=(".kopia-entry",),
)
EVERYTHING = Capabilities(sockets=True, xattr_prefixes=("user.", "security.", "trusted.", "system.posix_acl_"))
ALL_KINDS: tuple[type[FileAction], ...] = (
    WriteRandomFiles,
    ModifyFiles,
    ChangeMetadata,
    DeleteFiles,
    DeleteRandomSubdirectory,
)

SIZE_RANGES = ((0, 100), (0, 20_000), (4090, 4140), (30, 34))

WRITES = st.builds(
    WriteRandomFiles,
    count=st.integers(1, 12),
    size_bytes=st.sampled_from([4096, *(Span(low=low, high=high) for low, high in SIZE_RANGES)]),
    depth=st.integers(0, 4),
    odd_percent=st.sampled_from([0, 15, 100]),
    duplicate_percent=st.sampled_from([0, 20, 100]),
)
ACTIONS = st.one_of(
    WRITES,
    st.builds(ModifyFiles, count=st.integers(1, 12), kinds=st.frozensets(st.sampled_from(ModifyKind), min_size=1)),
    st.builds(ChangeMetadata, count=st.integers(1, 8), kinds=st.frozensets(st.sampled_from(MetadataKind), min_size=1)),
    st.builds(DeleteFiles, percent=st.integers(1, 100)),
    st.builds(DeleteRandomSubdirectory),
)
HISTORIES = st.builds(
    lambda seed, first, then: (seed, [*first, *then]),
    st.integers(0, 1 << 32),
    st.lists(WRITES, min_size=2, max_size=4),
    st.lists(ACTIONS, min_size=4, max_size=12),
)
"""A seed, and actions of which the first ones write, so that the others find something to act on."""


def new_writer(
    directory: Path, capabilities: Capabilities = ALL, total_bytes_max: int = TOTAL_BYTES_MAX
) -> TreeFileWriter:
    return TreeFileWriter(data_directory=directory, capabilities=capabilities, total_bytes_max=total_bytes_max)


async def do_all(writer: TreeFileWriter, seed: int, actions: Iterable[FileAction]) -> list[Ok[WriteReport] | NoOp]:
    return [await writer.apply(action, random.Random(f"{seed} {step}")) for step, action in enumerate(actions)]


def assert_known(manifest: Manifest) -> None:
    """Each file's bytes are those that its segments give."""
    for entry in manifest:
        if entry.type is EntryType.FILE:
            assert sum(segment.blocks for segment in entry.segments) == blocks_in(entry.size)
            assert content_digest(entry.segments, entry.size) == entry.digest


def assert_picture_is_right(writer: TreeFileWriter, manifest: Manifest) -> None:
    """What the writer believes is what a fresh look at the disk finds."""
    tree = writer._view.tree
    by_type = {kind: [entry.path for entry in manifest if entry.type is kind and entry.path] for kind in EntryType}
    assert list(tree.file_paths) == by_type[EntryType.FILE]
    assert list(tree.directory_paths) == by_type[EntryType.DIRECTORY]
    others = EntryType.SYMLINK, EntryType.FIFO, EntryType.SOCKET, EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE
    assert list(tree.other_paths) == sorted(path for kind in others for path in by_type[kind])
    for path, state in tree.files.items():
        assert (state.size_bytes, state.mode) == (manifest.by_path[path].size, manifest.by_path[path].mode)
    for path, directory in tree.directories.items():
        assert directory.mode == manifest.by_path[path].mode
        assert tree.entries_in(path) == [
            entry.path for entry in manifest if entry.path and entry.path.rpartition(b"/")[0] == path
        ]
        assert directory.subdirectories == sorted(directory.subdirectories)
    statuses = [(writer.data_directory / os.fsdecode(path)).stat() for path in tree.files]
    unique = {status.st_ino: status.st_size for status in statuses}
    assert tree.bytes_total == sum(unique.values())
    assert len({id(state) for state in tree.files.values()}) == len(unique)


def test_the_writer_is_a_file_writer(tmp_path: Path) -> None:
    """The class has the protocol's methods."""
    writer: FileWriter = new_writer(tmp_path / "d")
    assert writer.data_directory == tmp_path / "d"
    assert not any(writer.can_apply(kind) for kind in ALL_KINDS if kind is not WriteRandomFiles)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HISTORIES)
def test_the_writer_always_knows_its_tree(
    tmp_path_factory: pytest.TempPathFactory, history: tuple[int, list[FileAction]]
) -> None:
    """After any actions all content is known, the picture equals the disk, and reports and promises were true."""
    directory = tmp_path_factory.mktemp("tree") / "d"

    async def run() -> None:
        seed, actions = history
        writer = new_writer(directory)
        before = await writer.scan()
        for step, action in enumerate(actions):
            promised = writer.can_apply(type(action))
            result = await writer.apply(action, random.Random(f"{seed} {step}"))
            after = await writer.scan()
            assert isinstance(result, NoOp) <= (before == after)
            if not promised:
                assert isinstance(result, NoOp)
            elif not action.model_fields_set & {"kinds"}:
                assert isinstance(result, Ok)
            if isinstance(result, Ok):
                assert_report_is_true(result.value, before, after)
            assert_known(after)
            assert_picture_is_right(writer, after)
            before = after
        assert_headers_tell_the_same(before, scan_tree_and_looks(directory).manifest)
        assert_picture_is_right(new_writer(directory), before)

    anyio.run(run)
    remove_tree(directory.parent)


def assert_report_is_true(report: WriteReport, before: Manifest, after: Manifest) -> None:
    """The counts of a report are what a comparison of the tree before and after gives."""
    came, gone = after.by_path.keys() - before.by_path.keys(), before.by_path.keys() - after.by_path.keys()
    assert len(after) - len(before) == report.entries_written - report.entries_deleted
    if report.entries_changed:
        changed = [entry for entry in after if before.by_path.get(entry.path) != entry]
        # Two changes can meet in one file, by its two names.
        assert changed
    else:
        assert (len(came), len(gone)) == (report.entries_written, report.entries_deleted)
        new = [after.by_path[path] for path in came if after.by_path[path].digest not in digests_of(before)]
        assert report.bytes_written >= sum({entry.digest: written_bytes(entry) for entry in new}.values())


def digests_of(manifest: Manifest) -> set[bytes]:
    return {entry.digest for entry in manifest}


def written_bytes(entry: Entry) -> int:
    """The bytes of a file that are no hole."""
    return sum(run.length_bytes for run in runs(entry.segments, entry.size) if run.stream != HOLE)


def assert_headers_tell_the_same(known: Manifest, told: Manifest) -> None:
    for mine, theirs in zip(known, told, strict=True):
        assert (mine.path, mine.digest) == (theirs.path, theirs.digest)
        assert theirs.segments == (mine.segments if mine.size >= HEADER_BYTES else ())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HISTORIES)
def test_equal_draws_make_equal_trees(
    tmp_path_factory: pytest.TempPathFactory, history: tuple[int, list[FileAction]]
) -> None:
    """Two writers with the same draws make the same manifest, times of files, links and directories included."""
    directory = tmp_path_factory.mktemp("trees")

    async def run() -> None:
        seed, actions = history
        one, two = new_writer(directory / "one"), new_writer(directory / "two")
        assert await do_all(one, seed, actions) == await do_all(two, seed, actions)
        assert (await one.scan()).encoded == (await two.scan()).encoded

    anyio.run(run)
    remove_tree(directory)


TREE_IN_ANOTHER_PROCESS = """
import os, random, sys
from pathlib import Path
import anyio
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import ChangeMetadata, DeleteFiles, ModifyFiles, WriteRandomFiles
from snapstorm.model.capabilities import Capabilities

async def main() -> None:
    writer = TreeFileWriter(data_directory=Path(sys.argv[1]), capabilities=Capabilities())
    for step in range(6):
        for action in (WriteRandomFiles(odd_percent=50), ModifyFiles(), ChangeMetadata(), DeleteFiles(percent=20)):
            await writer.apply(action, random.Random(step))
    print((await writer.scan()).digest)

anyio.run(main)
"""


def test_trees_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """Another process, whose sets have another order, makes the same tree from the same draws."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", TREE_IN_ANOTHER_PROCESS, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1


@pytest.mark.anyio
async def test_choices_do_not_depend_on_how_the_tree_came_to_be(tmp_path: Path) -> None:
    """A writer that found a tree on disk chooses like the one that wrote it."""
    directory = tmp_path / "d"
    writer = new_writer(directory)
    await do_all(
        writer, 1, [WriteRandomFiles(count=20, depth=depth, size_bytes=Span(low=100, high=9000)) for depth in range(4)]
    )
    again = new_writer(directory)
    assert list(again._view.tree.file_paths) == list(writer._view.tree.file_paths)
    assert await again.pick_directory(random.Random(3)) == await writer.pick_directory(random.Random(3))
    assert again.bytes_total == writer.bytes_total


@pytest.mark.anyio
async def test_everything_odd_is_made_where_it_is_kept(tmp_path: Path) -> None:
    """With a target that keeps everything, each oddity that the platform allows comes up."""
    writer = new_writer(tmp_path / "d")
    await writer.apply(
        WriteRandomFiles(count=800, size_bytes=Span(low=1, high=20000), odd_percent=90), random.Random(1)
    )
    manifest = await writer.scan()
    names = [entry.path.rpartition(b"/")[2] for entry in manifest]
    assert any(entry.type is EntryType.FILE and entry.size == 0 for entry in manifest)
    assert any(entry.type is EntryType.SYMLINK and not resolves(tmp_path / "d", entry.path) for entry in manifest)
    assert any(entry.type is EntryType.SYMLINK and resolves(tmp_path / "d", entry.path) for entry in manifest)
    assert any(entry.mode & stat.S_ISUID for entry in manifest)
    assert any(entry.mtime_ns < 900_000_000 * 10**9 for entry in manifest)
    assert all(31_536_000 * 10**9 < entry.mtime_ns < 2_145_916_800 * 10**9 for entry in manifest)
    assert any(b"\n" in name for name in names)
    assert any(len(name) == 255 for name in names)
    assert any(not is_utf8(name) for name in names)
    assert any(segment.stream == 0 for entry in manifest for segment in entry.segments)
    assert len({id(state) for state in writer._view.tree.files.values()}) < len(writer._view.tree.files)
    assert len({entry.mtime_ns % 1000 for entry in manifest}) > 100


@pytest.mark.anyio
async def test_links_special_files_and_attributes_are_made_where_they_are_kept(tmp_path: Path) -> None:
    """By drawing as well as one of each, as far as this process may, and the same again from the same draws."""
    action = WriteRandomFiles(count=400, size_bytes=Span(low=1, high=100), odd_percent=90)
    specimens = WriteRandomFiles(count=1, odd_percent=1, one_of_each=True)
    special_types = {EntryType.FIFO, EntryType.SOCKET}
    if os.geteuid() == 0:
        special_types |= {EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE}
    scanned: list[list[Manifest]] = []
    for name in ("first", "second"):
        writer = new_writer(tmp_path / name, EVERYTHING)
        manifests: list[Manifest] = []
        for step in (action, specimens):
            await writer.apply(DeleteFiles(percent=100), random.Random(0))
            assert isinstance(await writer.apply(step, random.Random(1)), Ok)
            manifests.append(await writer.scan())
            assert manifests[-1] == scan_tree(tmp_path / name, writer._view.tree.segments_of)
            assert_picture_is_right(writer, manifests[-1])
        scanned.append(manifests)
    assert scanned[0] == scanned[1]
    of_system = {name for name in probe_platform(tmp_path / "first").xattr_names if not name.startswith(b"user.")}
    for manifest in scanned[0]:
        assert manifest.has_hard_links
        assert {xattr for entry in manifest for xattr, _ in entry.xattrs} > of_system
    drawn = scanned[0][0]
    assert special_types <= {entry.type for entry in drawn}
    assert {entry.type for entry in scanned[0][1]} & special_types >= {EntryType.FIFO, EntryType.SOCKET}
    assert all(240 <= int(entry.target.split(b":")[0]) < 255 for entry in drawn if entry.type.value.endswith("device"))


@pytest.mark.anyio
async def test_replacing_breaks_links_and_takes_the_place_of_special_files(tmp_path: Path) -> None:
    """The other names of a file keep its content; a link or a FIFO becomes a file."""
    writer = new_writer(tmp_path / "d", EVERYTHING)
    await writer.apply(WriteRandomFiles(count=200, size_bytes=50, odd_percent=90, depth=0), random.Random(1))
    before = await writer.scan()
    replace = ModifyFiles(count=60, kinds=frozenset({ModifyKind.REPLACE}))
    result = await writer.apply(replace, random.Random(2))
    after = await writer.scan()
    assert isinstance(result, Ok)
    assert result.value.entries_changed == 60
    assert_picture_is_right(writer, after)
    assert_known(after)
    changed = [path for path, entry in after.by_path.items() if entry.digest != before.by_path[path].digest]
    assert len(changed) == 60
    assert all(after.by_path[path].type is EntryType.FILE and not after.by_path[path].target for path in changed)
    assert {before.by_path[path].type for path in changed} >= {EntryType.FILE, EntryType.SYMLINK, EntryType.FIFO}
    assert any(before.by_path[path].target for path in changed if before.by_path[path].type is EntryType.FILE)


@pytest.mark.anyio
async def test_entries_are_replaced_only_where_that_shows_something(tmp_path: Path) -> None:
    """By default, with a target that keeps neither links nor special files, only when asked for."""
    writer = new_writer(tmp_path / "d", KOPIA_LIKE)
    await writer.apply(WriteRandomFiles(count=30, size_bytes=50, odd_percent=0), random.Random(1))

    async def streams() -> set[int]:
        return {segment.stream for entry in await writer.scan() for segment in entry.segments}

    before = await streams()
    assert isinstance(await writer.apply(ModifyFiles(count=30), random.Random(2)), Ok)
    assert await streams() <= before
    assert isinstance(
        await writer.apply(ModifyFiles(count=3, kinds=frozenset({ModifyKind.REPLACE})), random.Random(3)), Ok
    )
    assert not await streams() <= before


def resolves(root: Path, link: bytes) -> bool:
    return os.path.exists(os.path.join(os.fsencode(root), link))


def is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.anyio
async def test_links_can_be_left_out(tmp_path: Path) -> None:
    """Everything else that is odd is still made."""
    writer = new_writer(tmp_path / "d")
    action = WriteRandomFiles(
        count=800, size_bytes=Span(low=1, high=100), odd_percent=90, depth=2, links=False, one_of_each=True
    )
    await writer.apply(action, random.Random(1))
    manifest = await writer.scan()
    assert manifest.counts.symlinks == 0
    assert manifest.has_empty_directory
    assert any(entry.mode & stat.S_ISUID for entry in manifest)


@pytest.mark.anyio
async def test_what_the_target_drops_is_not_made(tmp_path: Path) -> None:
    """Nothing that a restore could not give back is made by default; it is when asked for."""
    action = WriteRandomFiles(count=800, size_bytes=Span(low=1, high=100), odd_percent=90, depth=3)
    weak = Capabilities(
        hard_links=False, xattrs=False, non_utf8_names=False, symlinks=False, empty_directories=False,
        mode=False, sparse=False, name_bytes_max=60, forbidden_name_suffixes=(".tmp", ".db"),
    )  # fmt: skip
    writer = new_writer(tmp_path / "weak", weak)
    await writer.apply(action, random.Random(1))
    manifest = await writer.scan()
    names = [entry.path.rpartition(b"/")[2] for entry in manifest]
    assert all(len(name) <= 60 and is_utf8(name) and not name.endswith((b".tmp", b".db")) for name in names)
    assert manifest.counts.symlinks == 0
    assert all(not entry.xattrs for entry in manifest)
    assert {entry.mode for entry in manifest if entry.type is EntryType.FILE} == {0o644}
    assert not any(segment.stream == 0 for entry in manifest for segment in entry.segments)
    assert len({id(state) for state in writer._view.tree.files.values()}) == len(writer._view.tree.files)
    asked = TreeFileWriter(data_directory=tmp_path / "on", capabilities=weak, oddities={Oddity.SYMLINK})
    await asked.apply(action, random.Random(1))
    assert (await asked.scan()).counts.symlinks > 100


@pytest.mark.anyio
async def test_sparse_files_have_real_holes(tmp_path: Path) -> None:
    """A sparse file takes less space than it shows, where the file system has holes at all."""
    probe = tmp_path / "probe"
    probe.touch()
    os.truncate(probe, 1 << 20)
    if probe.stat().st_blocks:
        pytest.skip("the file system of the temporary directory has no holes")
    writer = TreeFileWriter(data_directory=tmp_path / "d", capabilities=ALL, oddities={Oddity.SPARSE_FILE})
    result = await writer.apply(WriteRandomFiles(count=20, size_bytes=60_000, odd_percent=100), random.Random(1))
    shown_bytes = (await writer.scan()).counts.size_bytes
    files = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert sum(path.stat().st_blocks * 512 for path in files) < shown_bytes / 4
    assert isinstance(result, Ok)
    assert result.value.bytes_written <= 20 * 3 * 4096


@pytest.mark.anyio
async def test_duplicates_share_content(tmp_path: Path) -> None:
    """With duplicates asked for, many files of one size have few contents; without, each has its own."""
    for percent, contents_max, contents_min in ((90, 40, 2), (0, 200, 200)):
        writer = new_writer(tmp_path / str(percent))
        action = WriteRandomFiles(count=200, size_bytes=5000, duplicate_percent=percent, odd_percent=0)
        await writer.apply(action, random.Random(1))
        digests = {entry.digest for entry in await writer.scan() if entry.digest}
        assert contents_min <= len(digests) <= contents_max


@pytest.mark.anyio
async def test_existing_directories_are_used_again(tmp_path: Path) -> None:
    """Files of many actions come together in directories, and reach the depth that was asked for."""
    writer = new_writer(tmp_path / "d")
    await do_all(writer, 1, [WriteRandomFiles(count=1, depth=3, size_bytes=10, odd_percent=0)] * 60)
    manifest = await writer.scan()
    files = [entry.path for entry in manifest if entry.type is EntryType.FILE]
    assert {path.count(b"/") for path in files} == {3}
    assert len({path.rpartition(b"/")[0] for path in files}) < 60


@pytest.mark.anyio
async def test_paths_stay_short_enough(tmp_path: Path) -> None:
    """However deep and odd, no path in the tree exceeds what targets can take."""
    writer = TreeFileWriter(data_directory=tmp_path / "d", capabilities=ALL, oddities={Oddity.ODD_NAME})
    await do_all(writer, 1, [WriteRandomFiles(count=3, depth=64, size_bytes=10, odd_percent=100)] * 30)
    longest = max(len(entry.path) for entry in await writer.scan())
    assert PATH_BYTES_MAX // 2 < longest <= PATH_BYTES_MAX


@pytest.mark.anyio
async def test_the_tree_never_exceeds_its_limit(tmp_path: Path) -> None:
    """Writing and appending stop at the limit, and then are no-ops with a reason, until something is deleted."""
    writer = new_writer(tmp_path / "d", total_bytes_max=100_000)
    await writer.apply(WriteRandomFiles(count=5, size_bytes=30_000, odd_percent=0), random.Random(1))
    assert writer.bytes_total == 100_000
    assert not writer.can_apply(WriteRandomFiles)
    result = await writer.apply(WriteRandomFiles(count=1), random.Random(2))
    assert isinstance(result, NoOp)
    assert "limit" in result.reason
    appending = ModifyFiles(kinds=frozenset({ModifyKind.APPEND}))
    assert isinstance(await writer.apply(appending, random.Random(3)), NoOp)
    await writer.free_space(random.Random(4))
    assert writer.can_apply(WriteRandomFiles)
    assert isinstance(await writer.apply(appending, random.Random(5)), Ok)
    assert (await writer.scan()).counts.size_bytes == writer.bytes_total <= 100_000


@pytest.mark.anyio
async def test_an_action_obeys_its_own_limit(tmp_path: Path) -> None:
    """A single action writes no more than it was told to."""
    writer = new_writer(tmp_path / "d")
    action = WriteRandomFiles(count=100, size_bytes=4096, total_bytes_max=10_000, odd_percent=0, depth=0)
    result = await writer.apply(action, random.Random(1))
    assert result == Ok(WriteReport(entries_written=3, bytes_written=10_000))


@pytest.mark.anyio
@pytest.mark.parametrize("room_bytes", [0, 1, 10_000, 50_000])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_leaves_a_known_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int, code: int
) -> None:
    """When the disk is full in mid-write, that is said, and the tree on disk is the one that the writer knows."""
    writer = new_writer(tmp_path / "d")
    await writer.apply(WriteRandomFiles(count=30, size_bytes=20_000, depth=1), random.Random(1))
    for kind in (*ModifyKind, None):
        if kind in (ModifyKind.RENAME, ModifyKind.TRUNCATE):
            continue
        fill_disk(monkeypatch, room_bytes, code)
        action: FileAction = WriteRandomFiles(count=40, size_bytes=20_000, odd_percent=0)
        if kind is not None:
            action = ModifyFiles(count=30, kinds=frozenset({kind}))
        with pytest.raises(NoSpaceError):
            await writer.apply(action, random.Random(2))
        monkeypatch.undo()
        manifest = await writer.scan()
        assert_picture_is_right(writer, manifest)
        for entry in manifest:
            if entry.segments:
                assert content_digest(entry.segments, entry.size) == entry.digest
    report = await writer.free_space(random.Random(3))
    assert report.entries_deleted > 0
    assert isinstance(await writer.apply(WriteRandomFiles(), random.Random(4)), Ok)
    # Content that a full disk left unknown is written anew by the next edit.
    await writer.apply(ModifyFiles(count=1000, kinds=frozenset({ModifyKind.IN_PLACE})), random.Random(5))
    assert_known(await writer.scan())


def fill_disk(monkeypatch: pytest.MonkeyPatch, room_bytes: int, code: int) -> None:
    """Let writes succeed for so many more bytes, the last one in part, as a file system does."""
    pwrite, room = os.pwrite, [room_bytes]

    def limited(fd: int, content: bytes, offset: int) -> int:
        if room[0] <= 0:
            raise OSError(code, os.strerror(code))
        written = pwrite(fd, memoryview(content)[: room[0]], offset)
        room[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", limited)


@pytest.mark.anyio
async def test_other_failures_are_ours_and_leave_a_known_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk is a harness error, after which the writer has looked again at what is there."""
    writer = new_writer(tmp_path / "d")
    await writer.apply(WriteRandomFiles(count=10, size_bytes=20_000), random.Random(1))
    with monkeypatch.context() as patched:
        fill_disk(patched, 30_000, errno.EIO)
        with pytest.raises(HarnessError) as caught:
            await writer.apply(WriteRandomFiles(count=40, size_bytes=20_000, odd_percent=0), random.Random(2))
    assert not isinstance(caught.value, NoSpaceError)
    assert_picture_is_right(writer, await writer.scan())
    await writer.apply(DeleteFiles(percent=100), random.Random(3))
    await writer.apply(WriteRandomFiles(count=10, depth=0, odd_percent=0), random.Random(4))
    for file in (tmp_path / "d").glob("*-*"):
        file.rename(file.with_name("moved-" + file.name))
    with pytest.raises(HarnessError, match="No such file"):
        await writer.apply(DeleteFiles(percent=100), random.Random(5))
    assert_picture_is_right(writer, await writer.scan())


@pytest.mark.anyio
async def test_edits_do_what_they_are_called(tmp_path: Path) -> None:
    """Overwriting keeps sizes, appending grows and keeps the beginning, truncating shrinks, renaming keeps content."""
    for kind in ModifyKind:
        writer = new_writer(tmp_path / kind)
        await writer.apply(
            WriteRandomFiles(count=40, size_bytes=Span(low=1, high=30000), odd_percent=0), random.Random(1)
        )
        before = await writer.scan()
        contents = {path: (tmp_path / kind / os.fsdecode(path)).read_bytes() for path in writer._view.tree.file_paths}
        result = await writer.apply(ModifyFiles(count=40, kinds=frozenset({kind})), random.Random(2))
        after = await writer.scan()
        assert isinstance(result, Ok)
        assert result.value.entries_changed == 40
        if kind is ModifyKind.RENAME:
            assert sorted(entry.digest for entry in before) == sorted(entry.digest for entry in after)
            assert before.by_path.keys() != after.by_path.keys()
            continue
        assert before.by_path.keys() == after.by_path.keys()
        for path, content in contents.items():
            size_bytes, was_bytes = after.by_path[path].size, len(content)
            assert after.by_path[path].digest != before.by_path[path].digest
            if kind is ModifyKind.REPLACE:
                assert {segment.stream for segment in after.by_path[path].segments}.isdisjoint(
                    segment.stream for segment in before.by_path[path].segments
                )
            if kind is ModifyKind.IN_PLACE:
                assert size_bytes == was_bytes
            elif kind is ModifyKind.TRUNCATE:
                assert size_bytes < was_bytes
            elif kind is ModifyKind.APPEND:
                assert size_bytes > was_bytes
                kept_bytes = was_bytes if was_bytes % 4096 >= HEADER_BYTES else was_bytes // 4096 * 4096
                assert (tmp_path / kind / os.fsdecode(path)).read_bytes()[:kept_bytes] == content[:kept_bytes]


def test_an_edit_keeps_the_mode(tmp_path: Path) -> None:
    """A file that its owner may not write is edited all the same, and has its mode and its drawn time afterwards."""
    file = tmp_path / "f"
    file.write_bytes(b"x" * 100)
    file.chmod(0o400)
    change = file_changes.ContentChange(5000, whole_file(2, 1, 5000), 0, 2)
    with opened_below(None, os.fsencode(tmp_path)) as fd:
        file_changes.change_content(fd, b"f", change, 0o4755, 10**18 + 1)
    status = file.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_size, status.st_mtime_ns) == (0o4755, 5000, 10**18 + 1)


@pytest.mark.anyio
async def test_versions_tell_old_content_from_new(tmp_path: Path) -> None:
    """Each overwriting gives blocks a higher version of the same stream."""
    writer = new_writer(tmp_path / "d")
    await writer.apply(WriteRandomFiles(count=1, size_bytes=40_000, odd_percent=0), random.Random(1))
    for step in range(5):
        await writer.apply(ModifyFiles(count=1, kinds=frozenset({ModifyKind.IN_PLACE})), random.Random(step))
    (entry,) = [entry for entry in await writer.scan() if entry.type is EntryType.FILE]
    assert len({segment.stream for segment in entry.segments}) == 1
    assert max(segment.version for segment in entry.segments) == 6


@pytest.mark.anyio
async def test_metadata_changes_leave_content_alone(tmp_path: Path) -> None:
    """Changing metadata changes as many entries as reported, and no byte of content."""
    writer = new_writer(tmp_path / "d")
    await do_all(
        writer, 1, [WriteRandomFiles(count=20, size_bytes=Span(low=0, high=9000), depth=depth) for depth in range(3)]
    )
    before = await writer.scan()
    result = await writer.apply(ChangeMetadata(count=30, kinds=frozenset({MetadataKind.MTIME})), random.Random(2))
    after = await writer.scan()
    assert result == Ok(WriteReport(entries_changed=30))
    changed = [entry for entry in after if entry != before.by_path[entry.path]]
    assert 0 < len(changed) <= 33  # Hard links change with their file.
    for kind in MetadataKind:
        await writer.apply(ChangeMetadata(count=1000, kinds=frozenset({kind})), random.Random(3))
    final = await writer.scan()
    assert [entry.digest for entry in final] == [entry.digest for entry in before]
    assert_picture_is_right(writer, final)


@pytest.mark.anyio
async def test_deletions_delete_as_much_as_they_say(tmp_path: Path) -> None:
    """A percentage of one directory goes, with everything below; all of it at 100 percent."""
    writer = new_writer(tmp_path / "d")
    await writer.apply(WriteRandomFiles(count=40, size_bytes=10, depth=0, odd_percent=0), random.Random(1))
    assert await writer.apply(DeleteFiles(percent=25), random.Random(2)) == Ok(WriteReport(entries_deleted=10))
    assert len(await writer.scan()) == 31
    await writer.apply(DeleteFiles(percent=100), random.Random(3))
    assert len(await writer.scan()) == 1
    assert isinstance(await writer.apply(DeleteFiles(), random.Random(4)), NoOp)


@pytest.mark.anyio
async def test_deletion_never_follows_links(tmp_path: Path) -> None:
    """A link to outside that a restore brought in is deleted as a link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "way-out").symlink_to(outside)
    writer = new_writer(tmp_path / "d")
    await writer.apply(DeleteRandomSubdirectory(), random.Random(1))
    assert os.listdir(tmp_path / "d") == []
    assert (outside / "kept").exists()


@pytest.mark.anyio
async def test_an_adopted_tree_is_the_writers_own(tmp_path: Path) -> None:
    """After adoption the data directory is the other tree, known by its headers, and can be worked on."""
    writer, other = new_writer(tmp_path / "d"), new_writer(tmp_path / "other")
    await do_all(writer, 1, [WriteRandomFiles(count=10)])
    await do_all(
        other, 2, [WriteRandomFiles(count=40, depth=2, size_bytes=Span(low=4000, high=9000), odd_percent=50)] * 2
    )
    expected = await other.scan()
    adopted = await writer.adopt(tmp_path / "other")
    assert_headers_tell_the_same(expected, adopted)
    assert sorted(os.listdir(tmp_path)) == ["d"]
    assert_picture_is_right(writer, adopted)
    await do_all(writer, 3, [kind() for kind in ALL_KINDS] * 3)
    assert_picture_is_right(writer, await writer.scan())


@pytest.mark.anyio
async def test_an_adoption_that_was_cut_off_loses_nothing(tmp_path: Path) -> None:
    """If snapstorm is killed between the two renames, the next start finds the old tree; and left-overs go."""
    writer = TreeFileWriter(data_directory=tmp_path / "d", capabilities=KOPIA_LIKE)
    await writer.apply(WriteRandomFiles(count=10), random.Random(1))
    expected = await writer.scan()
    (tmp_path / "d").rename(tmp_path / "d.discarded")
    again = TreeFileWriter(data_directory=tmp_path / "d", capabilities=KOPIA_LIKE)
    assert [entry.digest for entry in await again.scan()] == [entry.digest for entry in expected]
    (tmp_path / "d.discarded").mkdir()
    new_writer(tmp_path / "d")
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.anyio
async def test_a_failed_adoption_changes_nothing(tmp_path: Path) -> None:
    """Adopting a tree that is not there is our failure, and leaves the data directory as it was."""
    writer = new_writer(tmp_path / "d")
    await writer.apply(WriteRandomFiles(count=3), random.Random(1))
    expected = await writer.scan()
    with pytest.raises(HarnessError):
        await writer.adopt(tmp_path / "missing")
    assert await writer.scan() == expected


@pytest.mark.anyio
async def test_half_of_the_files_make_room(tmp_path: Path) -> None:
    """Freeing space deletes half of the files, and does nothing in an empty tree."""
    writer = new_writer(tmp_path / "d")
    assert await writer.free_space(random.Random(1)) == WriteReport()
    await writer.apply(WriteRandomFiles(count=41, odd_percent=0, depth=0), random.Random(1))
    assert await writer.free_space(random.Random(1)) == WriteReport(entries_deleted=21)


@pytest.mark.anyio
async def test_picking_a_directory(tmp_path: Path) -> None:
    """A picked directory exists below the root; an empty tree has none."""
    assert await new_writer(tmp_path / "none").pick_directory(random.Random(1)) is None
    (tmp_path / "d" / "a" / "b").mkdir(parents=True)
    assert await new_writer(tmp_path / "d").pick_directory(random.Random(1)) in (b"a", b"a/b")


@given(st.lists(st.tuples(st.sampled_from([b"a", b"a/b", b"a-b", b"b", b"a0"]), st.booleans())))
def test_sorted_paths_are_a_sorted_set(changes: list[tuple[bytes, bool]]) -> None:
    """However paths come and go, they are in order, once each, and those below a directory are found."""
    paths, expected = TreeState().file_paths, set[bytes]()
    for path, is_added in changes:
        (paths.add if is_added else paths.discard)(path)
        (expected.add if is_added else expected.discard)(path)
    assert list(paths) == sorted(expected)
    assert paths.below(b"a") == sorted(expected & {b"a/b"})
    # Many changes at once take another way to the same end.
    crowd = [b"%03d" % number for number in range(100)]
    for path in crowd:
        paths.add(path)
    paths.discard(b"a")
    assert list(paths) == sorted({*expected, *crowd} - {b"a"})


@pytest.mark.anyio
async def test_a_tree_is_gone_on_from_unread_and_read_for_what_a_snapshot_must_be(tmp_path: Path) -> None:
    """Files that look as remembered are taken as they were, of others nothing is known until a scan has read them; the
    scan itself believes nothing."""
    writer = new_writer(tmp_path / "d")
    await do_all(writer, 1, [WriteRandomFiles(count=20, size_bytes=9000, depth=1, odd_percent=0)])
    remembered = await writer.scan()
    files = [entry for entry in remembered if entry.type is EntryType.FILE]
    secretly, openly, untouched = files[:3]
    for entry in (secretly, openly):
        path = tmp_path / "d" / os.fsdecode(entry.path)
        path.write_bytes(b"x" * entry.size)
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns + (entry is openly)))
    again = TreeFileWriter(data_directory=tmp_path / "d", capabilities=KOPIA_LIKE, remembered=remembered)
    assert again._view.tree.segments_of(secretly.path) == secretly.segments
    assert again._view.tree.segments_of(openly.path) == ()
    scanned = (await again.scan()).by_path
    assert scanned[secretly.path].digest != secretly.digest
    assert scanned[openly.path].digest != openly.digest
    assert scanned[untouched.path] == untouched


@pytest.mark.anyio
async def test_what_is_not_remembered_is_learned_by_the_next_scan(tmp_path: Path) -> None:
    """A writer that is made for a tree of which nothing is known knows all of it once it was scanned."""
    writer = new_writer(tmp_path / "d")
    await do_all(writer, 1, [WriteRandomFiles(count=20, size_bytes=9000), ModifyFiles(count=5)])
    expected = await writer.scan()
    again = new_writer(tmp_path / "d")
    assert not any(again._view.tree.segments_of(path) for path in again._view.tree.file_paths)
    assert await again.scan() == expected
    assert_picture_is_right(again, expected)
    await do_all(again, 2, [kind() for kind in ALL_KINDS] * 3)
    assert_picture_is_right(again, await again.scan())
