"""Planning: decides which entries a `WriteRandomFiles` makes, only from the known tree and the draws."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from snapstorm.filesystem.allowances import (
    DEVICE_MAJORS,
    PLAIN_DIRECTORY_MODES,
    SPECIALS,
    Allowances,
    draw_xattr_value,
)
from snapstorm.filesystem.descriptors import joined
from snapstorm.filesystem.names import non_utf8_name, odd_name, plain_name
from snapstorm.filesystem.tree_state import DirectoryState, TreeState
from snapstorm.model.actions import WriteRandomFiles
from snapstorm.model.amounts import Span, draw, draw_size
from snapstorm.model.change_kinds import Oddity
from snapstorm.model.content import HOLE, blocks_in, draw_stream, overwritten, whole_file
from snapstorm.model.manifest import ROOT, Segment, Xattrs

_SECOND_NS = 10**9
_YEAR_SECONDS = 31_556_952
MTIME_OLD_MIN_NS = (1971 - 1970) * _YEAR_SECONDS * _SECOND_NS
MTIME_MIN_NS = (2000 - 1970) * _YEAR_SECONDS * _SECOND_NS
MTIME_MAX_NS = (2025 - 1970) * _YEAR_SECONDS * _SECOND_NS
"""Times are drawn from the past, so that they follow from the seed and are never "now"."""

_REUSED_DIRECTORY_SHARE = 0.6
"""How often a directory on the way down is an existing one, if there is one."""

_ODD_MODE_SHARE = 0.3
"""How often an empty directory, which is an odd entry already, also has an odd mode."""

_NAME_RESERVE_BYTES = 256
"""How many bytes of the longest path a directory's path leaves for a name in it."""

_SPARSE_BYTES_MIN = 64 << 10
_SPARSE_BYTES_MAX = 1 << 20
_LINK_TARGET_BYTES_MAX = 3000
_DEVICE_MINORS = (0, 1, 255, 256, 65_536, (1 << 20) - 1)


class NewDirectory(NamedTuple):
    path: bytes
    mode: int
    mtime_ns: int


class NewFile(NamedTuple):
    name: bytes
    size_bytes: int
    segments: tuple[Segment, ...]
    mode: int
    mtime_ns: int
    xattrs: Xattrs = ()


class NewLink(NamedTuple):
    name: bytes
    target: bytes
    mtime_ns: int


class NewHardLink(NamedTuple):
    name: bytes
    existing: bytes
    """Path of an existing file of the tree."""


class NewSpecial(NamedTuple):
    name: bytes
    mode: int
    """With the type, as `os.mknod` takes it."""
    device: int
    mtime_ns: int


NewEntry: TypeAlias = NewDirectory | NewFile | NewLink | NewHardLink | NewSpecial


class NewPlace(NamedTuple):
    """The directory for the files, and the directories to make on the way to it, upper ones first."""

    path: bytes
    missing: tuple[NewDirectory, ...]


def draw_mtime_ns(draws: random.Random, low_ns: int = MTIME_MIN_NS, high_ns: int = MTIME_MAX_NS) -> int:
    """A time in the past, with nanoseconds."""
    return low_ns + draws.getrandbits(63) % (high_ns - low_ns)


def draw_xattrs(names: Sequence[bytes], draws: random.Random) -> Xattrs:
    """A few small extended attributes with some of these names, in an order in which they can be set."""
    chosen = draws.sample(names, min(draws.randint(1, 2), len(names)))
    # Access control lists come last: they may forbid the owner to set others.
    ordered = sorted(chosen, key=lambda name: (name.startswith(b"system."), name))
    return tuple((name, draw_xattr_value(name, draws)) for name in ordered)


def draw_special(name: bytes, oddity: Oddity, allowed: Allowances, draws: random.Random) -> NewSpecial:
    """A special file of this kind."""
    mode, device = draws.choice(SPECIALS[oddity]), 0
    if oddity is Oddity.DEVICE:
        device = os.makedev(draws.choice(DEVICE_MAJORS), draws.choice(_DEVICE_MINORS))
    return NewSpecial(name, mode | draws.choice(allowed.file_modes), device, draw_mtime_ns(draws))


