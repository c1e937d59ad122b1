"""A target whose repository is simply its objects: `snapshot ID` names the objects that the snapshot needs,
and `hidden ID` keeps it from being listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from snapstorm.errors import OperationFailed, OperationPartial
from snapstorm.gateway.contents import Contents, digest_of
from snapstorm.gateway.kept_history import StorageHistory
from snapstorm.gateway.past import BucketPast
from snapstorm.gateway.write_log import HistorySize, Write
from snapstorm.model.abilities import StoredPlace, StoredRepository
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.expectations import Expectation, State
from snapstorm.model.location import FileStorage
from snapstorm.model.promises import PromiseSpan

CLIENT = "a@s"


@dataclass
class PlainRepository:
    """Implements `StoredRepository`."""

    directory: Path
    commands: list[str] = field(default_factory=list[str])

    async def list_snapshots(self) -> Sequence[ListedSnapshot]:
        self.commands.append("list")
        if (self.directory / "broken.x").exists():
            raise OperationFailed("nothing can be opened")
        found = [path.name.removesuffix(".x").removeprefix("snapshot ") for path in self.directory.glob("snapshot *")]
        shown = [one for one in found if not (self.directory / f"hidden {one}.x").exists()]
        return [ListedSnapshot(one, CLIENT, "/data", "bed", one, None) for one in shown]

    async def verify(self, snapshots: Sequence[str]) -> None:
        self.commands.append(f"verify {len(snapshots)}")
        if (self.directory / "broken.x").exists():
            raise OperationFailed("nothing can be opened")
        for snapshot in snapshots:
            path = self.directory / f"snapshot {snapshot}.x"
            if not path.exists():
                raise OperationFailed(f"{snapshot} not found")
            for key in path.read_text().split():
                if not (self.directory / f"{key}.x").exists():
                    raise OperationPartial(f"{snapshot} needs {key}")

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        self.commands.append("restore")
        await self.verify([snapshot])
        destination.mkdir()

    async def maintain(self) -> None:
        self.commands.append("maintain")


class PlainTarget:
    """Implements `OpensStored`."""

    def __init__(self) -> None:
        self.opened: list[PlainRepository] = []

    async def open_stored(self, place: StoredPlace) -> StoredRepository:
        assert isinstance(place.storage, FileStorage)
        self.opened.append(PlainRepository(place.storage.path))
        return self.opened[-1]

    def path_in_directory(self, key: str) -> PurePosixPath:
        return PurePosixPath(f"{key}.x")

    @property
    def directory_files(self) -> Mapping[str, bytes]:
        return {"layout": b"plain"}

    def commands_to_look(self, directory: str, snapshot: str) -> Sequence[str]:
        return [f"look {directory} {snapshot}"]


def make_history(
    directory: Path,
    *writes: tuple[str, bytes | None],
    lied_from: int | None = None,
    misled_from: int | None = None,
    whole_from: int = 0,
) -> StorageHistory:
    """A history of writes one after the other: the write of number N (from 1) is applied at event 10 N, and answered at
    once."""
    contents = Contents(directory / "contents")
    found: list[Write] = []
    for number, (key, data) in enumerate(writes, start=1):
        content = None if data is None else contents.store(data)
        if content is not None:
            assert content.digest == digest_of(data or b"")
            contents.know(content)
        found.append(Write(number * 10 - 1, number * 10, number * 10 + 1, number, "someone", key, content, 0))
    size = HistorySize(len(found), contents.bytes_kept, whole_from)
    return StorageHistory(BucketPast(found, len(found) * 10 + 9), contents, size, lied_from, misled_from or lied_from)


LIVE = Expectation("", CLIENT, "/data", "no manifest", "{}", State.LIVE, 1)


def promise(snapshot: str, first_event: int, last_event: int | None = None) -> PromiseSpan:
    """The promise to keep a snapshot."""
    return PromiseSpan(replace(LIVE, operation=f"r1-{snapshot}", snapshot=snapshot), first_event, last_event)
