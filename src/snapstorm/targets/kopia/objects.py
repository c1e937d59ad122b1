"""How Kopia keeps a file: the object, the contents that it consists of, and the pack blob and index blob of each.

A directory is an object that holds JSON with its entries, each with the id of its own object. A large file is an
indirect object (`I...`): a content with JSON that names its parts and where they begin. The rest of an object's id is
that of its content (with a `Z` before it if it is compressed), and indexes say in which pack a content is (measured on
0.19.0 and 0.23.1). Everything is asked of a connection past the server and every cache. What could not be found out is
an answer, too: it may be what is damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from snapstorm.errors import OperationFailed
from snapstorm.model.manifest import show_path
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.command import Actor, Kopia

_COMMAND_SECONDS_MAX = 10.0
_PARTS_MAX = 200
"""Of a file of more parts, so many are named."""
_DEPTH_MAX = 8
_KINDS = {"d": "directory", "f": "file", "s": "link"}

_T = TypeVar("_T")


class _DirectoryEntry(msgspec.Struct, frozen=True):
    """An entry of a directory, or the root of a snapshot."""

    object: str = msgspec.field(name="obj")
    name: str = "."
    type: str = ""
    size: int | None = None


class _DirectoryObject(msgspec.Struct, frozen=True):
    entries: list[_DirectoryEntry]
    stream: Literal["kopia:directory"]


class _SnapshotManifest(msgspec.Struct, frozen=True, rename="camel"):
    root_entry: _DirectoryEntry


class _Part(msgspec.Struct, frozen=True):
    """A stretch of a file, and the object that holds it."""

    object: str = msgspec.field(name="o")
    offset_bytes: int = msgspec.field(default=0, name="s")
    length_bytes: int | None = msgspec.field(default=None, name="l")

    @property
    def content(self) -> str:
        """The content that the object consists of, unless it is indirect."""
        return self.object.lstrip("IZ")


class _Indirect(msgspec.Struct, frozen=True):
    entries: list[_Part] = []


class _Unknown(Exception):
    """Kopia did not say."""


@dataclass(frozen=True)
class ObjectNames:
    """Asks Kopia what it keeps."""

    kopia: Kopia
    actor: Actor
    """Directly on the repository, without a cache."""

    async def describe(self, snapshot: str, paths: Sequence[bytes]) -> str:
        """How these files of a snapshot are kept, in words."""
        lines = [f"snapshot {snapshot}"]
        for path in paths:
            lines += ["", show_path(path)]
            try:
                await self._describe(snapshot, path, lines)
            except _Unknown as problem:
                lines.append(f"  not found out: {problem}")
        return "\n".join(lines)

    async def _describe(self, snapshot: str, path: bytes, lines: list[str]) -> None:
        """Add what can be found out, until something can't."""
        # `show` knows the root only by the id of its object.
        shown = await self._ask("manifest", "show", snapshot)
        manifest = "".join(line for line in shown.splitlines() if not line.startswith("//"))
        found = [_decoded(manifest, _SnapshotManifest, "the snapshot's manifest names no root").root_entry]
        for name in path.decode("utf-8", "replace").split("/") if path else ():
            parent = found[-1].object
            directory = _decoded(await self._ask("show", parent), _DirectoryObject, f"object {parent} is no directory")
            entry = next((one for one in directory.entries if one.name == name), None)
            if entry is None:
                raise _Unknown(f"{name!r} is in no directory of the snapshot")
            found.append(entry)
            size = "?" if entry.size is None else entry.size
            lines.append(f"  {_KINDS.get(entry.type, 'entry')} {name!r}: object {entry.object}, {size} bytes")
        parts = await self._parts(_Part(found[-1].object, 0, found[-1].size), 0)
        directories = [_Part(one.object) for one in found[:-1]]
        places = await self._places([part.content for part in (*directories, *parts[:_PARTS_MAX])])
        lines.append("  its directories, from the root:")
        for part in directories:
            lines += _part_lines(part, places)
        lines.append("  itself:")
        for part in parts[:_PARTS_MAX]:
            lines += _part_lines(part, places)
        if len(parts) > _PARTS_MAX:
            lines.append(f"  and {len(parts) - _PARTS_MAX} more")

    async def _parts(self, part: _Part, depth: int) -> list[_Part]:
        """The part itself, or of an indirect object the parts that it names."""
        if not part.object.startswith("I"):
            return [part]
        if depth > _DEPTH_MAX:
            raise _Unknown(f"object {part.object} is indirect too often")
        # Without its `I`, the object is the list of parts instead of what they make up.
        shown = await self._ask("show", part.object[1:])
        parts: list[_Part] = []
        for one in _decoded(shown, _Indirect, f"object {part.object} does not name its parts").entries:
            inner = _Part(one.object, part.offset_bytes + one.offset_bytes, one.length_bytes)
            parts += await self._parts(inner, depth + 1)
        return parts

    async def _places(self, contents: Sequence[str]) -> dict[str, list[str]]:
        """For each content, in which packs the active indexes have it."""
        wanted = [f"--content-id={content}" for content in dict.fromkeys(contents)]
        text = await self._ask("index", "inspect", "--active", *wanted)
        places: dict[str, list[str]] = {}
        for words in (line.split() for line in text.splitlines()):
            # A time of one or more words, the index blob, the content, its state, a time again, pack, offset, length.
            at = next((number for number, word in enumerate(words) if word in contents), None)
            if at is None or len(words) < at + 4:
                continue
            pack, offset, length = words[-3:]
            places.setdefault(words[at], []).append(
                f"{words[at + 1]} in pack blob {pack}, at {offset}, {length} bytes; says index blob {words[at - 1]}"
            )
        return places

    async def _ask(self, *words: str) -> str:
        completed = await self.kopia.run(self.actor, *words, seconds_max=_COMMAND_SECONDS_MAX)
        if completed.exit_code != 0 or completed.timed_out:
            raise _Unknown(str(answers.explain(completed, f"kopia {words[0]}", OperationFailed)))
        return completed.stdout.decode(errors="replace")


def _decoded(text: str, kind: type[_T], problem: str) -> _T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError):
        raise _Unknown(problem) from None


def _part_lines(part: _Part, places: dict[str, list[str]]) -> list[str]:
    """A content, and where it is."""
    length = "" if part.length_bytes is None else f", {part.length_bytes:,} bytes"
    where = places.get(part.content, ["in no active index"])
    return [f"    from byte {part.offset_bytes:,}{length}: content {part.content}", *(f"      {one}" for one in where)]
