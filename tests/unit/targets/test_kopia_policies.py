"""Policies and what they leave out, from values alone; the contract test holds the same against the real Kopia."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from snapstorm.model.manifest import Entry, EntryType, Manifest
from snapstorm.targets.kopia.ignore_rules import read_rule
from snapstorm.targets.kopia.policies import SETTINGS, Policies, Role, read_policies
from snapstorm.targets.kopia.selection import FilesPolicy, Selection, is_ignored

SOURCE = "/beds/alice@laptop/data"
GLOBAL = {"host": "", "userName": "", "path": ""}
ALICE = {"host": "laptop", "userName": "alice", "path": ""}


@dataclass
class Disk:
    """A tree's files, and who is on another file system."""

    files: dict[bytes, bytes] = field(default_factory=dict)
    elsewhere: frozenset[bytes] = frozenset()

    def read(self, path: bytes) -> bytes:
        return self.files[path]

    def device(self, path: bytes) -> int:
        return int(path in self.elsewhere)


def tree(*paths: str, size: int = 5) -> Manifest:
    """Directories end with a slash."""
    entries = [Entry(b"", EntryType.DIRECTORY, 0o755, 0, 0, 0)]
    for path in paths:
        kind = EntryType.DIRECTORY if path.endswith("/") else EntryType.FILE
        entries.append(Entry(path.rstrip("/").encode(), kind, 0o644, 0, 0, 0, 0 if path.endswith("/") else size))
    return Manifest.of(entries)


def kept(selection: Selection, whole: Manifest, disk: Disk | None = None) -> list[str]:
    return [entry.path.decode() for entry in selection.keep(whole, disk or Disk()) if entry.path]


def policies(*documents: dict[str, Any]) -> Policies:
    return read_policies(json.dumps(documents).encode(), "alice@laptop")


def at(path: str) -> dict[str, str]:
    return {**ALICE, "path": path}


@pytest.mark.parametrize(
    ("rule", "path", "is_left_out"),
    [
        ("*.tmp", "/d/a.tmp", True),
        ("/*.tmp", "/d/a.tmp", False),
        ("d/", "/d", False),
        ("a/**/b", "/a/b", True),
        ("a/**", "/a", False),
        ("x*b", "/xa/b", True),
        ("[!x]", "/d/a", True),
        ("**/*/a", "/a", False),
        ("\\#a", "/#a", True),
        (" a ", "/a", True),
        ("[[:digit:]]x", "/1x", True),
        ("abcdefghij[[:digit:]]", "/abcdefghij1", False),
        ("abcdefghij[[:digit:]]", "/abcdefghij:]", True),
    ],
)
def test_rules_match_as_kopia_reads_them(rule: str, path: str, is_left_out: bool) -> None:
    """Among them are those that Git would read otherwise."""
    entry = Entry(path[1:].encode(), EntryType.FILE, 0o644, 0, 0, 0)
    assert is_ignored([read_rule(rule, "")], entry) is is_left_out


@pytest.mark.parametrize("rule", ["a\\", "[a", "[[:nothing:]]"])
def test_a_rule_that_kopia_refuses_is_refused(rule: str) -> None:
    """By name."""
    with pytest.raises(ValueError, match="the rule"):
        read_rule(rule, "/a/very/long/directory")


def test_without_anything_to_leave_out_the_tree_is_the_same() -> None:
    """Not a copy: nothing is computed for nearly all snapshots."""
    whole = tree("a", "d/", "d/b")
    assert Selection().keep(whole, Disk()) is whole


def test_names_that_are_left_out_are_no_names_of_a_file() -> None:
    """Of the names of one file, those that are kept are still one file; a last one is a file of its own."""
    names = [msgspec.structs.replace(entry, target=b"shared") for entry in tree("a", "b", "c").entries[1:]]
    whole = Manifest.of([*tree().entries, *names])
    for ignored, targets in (("a", [b"b", b"b"]), ("[ab]", [b""])):
        found = Selection(FilesPolicy(ignore=(ignored,))).keep(whole, Disk())
        assert [entry.target for entry in found.entries[1:]] == targets


