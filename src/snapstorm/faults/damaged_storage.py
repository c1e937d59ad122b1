"""Faults of storage: damaged, lost and unfinished files of the repository; and a server that can't write as it should.

What damages is reversible: the original is put aside, durably, before it is touched, and put back afterwards.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from snapstorm.errors import TargetError
from snapstorm.faults.fault import Fault, FaultKind, NothingToBreak, Record, Scene
from snapstorm.faults.processes import server_pid
from snapstorm.model.abilities import Blob, InProcess, Restartable, StoredInFiles
from snapstorm.runtime.threads import run_file_work

_FILES_SHARE = 0.8
_UNFINISHED_MAX = 8
_UNFINISHED_BYTES_MAX = 1 << 20


class StorageFault(Fault):
    """Strikes the directory in which the repository is stored."""

    kind = FaultKind.STORAGE
    needs = "a repository in a directory"

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        super().__init__(scene, draws)
        self.details: Mapping[str, Any] = {}
        """What was recorded, so that it can be healed; empty while nothing is broken."""

    async def heal(self) -> None:
        if self.details:
            await run_file_work(self.heal_left_over, self.details)

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        if not isinstance(scene.server, StoredInFiles) or scene.server.storage_directory is None:
            return "the repository is not in a directory here"
        return None

    @property
    def stored(self) -> StoredInFiles:
        assert isinstance(self.scene.server, StoredInFiles)
        return self.scene.server

    @property
    def directory(self) -> Path:
        directory = self.stored.storage_directory
        assert directory is not None
        return directory


class _DamagesBlob(StorageFault):
    """Damages one file that holds what clients have backed up."""

    hold_seconds = (1.0, 4.0)
    is_damage = True
    blob: Blob | None = None

    async def inject(self, record: Record) -> None:
        blobs = [blob for blob in await self.stored.content_blobs() if blob.size_bytes > 0]
        if not blobs:
            raise NothingToBreak("nothing is stored yet")
        blob = self._draw(blobs)
        aside = self.scene.directory / f"{blob.id}.{self.draws.getrandbits(32):08x}"
        details = {"blob": blob.id, "path": str(blob.path), "aside": str(aside), **self.plan(blob)}
        try:
            await run_file_work(_put_aside, blob.path, aside)
        except FileNotFoundError as error:
            raise NothingToBreak("the file was deleted before it could be damaged") from error
        self.blob, self.details = blob, details
        record(details)
        try:
            await run_file_work(self.damage, blob.path)
        except FileNotFoundError as error:
            self.details = {}  # Nobody wants it back.
            aside.unlink(missing_ok=True)
            raise NothingToBreak("the file was deleted before it could be damaged") from error
        # What a cache holds would hide it. Clients are at work, so theirs stay; the probe has none.
        await self.scene.server.forget_caches([])

    def _draw(self, blobs: Sequence[Blob]) -> Blob:
        """Mostly one with much in it: many small ones hold what nothing needs any more."""
        of_files = [blob for blob in blobs if blob.holds_files]
        if of_files and self.draws.random() < _FILES_SHARE:
            return self.draws.choices(of_files, [blob.size_bytes for blob in of_files])[0]
        return self.draws.choice(blobs)

    async def judge(self) -> None:
        await self.scene.judge.probe_damage()

    async def heal(self) -> None:
        await super().heal()
        if self.details:
            await self.scene.server.forget_caches([])

    def excuses(self, error: TargetError) -> bool:
        """Only what fails because of this very file, as far as the target can say."""
        return self.blob is not None and self.blob.id in error.blobs

    @classmethod
    def heal_left_over(cls, details: Mapping[str, Any]) -> str | None:
        if not details or not _put_back(details):
            return None
        return f"put {details['blob']} back"

    def plan(self, blob: Blob) -> Mapping[str, Any]:
        """Draw what exactly will be done to the file."""
        return {}

    @abstractmethod
    def damage(self, path: Path) -> None:
        """Do it."""


class LoseBlob(_DamagesBlob):
    """A file that holds what clients have backed up is missing."""

    key = "lose-blob"
    weight = 2

    def damage(self, path: Path) -> None:
        path.unlink()


class FlipByte(_DamagesBlob):
    """One byte of a file that holds what clients have backed up is another one."""

    key = "flip-byte"
    weight = 2
    _offset = 0

    def plan(self, blob: Blob) -> Mapping[str, Any]:
        self._offset = self.draws.randrange(blob.size_bytes)
        return {"offset": self._offset}

    def damage(self, path: Path) -> None:
        # A file of its own: whoever has the old one open goes on reading what was there.
        content = bytearray(path.read_bytes())
        content[self._offset] ^= 0xFF
        _replace(path, bytes(content))


class TruncateBlob(_DamagesBlob):
    """A file that holds what clients have backed up ends too early."""

    key = "truncate-blob"
    weight = 2
    _size_bytes = 0

    def plan(self, blob: Blob) -> Mapping[str, Any]:
        self._size_bytes = self.draws.randrange(blob.size_bytes)
        return {"size_bytes": self._size_bytes}

    def damage(self, path: Path) -> None:
        _replace(path, path.read_bytes()[: self._size_bytes])


class UnfinishedFiles(StorageFault):
    """Files lie among the stored ones that look as if the target had not finished writing them."""

    key = "unfinished-files"
    hold_seconds = (1.0, 4.0)

    async def inject(self, record: Record) -> None:
        blobs = await self.stored.content_blobs()
        if not blobs:
            raise NothingToBreak("nothing is stored yet")
        beside = self.draws.sample(blobs, min(len(blobs), _UNFINISHED_MAX))
        suffix = self.stored.unfinished_suffix
        self.details = {"paths": [f"{blob.path}{suffix}{self.draws.getrandbits(64):016x}" for blob in beside]}
        record(self.details)
        await run_file_work(self._write)

    def _write(self) -> None:
        for path in self.details["paths"]:
            Path(path).write_bytes(self.draws.randbytes(self.draws.randrange(_UNFINISHED_BYTES_MAX)))

    @classmethod
    def heal_left_over(cls, details: Mapping[str, Any]) -> str | None:
        for path in details.get("paths", ()):
            Path(path).unlink(missing_ok=True)
        return None


class _LimitsServer(Fault):
    """Lowers a limit that the system sets the server's process."""

    kind = FaultKind.STORAGE
    needs = "a server process of our own on Linux"
    ability = InProcess
    lacking = "there is no server process of our own"
    resource_number: int

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        super().__init__(scene, draws)
        self._before: tuple[int, int] | None = None
        self._pid = 0

    @classmethod
    def why_not_here(cls) -> str | None:
        return None if hasattr(resource, "prlimit") else "this system has no prlimit"

    async def inject(self, record: Record) -> None:
        self._pid = server_pid(self.scene)
        limit = self.draw_limit()
        record({"limit": limit})
        hard = resource.prlimit(self._pid, self.resource_number)[1]
        self._before = resource.prlimit(self._pid, self.resource_number, (limit, hard))

    async def heal(self) -> None:
        if self._before is not None:
            with suppress(ProcessLookupError):  # It has ended, perhaps of this.
                resource.prlimit(self._pid, self.resource_number, self._before)
        if isinstance(self.scene.server, Restartable):
            await self.scene.server.start_server()

    @abstractmethod
    def draw_limit(self) -> int:
        """The limit, in the unit of its resource."""


