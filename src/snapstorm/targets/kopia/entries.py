"""What Kopia's manifests say of a snapshot: where it is entered, and where its deletion is.

Manifests are stored as contents whose ids begin with `m`, some entries in each; a deletion is an entry as well, a
tombstone. A content that was replaced stays in the indexes, marked as deleted, for as long as collections leave it
there, so that one can still see who said what (measured on 0.19.0 and 0.23.1). It is what tells a deletion that was
undone by a late compaction (`deleted-comes-back` in docs/known-bugs.md) from one that never came to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import anyio
import msgspec

from snapstorm.errors import OperationFailed, SnapstormError
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.command import Actor, Kopia

_COMMAND_SECONDS_MAX = 10.0
_READING_SECONDS_MAX = 60.0
"""After a run with many deletions there are hundreds of contents, and reading one takes a tenth of a second."""
_AT_ONCE = 3
_T = TypeVar("_T")
_ENTERED, _DELETED = "entered", "deleted"


class _Content(msgspec.Struct, frozen=True, rename="camel"):
    """A line of `content list --json`."""

    content_id: str = msgspec.field(name="contentID")
    pack_file: str = "?"
    time: int = 0
    """When the index got what it says, in seconds since 1970."""
    deleted: bool = False


class _ManifestEntry(msgspec.Struct, frozen=True):
    """One entry of a manifest content."""

    id: str
    modified: str = "?"
    deleted: bool = False


class _Entries(msgspec.Struct, frozen=True):
    """A manifest content."""

    entries: list[_ManifestEntry] = []


@dataclass(frozen=True)
class EntryHistory:
    """Asks Kopia what it has ever written down of snapshots."""

    kopia: Kopia
    actor: Actor
    """Directly on the repository, without a cache."""
    reading_seconds_max: float = _READING_SECONDS_MAX
    _read: dict[str, list[_ManifestEntry] | str] = field(default_factory=dict)
    """The entries of each content that was read, or why they can't be: a content never changes."""

    async def describe(self, snapshots: Sequence[str]) -> dict[str, str]:
        """For each of these snapshots, in words. Raises OperationFailed where Kopia does not say."""
        listed = await self._ask(list[_Content], "content", "list", "--prefix=m", "--deleted", "--json")
        contents = sorted(listed, key=lambda one: (one.time, one.content_id))
        # What is in use first, then what was replaced last: in case there is no time for all of it.
        await self._read_all(sorted(contents, key=lambda one: (one.deleted, -one.time)))
        head = [f"{len(contents)} manifest contents, {sum(not one.deleted for one in contents)} of them in use"]
        if unread := sum(one.content_id not in self._read for one in contents):
            head.append(f"{unread} of them, those that were replaced first, were not read in time")
        return {
            snapshot: "\n".join([f"snapshot {snapshot}", *head, "", *_lines(snapshot, contents, self._read)])
            for snapshot in snapshots
        }

    async def _read_all(self, contents: Sequence[_Content]) -> None:
        """Read the entries of each, some at once, as far as the time goes."""
        waiting = iter([one.content_id for one in contents if one.content_id not in self._read])

        async def read() -> None:
            for content_id in waiting:
                try:
                    shown = await self._ask(_Entries, "content", "show", "--unzip", content_id)
                    self._read[content_id] = shown.entries
                except SnapstormError as error:
                    self._read[content_id] = str(error).splitlines()[0]

        with anyio.move_on_after(self.reading_seconds_max):
            async with anyio.create_task_group() as tasks:
                for _ in range(_AT_ONCE):
                    tasks.start_soon(read)

    async def _ask(self, kind: type[_T], *words: str) -> _T:
        completed = await self.kopia.run(self.actor, *words, seconds_max=_COMMAND_SECONDS_MAX)
        return answers.read(completed, f"kopia {' '.join(words[:2])}", kind, OperationFailed)


def _lines(snapshot: str, contents: Sequence[_Content], entries: dict[str, list[_ManifestEntry] | str]) -> list[str]:
    """Where the snapshot is mentioned, and what that comes to."""
    lines, in_use, replaced = list[str](), set[str](), set[str]()
    for content in contents:
        of_content = entries.get(content.content_id, [])
        if isinstance(of_content, str):
            lines.append(f"content {content.content_id} can't be read: {of_content}")
            continue
        for entry in (one for one in of_content if one.id == snapshot):
            word = _DELETED if entry.deleted else _ENTERED
            (replaced if content.deleted else in_use).add(word)
            since = datetime.fromtimestamp(content.time, UTC)
            state = "replaced, or deleted," if content.deleted else "in use since"
            lines.append(
                f"{word} at {entry.modified}: content {content.content_id} ({len(of_content)} entries), "
                f"{state} {since:%Y-%m-%d %H:%M:%S}, pack {content.pack_file}"
            )
    return [*lines, "", _conclusion(in_use, replaced)]


def _conclusion(in_use: AbstractSet[str], replaced: AbstractSet[str]) -> str:
    """What it comes to: which words there are of it in contents that are in use, and in those that were replaced."""
    if _ENTERED in in_use and _DELETED in in_use:
        return "It is entered, and so is its deletion: it is not to be listed."
    if _ENTERED in in_use and _DELETED in replaced:
        return (
            "It was deleted, and is entered again: the content with its deletion was replaced, and one that knows "
            "nothing of it is in use (`deleted-comes-back` among the known bugs)."
        )
    if _ENTERED in in_use:
        return "It is entered, and no content that is in use says that it was deleted: it is listed."
    if in_use or replaced:
        return "No content that is in use enters it: it is not listed."
    return "No content mentions it."