def dangling_targets(name: bytes) -> tuple[bytes, ...]:
    """Targets of links that lead nowhere, since nothing has such a name."""
    long = b"/".join([b"nowhere"] * (_LINK_TARGET_BYTES_MAX // 8))
    return name, b"../" * 3 + name, b"/nonexistent/" + name, b" ", b"./" + name + b"/", long


def plan_place(action: WriteRandomFiles, tree: TreeState, allowed: Allowances, draws: random.Random) -> NewPlace:
    """Walk down from the root to the drawn depth, through directories that exist or are to be made.

    Stops earlier if the path would become too long.
    """
    path = ROOT
    missing: list[NewDirectory] = []
    for _ in range(draw(action.depth, draws)):
        state = tree.directories.get(path, DirectoryState(0))
        if state.subdirectories and draws.random() < _REUSED_DIRECTORY_SHARE:
            path = joined(path, draws.choice(state.subdirectories))
            continue
        directory = _plan_directory(path, state, action, allowed, draws)
        if len(directory.path) + _NAME_RESERVE_BYTES > allowed.path_bytes_max:
            break
        missing.append(directory)
        path = directory.path
    return NewPlace(path, tuple(missing))


def _plan_directory(
    parent: bytes, state: DirectoryState, action: WriteRandomFiles, allowed: Allowances, draws: random.Random
) -> NewDirectory:
    oddity = _draw_oddity(action, allowed, draws)
    make_name = {Oddity.ODD_NAME: odd_name, Oddity.NON_UTF8_NAME: non_utf8_name}.get(oddity or Oddity.XATTR, plain_name)
    modes = allowed.odd_directory_modes if oddity is Oddity.ODD_MODE else PLAIN_DIRECTORY_MODES
    name = make_name(state.names, allowed.names, draws)
    return NewDirectory(joined(parent, name), draws.choice(modes), draw_mtime_ns(draws))


def _draw_oddity(action: WriteRandomFiles, allowed: Allowances, draws: random.Random) -> Oddity | None:
    if allowed.oddities and draws.random() * 100 < action.odd_percent:
        return draws.choice(allowed.oddities)
    return None


class EntryPlanner:
    """Plans the entries of one action for one directory, one after the other, as complete values: no draw is left to
    make.

    Each planned entry must be added to the tree before the next one is requested, so that later ones can refer to it.
    """

    def __init__(
        self,
        action: WriteRandomFiles,
        directory: bytes,
        tree: TreeState,
        allowed: Allowances,
        bytes_max: int,
        draws: random.Random,
    ) -> None:
        self._action = action
        self._directory = directory
        self._tree = tree
        self._allowed = allowed
        self._left_bytes = bytes_max
        self._draws = draws
        self._names = tree.directories[directory].names
        # Positions of the tree's files at the beginning. What this action adds is kept separately, to merge it only
        # once.
        self._old_files = list(tree.file_paths)
        self._new_files: list[bytes] = []
        size = action.size_bytes
        self._sizes = size if isinstance(size, Span) else Span(low=size, high=size)

    def __iter__(self) -> Iterator[NewEntry]:
        for _ in range(draw(self._action.count, self._draws)):
            if self._left_bytes == 0:
                return
            entry = self._plan_entry()
            if isinstance(entry, NewFile):
                self._left_bytes -= entry.size_bytes
                self._new_files.append(joined(self._directory, entry.name))
            yield entry

    def _plan_entry(self) -> NewEntry:
        draws = self._draws
        match _draw_oddity(self._action, self._allowed, draws):
            case Oddity.EMPTY_DIRECTORY:
                return NewDirectory(joined(self._directory, self._name()), self._directory_mode(), draw_mtime_ns(draws))
            case Oddity.SYMLINK:
                return NewLink(self._name(), self._target_in_tree(), draw_mtime_ns(draws))
            case Oddity.DANGLING_SYMLINK:
                return NewLink(self._name(), self._dangling_target(), draw_mtime_ns(draws))
            case Oddity.HARD_LINK:
                existing = self._any_file()
                return NewHardLink(self._name(), existing) if existing is not None else self._plain_file()
            case (Oddity.FIFO | Oddity.DEVICE | Oddity.SOCKET) as oddity:
                return draw_special(self._name(), oddity, self._allowed, draws)
            case oddity:
                return self._odd_file(oddity)

    def _odd_file(self, oddity: Oddity | None) -> NewFile:
        draws, allowed = self._draws, self._allowed
        if oddity is Oddity.SPARSE_FILE:
            return self._sparse_file()
        file = self._plain_file()
        match oddity:
            case Oddity.EMPTY_FILE:
                return file._replace(size_bytes=0, segments=())
            case Oddity.ODD_NAME:
                return file._replace(name=odd_name(self._names, allowed.names, draws))
            case Oddity.NON_UTF8_NAME:
                return file._replace(name=non_utf8_name(self._names, allowed.names, draws))
            case Oddity.ODD_MODE:
                return file._replace(mode=draws.choice(allowed.odd_file_modes))
            case Oddity.OLD_MTIME:
                return file._replace(mtime_ns=draw_mtime_ns(draws, MTIME_OLD_MIN_NS, MTIME_MIN_NS))
            case Oddity.XATTR:
                return file._replace(xattrs=draw_xattrs(allowed.xattr_names, draws))
            case _:
                return file

    def _plain_file(self) -> NewFile:
        draws = self._draws
        size_bytes = min(draw_size(self._action.size_bytes, self._action.size_distribution, draws), self._left_bytes)
        segments: tuple[Segment, ...] | None = None
        if draws.random() * 100 < self._action.duplicate_percent:
            size_bytes, segments = self._duplicate(size_bytes)
        if segments is None:
            segments = whole_file(self._stream(), 1, size_bytes)
        return NewFile(self._name(), size_bytes, segments, self._file_mode(), draw_mtime_ns(draws))

    def _duplicate(self, size_bytes: int) -> tuple[int, tuple[Segment, ...] | None]:
        """The content of another file; if its size is out of range, content of its stream and version at the drawn
        size."""
        path = self._any_file()
        state = self._tree.files[path] if path is not None else None
        if state is None or not state.segments:
            return size_bytes, None
        if self._sizes.low <= state.size_bytes <= min(self._sizes.high, self._left_bytes):
            return state.size_bytes, state.segments
        written = next((segment for segment in state.segments if segment.stream != HOLE), None)
        return size_bytes, whole_file(written.stream, written.version, size_bytes) if written else None

    def _sparse_file(self) -> NewFile:
        """A file that is mostly holes. Its apparent size follows the drawn one, so that small files stay fast to
        read."""
        file = self._plain_file()
        draws = self._draws
        apparent_bytes_max = min(max(_SPARSE_BYTES_MIN, 16 * file.size_bytes), _SPARSE_BYTES_MAX)
        size_bytes = min(draws.randint(_SPARSE_BYTES_MIN // 2, apparent_bytes_max), self._left_bytes)
        stream, blocks = self._stream(), blocks_in(size_bytes)
        segments = whole_file(HOLE, 0, size_bytes)
        for _ in range(draws.randint(0, 3)):
            new = Segment(stream, 1, draws.randrange(blocks), 1)
            segments = overwritten(segments, new, size_bytes)
        return file._replace(size_bytes=size_bytes, segments=segments)

    def _any_file(self) -> bytes | None:
        """The path of a file of the tree or of this action."""
        count = len(self._old_files) + len(self._new_files)
        if count == 0:
            return None
        position = self._draws.randrange(count)
        old_count = len(self._old_files)
        return self._old_files[position] if position < old_count else self._new_files[position - old_count]

    def _target_in_tree(self) -> bytes:
        """The relative path of an existing entry, or the directory of the link itself."""
        path = self._any_file() or ROOT
        up = b"../" * (self._directory.count(b"/") + 1) if self._directory else b"./"
        target = up + path
        return target if len(target) <= _LINK_TARGET_BYTES_MAX else b"."

    def _dangling_target(self) -> bytes:
        return self._draws.choice(dangling_targets(self._name()))

    def _name(self) -> bytes:
        return plain_name(self._names, self._allowed.names, self._draws)

    def _stream(self) -> int:
        compressible = self._draws.random() * 100 < self._action.compressible_percent
        return draw_stream(self._draws, compressible=compressible)

    def _file_mode(self) -> int:
        return self._draws.choice(self._allowed.file_modes)

    def _directory_mode(self) -> int:
        odd = Oddity.ODD_MODE in self._allowed.oddities and self._draws.random() < _ODD_MODE_SHARE
        return self._draws.choice(self._allowed.odd_directory_modes if odd else PLAIN_DIRECTORY_MODES)
