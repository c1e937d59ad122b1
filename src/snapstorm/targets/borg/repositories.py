"""The repositories of a testbed: where they are, how they are made, and what lies in them."""

from __future__ import annotations

import configparser
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.abilities import Blob
from snapstorm.model.protocols import TargetPlace
from snapstorm.targets.borg.answers import Answers, blob_id
from snapstorm.targets.borg.command import Actor, Borg, local, make_private
from snapstorm.targets.borg.parameters import Layout, chosen, layout_of

SHARED_NAME = "shared"
_ID = "id"
"""The file that tells the repositories of a testbed from all others."""
_UNFINISHED = ".new"
_DATA, _LOCK = "data", "lock.exclusive"
_SEPARATOR = "::"
_COMMIT_BYTES = 17
"""Of a segment that holds its head and a commit."""


@dataclass(frozen=True)
class Repositories:
    """All repositories of one testbed: one for each client, or one for all."""

    place: TargetPlace
    borg: Borg

    @property
    def directory(self) -> Path:
        return self.place.repository

    def open(self) -> str:
        """Make the directory of a new testbed. Returns what tells the repositories from all others. Raises
        HarnessError."""
        if _SEPARATOR in str(self.directory):
            raise HarnessError(f"borg can't have {_SEPARATOR} in the path of a repository, as in {self.directory}")
        file = self.directory / _ID
        try:
            if self.place.is_new and not self._was_begun(file):
                make_private(self.directory)
                new = file.with_suffix(_UNFINISHED)
                new.write_text(f"{self.place.testbed} {secrets.token_hex(16)}")
                new.replace(file)
            return file.read_text().strip()
        except OSError as error:
            raise HarnessError(f"the repositories in {self.directory} can't be opened: {error.strerror}") from error

    def _was_begun(self, file: Path) -> bool:
        """Whether a killed run has begun to make the repositories of this testbed. Raises HarnessError if somebody
        else's files are there."""
        found = {path.name for path in self.directory.iterdir()} if self.directory.exists() else set[str]()
        if file.name in found and file.read_text().startswith(f"{self.place.testbed} "):
            return True
        if found - {file.with_suffix(_UNFINISHED).name}:
            raise HarnessError(f"{self.directory} is not empty, so no new repository can be made there")
        return False

    def name_for(self, client: str) -> str:
        """The name of the repository that this client uses."""
        return client if layout_of(self.place) is Layout.PRIVATE else SHARED_NAME

    def passphrase(self, name: str) -> str:
        return self.place.secrets.get(f"repository {name}")

    def names(self) -> list[str]:
        """Of those that there are."""
        try:
            found = [path.name for path in self.directory.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in found if not name.endswith(_UNFINISHED))

    def operator(self, name: str) -> Actor:
        """Who works straight on a repository, as nobody's client."""
        directory = self.place.server / "operator" / name
        return Actor(f"operator/{name}", directory, local(self.directory / name), self.passphrase(name))

    async def make(self, name: str) -> None:
        """Make a repository, unless it is there. One that a killed run has begun is made anew. Raises HarnessError."""
        path = self.directory / name
        if path.exists():
            return
        unfinished = path.with_name(f"{name}{_UNFINISHED}")
        remove_tree(unfinished)
        maker = Actor(
            f"operator/{name}", self.place.server / "operator" / name, local(unfinished), self.passphrase(name)
        )
        completed = await self.borg.create_repository(maker, chosen(self.place, "encryption"))
        if completed.exit_code != 0 or completed.timed_out:
            raise HarnessError(f"can't make a repository: {Answers(name).explain(completed, 'init', OperationFailed)}")
        unfinished.rename(path)

    def segments(self) -> Iterator[Blob]:
        """The files that hold what is in archives, in the order of their ids.

        Not those of a transaction that is not committed: borg still writes to them. Nor those that hold nothing but a
        commit: without the last one borg drops the whole transaction (measured, 1.4.5).
        """
        for name in self.names():
            committed = self._committed(name)
            found = (path for path in (self.directory / name / _DATA).glob("*/*") if path.name.isdecimal())
            for number, path in sorted((int(path.name), path) for path in found):
                try:
                    blob = Blob(blob_id(name, path.name), path, path.stat().st_size)
                except FileNotFoundError:
                    continue  # Just compacted.
                if number <= committed and blob.size_bytes > _COMMIT_BYTES:
                    yield blob

    def _committed(self, name: str) -> int:
        """The number of the last segment that is committed; its index bears it."""
        numbers = (path.suffix.removeprefix(".") for path in (self.directory / name).glob("index.*"))
        return max((int(number) for number in numbers if number.isdecimal()), default=-1)

    def strays(self) -> Iterator[str]:
        """In words, what lies where segments are and is none, or in the wrong directory."""
        for name in self.names():
            per_directory = self._segments_per_directory(name)
            for path in sorted((self.directory / name / _DATA).glob("*/*")):
                where = path.relative_to(self.directory)
                if not path.name.isdecimal():
                    yield f"{where} is no segment"
                elif path.parent.name != str(int(path.name) // per_directory):
                    yield f"segment {where} lies in the wrong directory"

    def _segments_per_directory(self, name: str) -> int:
        config = configparser.ConfigParser(interpolation=None)
        config.read(self.directory / name / "config")
        return config.getint("repository", "segments_per_dir", fallback=1000)

    def locked(self) -> list[str]:
        """The repositories that bear a lock."""
        return [name for name in self.names() if (self.directory / name / _LOCK).exists()]