def test_a_policy_of_a_directory_below_replaces_the_names_of_rule_files() -> None:
    """Kopia does not merge it: one that says nothing about files switches `.kopiaignore` off there."""
    whole = tree(".kopiaignore", "a", "d/", "d/.kopiaignore", "d/a", "d/b")
    disk = Disk({b".kopiaignore": b"/a\n", b"d/.kopiaignore": b"b\n"})
    assert kept(Selection(), whole, disk) == [".kopiaignore", "d", "d/.kopiaignore", "d/a"]
    below = Selection(below={b"d": FilesPolicy()})
    assert kept(below, whole, disk) == [".kopiaignore", "d", "d/.kopiaignore", "d/a", "d/b"]


def test_size_cache_marks_and_file_systems_leave_out() -> None:
    """A directory with a mark is kept and is empty; a mark that says something else is a file like any other."""
    mark = b"Signature: 8a477f597d28d172789f06886806bc55\n"
    whole = tree("big", "c/", "c/CACHEDIR.TAG", "c/x", "f/", "f/CACHEDIR.TAG", "m/", "m/x", size=60)
    disk = Disk({b"c/CACHEDIR.TAG": mark, b"f/CACHEDIR.TAG": b"s" * 60}, frozenset({b"m", b"m/x"}))
    assert kept(Selection(), whole, disk) == ["big", "c", "f", "f/CACHEDIR.TAG", "m", "m/x"]
    assert kept(Selection(FilesPolicy(one_file_system=True)), whole, disk) == ["big", "c", "f", "f/CACHEDIR.TAG"]
    assert kept(Selection(FilesPolicy(size_bytes_max=59)), whole, disk) == ["c", "f", "m"]
    assert "c/x" in kept(Selection(FilesPolicy(ignores_caches=False, size_bytes_max=100)), whole, disk)


def test_the_most_specific_policy_that_says_something_decides() -> None:
    """From the source's own path over those above it, the user and the host to the global one; one that inherits
    nothing ends the search."""
    shown = policies(
        {"target": GLOBAL, "files": {"ignore": ["g"], "maxFileSize": 9}, "retention": {"keepLatest": 2_147_483_647}},
        {"target": ALICE, "files": {"ignore": ["u"]}, "retention": {"ignoreIdenticalSnapshots": True}},
        {"target": at("/beds"), "files": {"oneFileSystem": True}},
        {"target": at(f"{SOURCE}/sub"), "files": {"ignore": ["s"]}},
        {"target": {"host": "laptop", "userName": "bob", "path": SOURCE}, "files": {"ignore": ["b"]}},
    )
    found = shown.of(SOURCE)
    assert found.selection.root == FilesPolicy(
        ignore=("u",), rule_files=(".kopiaignore",), size_bytes_max=9, one_file_system=True
    )
    assert found.selection.below == {b"sub": FilesPolicy(ignore=("s",))}
    assert (found.ignores_identical, found.keeps_all) == (True, True)
    cut_off = policies(
        {"target": GLOBAL, "files": {"ignore": ["g"]}}, {"target": at("/beds"), "noParent": True, "files": {}}
    )
    assert cut_off.of(SOURCE).selection.root == FilesPolicy()


def test_what_can_not_be_judged_is_refused_where_it_is_set() -> None:
    """Unless a more specific policy sets it otherwise."""
    careless = {"target": GLOBAL, "errorHandling": {"ignoreFileErrors": True}, "files": {"ignore": ["[a"]}}
    first, second = policies(careless).refusals(SOURCE)
    assert "(global) sets --ignore-file-errors" in first
    assert "ignore rule that Kopia can't read" in second
    careful = {"target": at("/beds"), "errorHandling": {"ignoreFileErrors": False}, "files": {"ignore": ["a"]}}
    assert not list(policies(careless, careful).refusals(SOURCE))


def test_settings_that_nobody_knows_are_named() -> None:
    """Each is in the table, or told: a newer Kopia may have more."""
    shown = policies({"id": "1", "target": GLOBAL, "files": {"maxFileSize": 1, "minFileSize": 2}, "newKind": 3})
    assert shown.unknown == ("files.minFileSize", "newKind")
    assert set(SETTINGS.values()) == set(Role)


@pytest.mark.parametrize("output", [b"", b"{}", b'[{"target": 5}]', b'[{"target": {}, "files": {"ignore": "x"}}]'])
def test_what_is_no_list_of_policies_can_not_be_read(output: bytes) -> None:
    """It raises ValueError, and nothing else."""
    with pytest.raises(ValueError, match=r".+"):
        read_policies(output, "alice@laptop")
