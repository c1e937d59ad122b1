"""How Kopia keeps a file: the object, the contents that it consists of, and the pack blob and index blob of each.

A directory is an object that holds JSON with its entries, each with the id of its own object. A large file is an
indirect object (`I...`): a content with JSON that names its parts and where they begin. The rest of an object's id is
that of its content (with a `Z` before it if it is compressed), and indexes say in which pack a content is (measured on
0.19.0 and 0.23.1). All is asked of a connection past the server and every cache, and nothing found out is an answer,
too: what is damaged may be just this.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snapstorm.errors import OperationFailed
from snapstorm.model.manifest import show_path
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.command import Actor, Kopia

_COMMAND_SECONDS_MAX = 10.0
_PARTS_MAX = 200
"""Of a file of more parts, so many are named."""
_DEPTH_MAX = 8


@dataclass(frozen=True)
class _Part:
    """A stretch of a file, and the content that holds it."""

    offset_bytes: int
    length_bytes: int | None
    object: str

    @property
    def content(self) -> str:
        return self.object.lstrip("IZ")


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
        entry = {"name": ".", **await self._root(snapshot)}
        found = [entry]
        for name in path.decode("utf-8", "replace").split("/") if path else ():
            entries = await self._directory(entry["obj"])
            inner = next((one for one in entries if one.get("name") == name), None)
            if inner is None:
                raise _Unknown(f"{name!r} is in no directory of the snapshot")
            entry = inner
            found.append(entry)
            lines.append(f"  {_kind(entry)} {name!r}: object {entry.get('obj')}, {entry.get('size', '?')} bytes")
        parts = await self._parts(_Part(0, entry.get("size"), entry["obj"]), 0)
        directories = [_Part(0, None, one["obj"]) for one in found[:-1]]
        places = await self._places([part.content for part in (*directories, *parts[:_PARTS_MAX])])
        lines.append("  its directories, from the root:")
        for part in directories:
            lines += _part_lines(part, places)
        lines.append("  itself:")
        for part in parts[:_PARTS_MAX]:
            lines += _part_lines(part, places)
        if len(parts) > _PARTS_MAX:
            lines.append(f"  and {len(parts) - _PARTS_MAX} more")

    async def _root(self, snapshot: str) -> dict[str, Any]:
        """The entry of the snapshot's root. `show` knows it by its object's id only."""
        text = await self._ask("manifest", "show", snapshot)
        try:
            manifest = json.loads("".join(line for line in text.splitlines() if not line.startswith("//")))
            root = manifest["rootEntry"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise _Unknown("the snapshot's manifest names no root") from None
        if not isinstance(root, dict) or "obj" not in root:
            raise _Unknown("the snapshot's manifest names no root")
        return root

    async def _directory(self, object_id: str) -> list[dict[str, Any]]:
        found = await self._json("show", object_id)
        entries = found.get("entries") if found.get("stream") == "kopia:directory" else None
        if entries is None:
            raise _Unknown(f"object {object_id} is no directory")
        return list(entries)

    async def _parts(self, part: _Part, depth: int) -> list[_Part]:
        """The part itself, or of an indirect object the parts that it names."""
        if not part.object.startswith("I"):
            return [part]
        if depth > _DEPTH_MAX:
            raise _Unknown(f"object {part.object} is indirect too often")
        # Without its `I`, the object is the list of parts instead of what they make up.
        found = await self._json("show", part.object[1:])
        parts: list[_Part] = []
        for entry in found.get("entries", ()):
            inner = _Part(part.offset_bytes + entry.get("s", 0), entry.get("l"), entry["o"])
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

    async def _json(self, *words: str) -> dict[str, Any]:
        try:
            found = json.loads(await self._ask(*words))
        except (ValueError, RecursionError):
            raise _Unknown(f"`kopia {' '.join(words)}` gives no JSON") from None
        if not isinstance(found, dict):
            raise _Unknown(f"`kopia {' '.join(words)}` gives something unexpected")
        return found

    async def _ask(self, *words: str) -> str:
        completed = await self.kopia.run(self.actor, *words, seconds_max=_COMMAND_SECONDS_MAX)
        if completed.exit_code != 0 or completed.timed_out:
            raise _Unknown(str(answers.explain(completed, f"kopia {words[0]}", OperationFailed)))
        return completed.stdout.decode(errors="replace")


def _part_lines(part: _Part, places: dict[str, list[str]]) -> list[str]:
    """A content, and where it is."""
    length = "" if part.length_bytes is None else f", {part.length_bytes:,} bytes"
    where = places.get(part.content, ["in no active index"])
    return [f"    from byte {part.offset_bytes:,}{length}: content {part.content}", *(f"      {one}" for one in where)]


def _kind(entry: dict[str, Any]) -> str:
    return {"d": "directory", "f": "file", "s": "link"}.get(str(entry.get("type")), "entry")
