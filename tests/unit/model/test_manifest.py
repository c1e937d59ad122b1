"""Manifests: every difference that matters is reported, none that the target is known not to keep."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.capabilities import Capabilities, DirectoryTimes
from snapstorm.model.manifest import Entry, EntryType, Manifest, decode_manifest, show_path
from snapstorm.model.observations import decode_receipt, encode_receipt
from snapstorm.model.tree_differences import DifferenceKind, differences, with_newest_times

EVERYTHING = Capabilities()


def directory(path: bytes, mtime_ns: int = 1, mode: int = 0o755) -> Entry:
    return Entry(path, EntryType.DIRECTORY, mode, 0, 0, mtime_ns)


def file(path: bytes, content: bytes = b"x", mtime_ns: int = 1) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, 0, 0, mtime_ns, len(content), content.rjust(32, b"\0"))


def link(path: bytes, target: bytes) -> Entry:
    return Entry(path, EntryType.SYMLINK, 0o777, 0, 0, 1, target=target)


TREE = Manifest.of([directory(b""), directory(b"d"), file(b"d/f"), link(b"l", b"d/f")])


def changed(path: bytes, **fields: object) -> Manifest:
    return Manifest.of(
        msgspec.structs.replace(entry, **fields) if entry.path == path else entry for entry in TREE.entries
    )


def test_equal_trees_have_no_differences() -> None:
    """A tree equals itself."""
    assert differences(TREE, TREE, EVERYTHING) == []


@pytest.mark.parametrize(
    ("actual", "kind"),
    [
        (changed(b"d/f", size=2), DifferenceKind.SIZE),
        (changed(b"d/f", digest=b"other"), DifferenceKind.CONTENT),
        (changed(b"d/f", mode=0o600), DifferenceKind.MODE),
        (changed(b"d/f", uid=5), DifferenceKind.OWNER),
        (changed(b"d/f", gid=5), DifferenceKind.OWNER),
        (changed(b"d/f", mtime_ns=2), DifferenceKind.MTIME),
        (changed(b"d/f", type=EntryType.DIRECTORY), DifferenceKind.TYPE),
        (changed(b"d/f", xattrs=((b"user.a", b"1"),)), DifferenceKind.XATTRS),
        (changed(b"l", target=b"elsewhere"), DifferenceKind.TARGET),
        (changed(b"", mtime_ns=9), DifferenceKind.MTIME),
        (changed(b"d", mode=0o700), DifferenceKind.MODE),
        (Manifest.of(entry for entry in TREE.entries if entry.path != b"d/f"), DifferenceKind.MISSING),
        (Manifest.of([*TREE.entries, file(b"new")]), DifferenceKind.EXTRA),
        (Manifest.of([]), DifferenceKind.MISSING),
    ],
)
def test_each_kind_of_change_is_one_difference(actual: Manifest, kind: DifferenceKind) -> None:
    """A tree changed in one way differs in that way."""
    assert kind in {difference.kind for difference in differences(TREE, actual, EVERYTHING)}


@pytest.mark.parametrize(
    ("without", "actual"),
    [
        ({"mode": False}, changed(b"d/f", mode=0o600)),
        ({"owner": False}, changed(b"d/f", uid=5)),
        ({"file_mtime": False}, changed(b"d/f", mtime_ns=2)),
        ({"symlink_mtime": False}, changed(b"l", mtime_ns=2)),
        ({"xattrs": False}, changed(b"d/f", xattrs=((b"user.a", b"1"),))),
        ({"directory_mtime": DirectoryTimes.NOT_KEPT}, changed(b"d", mtime_ns=7)),
    ],
)
def test_what_a_target_does_not_keep_is_not_held_against_it(without: dict[str, object], actual: Manifest) -> None:
    """A property that the table says is lost makes no difference."""
    assert differences(TREE, actual, EVERYTHING.model_copy(update=without)) == []


def test_computed_directory_times_are_the_newest_below() -> None:
    """A non-empty directory takes the newest time below it, at any depth; the root and empty ones keep theirs."""
    tree = Manifest.of(
        [directory(b"", 1), directory(b"a", 1), directory(b"a/b", 1), file(b"a/b/f", mtime_ns=50), directory(b"e", 7)]
    )
    times = {entry.path: entry.mtime_ns for entry in with_newest_times(tree).entries}
    assert times == {b"": 1, b"a": 50, b"a/b": 50, b"a/b/f": 50, b"e": 7}


def test_names_that_sort_between_a_directory_and_its_entries_do_not_confuse_it() -> None:
    """`a-b` sorts between `a` and `a/c`; the times below `a` are still found."""
    tree = Manifest.of([directory(b""), directory(b"a"), file(b"a-b", mtime_ns=90), file(b"a/c", mtime_ns=30)])
    times = {entry.path: entry.mtime_ns for entry in with_newest_times(tree).entries}
    assert times[b"a"] == 30


def test_a_part_of_a_tree_is_a_tree() -> None:
    """The part below a directory has that directory as its root; the part at a file is that file alone."""
    assert [entry.path for entry in TREE.below(b"d").entries] == [b"", b"f"]
    assert [entry.path for entry in TREE.below(b"d/f").entries] == [b""]
    assert len(TREE.below(b"nowhere")) == 0


@given(st.lists(st.binary(min_size=1, max_size=8).filter(lambda name: b"/" not in name), unique=True, max_size=8))
def test_a_manifest_comes_back_from_bytes(names: list[bytes]) -> None:
    """Encoding keeps everything, whatever bytes names are made of, and equal trees have equal digests in any order."""
    entries = [directory(b""), *(file(name, name) for name in names)]
    manifest = Manifest.of(entries)
    assert decode_manifest(manifest.encoded) == manifest
    assert Manifest.of(reversed(entries)).digest == manifest.digest


@given(st.binary(max_size=40))
def test_a_shown_path_is_one_printable_line(path: bytes) -> None:
    """No name can break a line or a terminal."""
    assert show_path(path).isprintable()


def test_a_narrower_table_promises_only_what_both_promise() -> None:
    """Narrowing keeps a property only if both tables have it, and is symmetric."""
    first = EVERYTHING.model_copy(update={"owner": False, "name_bytes_max": 100})
    second = EVERYTHING.model_copy(update={"xattrs": False, "directory_mtime": DirectoryTimes.NEWEST_BELOW})
    both = first.narrowed_to(second)
    assert (both.owner, both.xattrs, both.mode) == (False, False, True)
    assert both.directory_mtime is DirectoryTimes.NOT_KEPT
    assert both == second.narrowed_to(first)


def test_an_empty_directory_is_seen() -> None:
    """Only one below the root counts, and only if it holds nothing."""
    assert not TREE.has_empty_directory
    assert not Manifest.of([directory(b"")]).has_empty_directory
    assert Manifest.of([directory(b""), directory(b"d"), directory(b"d/e")]).has_empty_directory


def test_a_file_with_several_names_counts_once_where_a_target_counts_so() -> None:
    """With its bytes, however many names it has; its names outside of the tree are not known."""
    one, other, alone = (msgspec.structs.replace(file(name, b"xyz"), target=b"7") for name in (b"a", b"b", b"c"))
    tree = Manifest.of([directory(b""), one, other, msgspec.structs.replace(alone, target=b"8"), file(b"d", b"z")])
    once, each = SnapshotReceipt("s", counts_files_once=True), SnapshotReceipt("s")
    assert each.counts_of(tree) == tree.counts == (4, 1, 10, 0)
    assert once.counts_of(tree) == (3, 1, 7, 0)
    assert decode_receipt(encode_receipt(once, once.counts_of(tree))) == (once, (3, 1, 7, 0))
