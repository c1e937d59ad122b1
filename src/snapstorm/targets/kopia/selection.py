"""What Kopia keeps of a tree under the policies of a source, in its own order of deciding.

For each entry: the rules of all directories above it, from the root down; then its size; then its file system
(`fs/ignorefs`, the same from 0.19.0 to 0.23.1; measured). What is not obvious:

* The policy of the source itself is merged with those above it. One of a directory *below* the source stands for
  itself: only what it says counts, its file names for ignore rules replace those of above, and its silence about one
  file system means "all of them". Its ignore rules are added to those of above, also with `--no-parent-ignore`.
* Rules are relative to the source, not to where the policy is set; those in a file, to its directory.
* A directory with a valid CACHEDIR.TAG is kept, and is empty.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from snapstorm.model.manifest import ROOT, Entry, EntryType, Manifest
from snapstorm.targets.kopia.ignore_rules import IgnoreRule, read_rule

CACHE_MARK = b"CACHEDIR.TAG"
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_RULE_LINE_BYTES_MAX = 64 << 10
"""Kopia reads no further in a file with a longer line."""


class FilesPolicy(msgspec.Struct, frozen=True):
    """What a policy says about files, by its names in JSON. Empty and None where it says nothing."""

    ignore: tuple[str, ...] = ()
    rule_files: tuple[str, ...] = msgspec.field(default=(), name="ignoreDotFiles")
    """Names of files that hold more rules."""
    ignores_caches: bool | None = msgspec.field(default=None, name="ignoreCacheDirs")
    size_bytes_max: int = msgspec.field(default=0, name="maxFileSize")
    """0 for no limit."""
    one_file_system: bool | None = msgspec.field(default=None, name="oneFileSystem")


_DEFAULTS = FilesPolicy(rule_files=(".kopiaignore",))


@dataclass(frozen=True)
class Selection:
    """What is kept of one source."""

    root: FilesPolicy = _DEFAULTS
    """All that applies to the source itself, merged."""
    below: Mapping[bytes, FilesPolicy] = field(default_factory=dict)
    """What policies of directories below it say, by their paths in it."""

    def keep(self, tree: Manifest, disk: Disk) -> Manifest:
        """What is kept of the tree. Raises ValueError for a rule in one of its files that Kopia can't read, and OSError
        where such a file can't be read."""
        if self.keeps_everything(tree):
            return tree
        kept = {entry.path for entry in _Walk(self, tree, disk).kept()}
        return Manifest.of((entry for entry in tree if entry.path in kept), is_detailed=tree.is_detailed)

    def keeps_everything(self, tree: Manifest) -> bool:
        """Whether that can be told from the policy and the names alone, as in most runs."""
        root = self.root
        if root.ignore or root.size_bytes_max or root.one_file_system or self.below:
            return False
        names = (*(name.encode() for name in root.rule_files), CACHE_MARK)
        return not any(entry.path.endswith(names) for entry in tree)


class Disk(Protocol):
    """The tree where it lies."""

    def read(self, path: bytes) -> bytes:
        """The content of the file at this path in the tree; of the one that a link leads to."""
        ...

    def device(self, path: bytes) -> int:
        """The file system that an entry is on."""
        ...


@dataclass(frozen=True)
class TreeOnDisk:
    """Implements `Disk`."""

    root: bytes

    def read(self, path: bytes) -> bytes:
        with open(os.path.join(self.root, path), "rb") as file:
            return file.read()

    def device(self, path: bytes) -> int:
        return os.lstat(os.path.join(self.root, path)).st_dev


@dataclass(frozen=True)
class _Context:
    """What applies to the entries of a directory."""

    rule_files: tuple[str, ...] = ()
    rules: tuple[IgnoreRule, ...] = ()
    size_bytes_max: int = 0
    one_file_system: bool = False


class _Walk:
    """Goes through one tree from its root down."""

    def __init__(self, selection: Selection, tree: Manifest, disk: Disk) -> None:
        self._selection = selection
        self._disk = disk
        self._tree = tree
        self._entries_by_directory: dict[bytes, list[Entry]] = defaultdict(list)
        for entry in tree:
            if entry.path != ROOT:
                self._entries_by_directory[entry.path.rpartition(b"/")[0]].append(entry)

    def kept(self) -> Iterator[Entry]:
        yield from (entry for entry in self._tree if entry.path == ROOT)
        waiting = [(ROOT, _Context(), self._selection.root)]
        while waiting:
            path, above, nearest = waiting.pop()
            defined = self._selection.root if path == ROOT else self._selection.below.get(path)
            nearest = nearest if defined is None else defined
            if nearest.ignores_caches is not False and self._is_cache(path):
                continue
            context = self._context(path, above, defined)
            for entry in self._entries_by_directory.get(path, ()):
                if self._is_kept(entry, context, path):
                    yield entry
                    if entry.type is EntryType.DIRECTORY:
                        waiting.append((entry.path, context, nearest))

    def _is_cache(self, directory: bytes) -> bool:
        mark = self._tree.by_path.get(_joined(directory, CACHE_MARK))
        if mark is None or mark.type is not EntryType.FILE or mark.size < len(_CACHE_SIGNATURE):
            return False
        return self._disk.read(mark.path).startswith(_CACHE_SIGNATURE)

    def _context(self, directory: bytes, above: _Context, defined: FilesPolicy | None) -> _Context:
        names = above.rule_files if defined is None else defined.rule_files
        in_files = [line for name in names for line in self._lines(_joined(directory, name.encode()))]
        if defined is None and not in_files:
            return above
        base = f"/{directory.decode('utf-8', 'replace')}" if directory else ""
        policy = defined or FilesPolicy()
        return _Context(
            rule_files=names,
            rules=(*above.rules, *(read_rule(line, base) for line in (*policy.ignore, *in_files))),
            size_bytes_max=policy.size_bytes_max or above.size_bytes_max,
            one_file_system=above.one_file_system if defined is None else bool(policy.one_file_system),
        )

    def _lines(self, path: bytes) -> Iterator[str]:
        """The rules in a file, if there is one."""
        entry = self._tree.by_path.get(path)
        if entry is None or entry.type not in (EntryType.FILE, EntryType.SYMLINK):
            return
        for line in self._disk.read(path).split(b"\n"):
            if len(line) >= _RULE_LINE_BYTES_MAX:
                return
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if text.strip() and not text.startswith("#"):
                yield text

    def _is_kept(self, entry: Entry, context: _Context, directory: bytes) -> bool:
        if context.rules and is_ignored(context.rules, entry):
            return False
        # As Kopia holds it against the limit: of a link its target, of a directory nothing.
        size = len(entry.target) if entry.type is EntryType.SYMLINK else entry.size
        if context.size_bytes_max and size > context.size_bytes_max:
            return False
        return not context.one_file_system or self._disk.device(entry.path) == self._disk.device(directory)


def is_ignored(rules: Sequence[IgnoreRule], entry: Entry) -> bool:
    """Whether these rules leave an entry out: each may undo what those before it said."""
    path, is_directory = "/" + entry.path.decode("utf-8", "replace"), entry.type is EntryType.DIRECTORY
    ignored = False
    for rule in rules:
        ignored = rule.decides(path, is_directory=is_directory, is_ignored=ignored)
    return ignored


def _joined(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
