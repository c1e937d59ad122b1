"""What Kopia's manifests say of a snapshot: where it is entered, and where its deletion is.

Manifests are stored as contents whose ids begin with `m`, some entries in each; a deletion is an entry as well, a
tombstone. A content that was replaced stays in the indexes, marked as deleted, for as long as collections leave it
there, so that one can still see who said what (measured on 0.19.0 and 0.23.1). It is what tells a deletion that was
undone by a late compaction (`deleted-comes-back` in docs/known-bugs.md) from one that never came to be.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec

from snapstorm.errors import OperationFailed, SnapstormError
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.command import Actor, Kopia

_COMMAND_SECONDS_MAX = 10.0
_CONTENTS_MAX = 300
"""Of so many contents, the latest, entries are read."""
_AT_ONCE = 4


class _Content(msgspec.Struct, frozen=True, rename="camel"):
    """A line of `content list --json`."""

    content_id: str = msgspec.field(name="contentID")
    pack_file: str = "?"
    time: int = 0
    """When the index got what it says, in seconds since 1970."""
    deleted: bool = False


class _Entry(msgspec.Struct, frozen=True):
    """One entry of a manifest content."""

    id: str
    modified: str = "?"
    deleted: bool = False


class _Entries(msgspec.Struct, frozen=True):
    """A manifest content."""

    entries: list[_Entry] = []


@dataclass(frozen=True)
class EntryHistory:
    """Asks Kopia what it has ever written down of snapshots."""

    kopia: Kopia
    actor: Actor
    """Directly on the repository, without a cache."""

    async def describe(self, snapshots: Sequence[str]) -> dict[str, str]:
        """For each of these snapshots, in words. Raises OperationFailed where Kopia does not say."""
        listed = await self._ask("content", "list", "--prefix=m", "--deleted", "--json")
        contents = sorted(_decoded(listed, list[_Content]), key=lambda one: (one.time, one.content_id))
        shown = contents[-_CONTENTS_MAX:]
        entries = await self._entries(shown)
        head = [f"{len(contents)} manifest contents, {sum(not one.deleted for one in contents)} of them in use"]
        if len(contents) > len(shown):
            head.append(f"of these the latest {len(shown)} were looked at")
        return {
            snapshot: "\n".join([f"snapshot {snapshot}", *head, "", *_lines(snapshot, shown, entries)])
            for snapshot in snapshots
        }

    async def _entries(self, contents: Sequence[_Content]) -> dict[str, list[_Entry] | str]:
        """The entries of each, or why they can't be read."""
        found: dict[str, list[_Entry] | str] = {}
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async def read(content_id: str) -> None:
            async with limiter:
                try:
                    text = await self._ask("content", "show", "--unzip", content_id)
                    found[content_id] = _decoded(text, _Entries).entries
                except SnapstormError as error:
                    found[content_id] = str(error).splitlines()[0]

        async with anyio.create_task_group() as tasks:
            for content in contents:
                tasks.start_soon(functools.partial(read, content.content_id))
        return found

    async def _ask(self, *words: str) -> bytes:
        completed = await self.kopia.ask(self.actor, *words, seconds_max=_COMMAND_SECONDS_MAX)
        answers.check(completed, f"kopia {' '.join(words[:2])}", OperationFailed)
        return completed.stdout


def _decoded(text: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OperationFailed(f"kopia said something unexpected: {error}") from None


def _lines(snapshot: str, contents: Sequence[_Content], entries: dict[str, list[_Entry] | str]) -> list[str]:
    """Where the snapshot is mentioned, and what that comes to."""
    lines, in_use = [], {"entered": False, "deleted": False}
    for content in contents:
        of_content = entries.get(content.content_id, [])
        if isinstance(of_content, str):
            lines.append(f"content {content.content_id} can't be read: {of_content}")
            continue
        for entry in (one for one in of_content if one.id == snapshot):
            word = "deleted" if entry.deleted else "entered"
            in_use[word] |= not content.deleted
            state = "replaced, or deleted," if content.deleted else "in use since"
            lines.append(
                f"{word} at {entry.modified}: content {content.content_id} ({len(of_content)} entries), "
                f"{state} {_moment(content.time)}, pack {content.pack_file}"
            )
    return [*lines, "", _conclusion(bool(lines), **in_use)]


def _conclusion(is_mentioned: bool, *, entered: bool, deleted: bool) -> str:
    if entered and deleted:
        return "It is entered, and so is its deletion: it is not to be listed."
    if entered:
        return "It is entered, and no content that is in use says that it was deleted: it is listed."
    if is_mentioned:
        return "No content that is in use enters it: it is not listed."
    return "No content mentions it."


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
