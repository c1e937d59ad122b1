"""Hard links, special files and attributes of the system: compared where promised, and in trees that record them."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.model.test_manifest import directory, file, link

from snapstorm.model.capabilities import Capabilities
from snapstorm.model.judging import digest_of, judge_restored, promise_of
from snapstorm.model.manifest import Entry, EntryType, Manifest, Segment, decode_manifest
from snapstorm.model.tree_differences import as_restored, differences, without_details

EVERYTHING = Capabilities(sockets=True, xattr_prefixes=("user.", "security.", "trusted.", "system.posix_acl_"))
ROOT = directory(b"")


def name_of(path: bytes, shared: bytes) -> Entry:
    """One name of a file; all of its names share something."""
    return msgspec.structs.replace(file(path), target=shared)


def special(path: bytes, kind: EntryType, number: bytes = b"") -> Entry:
    return Entry(path, kind, 0o600, 0, 0, 1, target=number)


def with_xattr(path: bytes, *names: bytes) -> Entry:
    return msgspec.structs.replace(file(path), xattrs=tuple((name, b"1") for name in sorted(names)))


def words(expected: list[Entry], actual: list[Entry], capabilities: Capabilities = EVERYTHING) -> list[str]:
    """What differs between two trees below equal roots."""
    return [str(one) for one in differences(Manifest.of([ROOT, *expected]), Manifest.of([ROOT, *actual]), capabilities)]


def test_groups_are_named_by_their_first_names() -> None:
    """Whatever the names share, and however they are ordered; a name that is alone is not of a group."""
    tree = Manifest.of([name_of(b"c", b"7"), name_of(b"a", b"7"), name_of(b"b", b"8"), file(b"d"), link(b"l", b"7")])
    assert [entry.target for entry in tree] == [b"a", b"", b"a", b"", b"7"]
    assert tree.has_hard_links
    assert not Manifest.of([name_of(b"b", b"8"), file(b"d"), link(b"l", b"7")]).has_hard_links


def test_a_group_is_cut_where_the_tree_is() -> None:
    """Of a part, only the names in it count; a file whose other names are elsewhere is a file of its own."""
    names = [b"a", b"d/b", b"d/c", b"e/alone"]
    tree = Manifest.of([ROOT, directory(b"d"), directory(b"e"), *(name_of(name, b"x") for name in names)])
    assert {entry.path: entry.target for entry in tree.below(b"d")} == {b"": b"", b"b": b"b", b"c": b"b"}
    assert [entry.target for entry in tree.below(b"e")] == [b"", b""]
    assert [entry.target for entry in tree.below(b"a")] == [b""]


def test_hard_links_that_come_back_as_copies_are_reported() -> None:
    """Each name that is no longer one with the first; not where the target does not keep hard links."""
    expected = [name_of(b"a", b"x"), name_of(b"b", b"x"), name_of(b"c", b"x")]
    copies = [file(b"a"), file(b"b"), file(b"c")]
    assert words(expected, copies) == [
        "b: is a file of its own, must be one file with a",
        "c: is a file of its own, must be one file with a",
    ]
    halves = [name_of(b"a", b"1"), name_of(b"b", b"2"), name_of(b"c", b"2")]
    assert words(expected, halves) == [
        "b: is a file of its own, must be one file with a",
        "c: is one file with b, must be one file with a",
    ]
    assert words(expected, copies, EVERYTHING.model_copy(update={"hard_links": False})) == []


def test_files_that_come_back_as_one_are_reported() -> None:
    """Also where both were names of other files."""
    assert words([file(b"a"), file(b"b")], [name_of(b"a", b"1"), name_of(b"b", b"1")]) == [
        "b: is one file with a, must be a file of its own"
    ]
    two_pairs = [name_of(b"a", b"1"), name_of(b"b", b"1"), name_of(b"c", b"2"), name_of(b"d", b"2")]
    crossed = [name_of(b"a", b"1"), name_of(b"b", b"2"), name_of(b"c", b"1"), name_of(b"d", b"2")]
    assert words(two_pairs, crossed) == [
        "b: is a file of its own, must be one file with a",
        "c: is one file with a, must be a file of its own",
        "d: is one file with b, must be one file with c",
    ]


def test_links_of_missing_names_are_not_wrong_as_well() -> None:
    """Where the first name is missing, or no file any more, the others are still one file."""
    expected = [name_of(b"a", b"x"), name_of(b"b", b"x"), name_of(b"c", b"x")]
    assert words(expected, expected[1:]) == ["a: missing (file of 1 bytes)"]
    assert words(expected, [link(b"a", b"x"), *expected[1:]]) == ["a: type is symlink, must be file"]
    assert words(expected, [*expected, name_of(b"d", b"x")]) == ["d: was never there (file of 1 bytes)"]


def test_special_files_are_compared_by_type_and_number() -> None:
    """A FIFO that comes back as a file, and a device with another number, are reported in words."""
    expected = [
        special(b"b", EntryType.BLOCK_DEVICE, b"8:1"),
        special(b"c", EntryType.CHARACTER_DEVICE, b"1:3"),
        special(b"p", EntryType.FIFO),
    ]
    assert words(expected, expected) == []
    changed = [special(b"b", EntryType.BLOCK_DEVICE, b"8:2"), special(b"c", EntryType.BLOCK_DEVICE, b"1:3")]
    assert words(expected, [*changed, file(b"p")]) == [
        "b: device number is 8:2, must be 8:1",
        "c: type is block device, must be character device",
        "p: type is file, must be FIFO",
    ]
    assert words(expected, [expected[2]]) == ["b: missing (block device 8:1)", "c: missing (character device 1:3)"]
    assert words(expected, [], EVERYTHING.model_copy(update={"special_files": False})) == []


def test_sockets_have_a_promise_of_their_own() -> None:
    """By default they may be missing, other special files may not."""
    tree = [special(b"p", EntryType.FIFO), special(b"s", EntryType.SOCKET)]
    assert words(tree, [tree[0]], Capabilities()) == []
    assert words(tree, [tree[0]]) == ["s: missing (socket)"]
    assert words(tree, []) == ["p: missing (FIFO)", "s: missing (socket)"]


def test_attributes_are_compared_where_their_namespace_is_kept() -> None:
    """A lost one is named with its value; one of a namespace that is not kept may be lost or come from nowhere."""
    expected, lost = [with_xattr(b"f", b"user.a", b"security.s")], [with_xattr(b"f", b"user.a")]
    assert words(expected, lost) == ["f: extended attributes is none, must be security.s=31"]
    of_user = Capabilities()
    assert words(expected, lost, of_user) == words(lost, expected, of_user) == []
    assert len(words(expected, [with_xattr(b"f", b"security.s")], of_user)) == 1
    assert words(expected, [file(b"f")], EVERYTHING.model_copy(update={"xattrs": False})) == []


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (("user.",), ("user.", "trusted."), ("user.",)),
        (("security.",), ("security.capability", "user."), ("security.capability",)),
        (("user.",), ("trusted.",), ()),
    ],
)
def test_only_namespaces_that_both_tables_keep_are_compared(
    first: tuple[str, ...], second: tuple[str, ...], both: tuple[str, ...]
) -> None:
    """Also where one table promises only some attributes of a namespace."""
    tables = Capabilities(xattr_prefixes=first), Capabilities(xattr_prefixes=second)
    assert tables[0].narrowed_to(tables[1]).xattr_prefixes == both
    assert tables[1].narrowed_to(tables[0]).xattr_prefixes == both
    assert tables[1].narrowed_to(tables[1]) == tables[1]


# What older versions have recorded: they knew nothing of hard links, of kinds of special files, or of other attributes.

OLD_ENCODING = bytes.fromhex(
    "81a7656e7472696573959bc400a96469726563746f7279cd01ed00000100c400c4009192c406757365722e61c40131909bc40161a466696c65"
    "cd01a401020304c4206464646464646464646464646464646464646464646464646464646464646464c400909194020100019bc40162a46669"
    "6c65cd01a401020304c4206464646464646464646464646464646464646464646464646464646464646464c40090909bc4016ca773796d6c69"
    "6e6bcd01ff00000500c400c4016190909bc40170a77370656369616ccd018000000600c400c4009090"
)
"""Of a manifest that version 0.1.0 has written, with two files, a link and a FIFO."""
OLD_NAME = "87055533cef51ab6b41d5dd042e4b41e9f51f50f1e5375256163f94dcd8d6b4c"
OLD_TABLE = (
    '{"mode":true,"owner":true,"file_mtime":true,"directory_mtime":"exact","symlink_mtime":true,"symlinks":true,'
    '"empty_directories":true,"hard_links":true,"xattrs":true,"non_utf8_names":true,"special_files":true,"sparse":true,'
    '"name_bytes_max":255,"forbidden_name_suffixes":[]}'
)
OLD_DIGESTS = {
    True: "cde5b72bf1b4ee6a0bfae5a9fb27e4c12de7fad8dde1ff6fdcbeb587609517e4",
    False: "e5f2b99161bb33fc77b56058bd1349e23fe6eee818f5942bcb276f71febdf4ee",
}
"""What that version recorded of exact restores of it, where everything is kept, and where much is lost."""

SAME_TREE_NOW = Manifest.of(
    [
        msgspec.structs.replace(directory(b""), xattrs=((b"security.s", b"2"), (b"user.a", b"1"))),
        Entry(b"a", EntryType.FILE, 0o644, 1, 2, 3, 4, b"d" * 32, target=b"shared", segments=(Segment(2, 1, 0, 1),)),
        Entry(b"b", EntryType.FILE, 0o644, 1, 2, 3, 4, b"d" * 32, target=b"shared"),
        msgspec.structs.replace(link(b"l", b"a"), mtime_ns=5, xattrs=((b"trusted.t", b"3"),)),
        Entry(b"p", EntryType.FIFO, 0o600, 0, 0, 6),
    ]
)


def old_table(*, keeps_all: bool) -> Capabilities:
    table = Capabilities.model_validate_json(OLD_TABLE)
    return table if keeps_all else table.model_copy(update={"special_files": False, "xattrs": False, "mode": False})


def test_manifests_of_older_versions_keep_their_names() -> None:
    """They are read, say that they don't know everything, and are the same bytes again."""
    old = decode_manifest(OLD_ENCODING)
    assert not old.is_detailed
    assert (old.encoded, old.digest) == (OLD_ENCODING, OLD_NAME)
    assert old == without_details(SAME_TREE_NOW)
    assert SAME_TREE_NOW.digest != OLD_NAME


