"""One of each: whatever a target keeps is in the tree, small, and known to the writer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from snapstorm.filesystem.allowances import XATTR_NAMES, Platform, allowances, probe_platform
from snapstorm.filesystem.names import ODD_SHAPES
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import WriteRandomFiles
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.manifest import Entry, EntryType, Manifest
from snapstorm.model.outcomes import Ok

pytestmark = pytest.mark.anyio

ALL = Capabilities()
KOPIA_LIKE = Capabilities(
    hard_links=False, xattrs=False, non_utf8_names=False, special_files=False, forbidden_name_suffixes=(".tmp",)
)
BARE = Capabilities(
    mode=False,
    symlinks=False,
    empty_directories=False,
    hard_links=False,
    xattrs=False,
    special_files=False,
    non_utf8_names=False,
    sparse=False,
    file_mtime=False,
    name_bytes_max=100,
)
BYTES_MAX = 200_000
WRITE = WriteRandomFiles(count=1, size_bytes=10, odd_percent=1, duplicate_percent=0, one_of_each=True)


async def written(directory: Path, capabilities: Capabilities, *, seed: int = 1) -> Manifest:
    writer = TreeFileWriter(data_directory=directory, capabilities=capabilities)
    assert isinstance(await writer.apply(WRITE, random.Random(seed)), Ok)
    if not capabilities.hard_links:  # A second name of a file counts twice in a manifest.
        assert writer.bytes_total == scan_tree(directory).counts.size_bytes
    return await writer.scan()


def names_of(tree: Manifest) -> list[bytes]:
    return [entry.path.rpartition(b"/")[2] for entry in tree.entries if entry.path]


def files_of(tree: Manifest) -> list[Entry]:
    return [entry for entry in tree.entries if entry.type is EntryType.FILE]


@pytest.mark.parametrize("capabilities", [ALL, KOPIA_LIKE, BARE], ids=["all", "kopia-like", "bare"])
async def test_there_is_one_name_of_each_shape_that_the_target_takes(capabilities: Capabilities, scratch: Path) -> None:
    """And none that it does not take."""
    names = names_of(await written(scratch / "data", capabilities))
    rules = allowances(capabilities, probe_platform(scratch)).names
    assert all(rules.allow(name) for name in names)
    for shape in ODD_SHAPES:
        before, after = (part.encode() for part in shape.split("{}"))
        found = [name for name in names if name.startswith(before) and name.endswith(after)]
        assert found or not rules.allow(before + b"x" * 8 + after), shape
    assert sum(len(name) == rules.bytes_max for name in names) >= 5
    is_decodable = [name.decode("utf-8", "replace").encode() == name for name in names]
    assert all(is_decodable) is not capabilities.non_utf8_names


async def test_there_is_one_entry_of_each_kind(scratch: Path) -> None:
    """Whatever the platform allows here; directories of every mode hold something."""
    allowed = allowances(ALL, probe_platform(scratch))
    tree = await written(scratch / "data", ALL)
    files = files_of(tree)
    assert {entry.size for entry in files} >= {0, 1, 4095, 4096, 4097, 8192}
    assert {entry.mode for entry in files} >= {*allowed.file_modes, *allowed.odd_file_modes}
    directories = [entry for entry in tree.entries if entry.type is EntryType.DIRECTORY and entry.path]
    parents = {entry.path.rpartition(b"/")[0] for entry in tree.entries}
    full = {entry.mode for entry in directories if entry.path in parents}
    assert full >= set(allowed.odd_directory_modes)
    assert any(entry.path not in parents for entry in directories), "an empty directory"
    assert any(entry.path.count(b"/") > 1 for entry in directories), "one in another one"
    targets = [entry.target for entry in tree.entries if entry.type is EntryType.SYMLINK]
    paths = {entry.path for entry in tree.entries}
    place = next(entry.path for entry in tree.entries if entry.type is EntryType.SYMLINK).rpartition(b"/")[0]
    leads_to = {(place + b"/" + target).lstrip(b"/") in paths for target in targets}
    assert leads_to == {True, False}, "links that lead somewhere and links that don't"
    assert tree.counts.size_bytes < BYTES_MAX


async def test_what_the_target_does_not_keep_is_not_made(scratch: Path) -> None:
    """Neither links nor empty directories, nor odd modes."""
    tree = await written(scratch / "data", BARE)
    assert {entry.type for entry in tree.entries} == {EntryType.FILE, EntryType.DIRECTORY}
    assert not tree.has_empty_directory
    assert {entry.mode for entry in files_of(tree)} == {0o644}


def test_without_the_rights_of_root_no_mode_shuts_its_owner_out() -> None:
    """Kopia could not read such a file, and nobody could remove what is in such a directory."""
    allowed = allowances(ALL, Platform(is_root=False, can_chown=False, xattr_names=XATTR_NAMES))
    assert all(mode & 0o400 for mode in allowed.odd_file_modes)
    assert all(mode & 0o700 == 0o700 for mode in allowed.odd_directory_modes)


async def test_specimens_follow_from_the_draws(scratch: Path) -> None:
    """Two writers that are given the same make the same tree."""
    one, other, different = [
        await written(scratch / name, KOPIA_LIKE, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert one.digest == other.digest != different.digest


async def test_a_tree_that_is_full_gets_only_what_fits(scratch: Path) -> None:
    """The limit of the whole tree holds for specimens, too."""
    writer = TreeFileWriter(data_directory=scratch / "data", capabilities=KOPIA_LIKE, total_bytes_max=5000)
    await writer.apply(WRITE, random.Random(1))
    assert 0 < writer.bytes_total <= 5000


async def test_specimens_are_written_again_beside_the_first(scratch: Path) -> None:
    """A testbed that is gone on with gets new ones, under names of their own."""
    writer = TreeFileWriter(data_directory=scratch / "data", capabilities=ALL)
    for seed in range(3):
        assert isinstance(await writer.apply(WRITE, random.Random(seed)), Ok)
    assert len(files_of(await writer.scan())) > 3 * len(ODD_SHAPES)