class FailingWrites(_LimitsServer):
    """The server can't write files beyond some size: each longer write fails."""

    key = "failing-writes"
    weight = 3
    resource_number = resource.RLIMIT_FSIZE
    hold_seconds = (1.0, 5.0)

    def draw_limit(self) -> int:
        return self.draws.choice((0, 4096, 65_536, 1 << 20, 8 << 20))


class FewOpenFiles(_LimitsServer):
    """The server can open hardly any more files or connections."""

    key = "few-open-files"
    weight = 2
    resource_number = resource.RLIMIT_NOFILE
    hold_seconds = (1.0, 5.0)

    def draw_limit(self) -> int:
        held = len(os.listdir(f"/proc/{self._pid}/fd"))
        return held + self.draws.randint(0, 4)


def _put_aside(path: Path, aside: Path) -> None:
    """Copy with all times, durably."""
    aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy2(path, aside)
    with aside.open("rb") as file:
        os.fsync(file.fileno())


def _put_back(details: Mapping[str, Any]) -> bool:
    """Put what was put aside in its place again. Whether there was anything to do."""
    aside, path = Path(details["aside"]), Path(details["path"])
    if not aside.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.healed")
    shutil.copy2(aside, new)
    new.replace(path)
    aside.unlink()
    return True


def _replace(path: Path, content: bytes) -> None:
    """Put other content in a file's place, with the same times."""
    new = path.with_name(f".{path.name}.damaged")
    new.write_bytes(content)
    shutil.copystat(path, new)
    new.replace(path)