@pytest.mark.parametrize("keeps_all", [True, False])
@pytest.mark.parametrize("table", [old_table(keeps_all=True), EVERYTHING])
def test_what_older_versions_did_not_record_is_no_difference(keeps_all: bool, table: Capabilities) -> None:
    """A snapshot of an older version that is restored now, or compared with the tree as it is now."""
    old = decode_manifest(OLD_ENCODING)
    table = table.model_copy(
        update=old_table(keeps_all=keeps_all).model_dump(include={"special_files", "xattrs", "mode"})
    )
    promise = promise_of(old, table)
    restored = as_restored(SAME_TREE_NOW, table)
    assert judge_restored(promise, restored, is_partial=False) == []
    assert digest_of(restored, promise).hex() == digest_of(promise.wanted, promise).hex() == OLD_DIGESTS[keeps_all]
    assert differences(SAME_TREE_NOW, as_restored(old, table), table) == []


def test_what_older_versions_recorded_is_compared() -> None:
    """A missing special file, another content and a lost attribute of the user's namespace are found as before."""
    promise = promise_of(decode_manifest(OLD_ENCODING), old_table(keeps_all=True))
    spoilt = [
        directory(b""),
        msgspec.structs.replace(SAME_TREE_NOW.by_path[b"a"], digest=b"e" * 32),
        *SAME_TREE_NOW.entries[2:4],
    ]
    found = judge_restored(promise, Manifest.of(spoilt), is_partial=False)
    assert [(one.path, one.kind.value) for one in found] == [
        (b"", "extended attributes"),
        (b"a", "content"),
        (b"p", "missing"),
    ]


def test_tables_of_older_versions_promise_what_they_promised() -> None:
    """They say nothing of sockets and namespaces: attributes of the user's namespace were compared then."""
    table = Capabilities.model_validate_json(OLD_TABLE)
    assert (table.sockets, table.xattr_prefixes) == (False, ("user.",))
    assert table.narrowed_to(EVERYTHING) == table
