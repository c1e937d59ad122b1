"""What the simulated backup system keeps: blobs by digest, one small file for each snapshot, and who may use it.

It lives on disk although it is called memory, so that a testbed that is used again, or a snapstorm that is killed,
finds what was acknowledged. A snapshot's file appears by a rename, after its blobs: what is listed is whole.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import blake3
import msgspec

from snapstorm.errors import HarnessError, OperationFailed, TestbedError
from snapstorm.filesystem.descriptors import explain_os_error
from snapstorm.model.manifest import EntryType
from snapstorm.model.protocols import ListedSnapshot

_UNFINISHED = ".tmp"
"""How the names of files end that are being written."""


class Item(msgspec.Struct, frozen=True):
    """One entry of a stored tree; a file's content is the blob with its digest."""

    path: bytes
    type: EntryType
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    digest: str = ""
    size: int = 0
    target: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class Stored(msgspec.Struct, frozen=True, dict=True):
    """One stored snapshot."""

    id: str
    number: int
    """Snapshots are numbered in the order in which they were begun."""
    client: str
    source: str
    testbed: str
    operation: str
    items: tuple[Item, ...]

    @functools.cached_property
    def listing(self) -> ListedSnapshot:
        """The snapshot as a client is shown it."""
        return ListedSnapshot(self.id, self.client, self.source, self.testbed, self.operation, incomplete=None)


class Store:
    """The repository of the simulated backup system. Each method is one step: nothing happens in the midst of it."""

    def __init__(self, directory: Path, *, is_new: bool) -> None:
        self._directory = directory
        self._snapshots: dict[str, Stored] = {}
        self._by_client: dict[str, dict[str, Stored]] = {}
        self._pins: list[set[str]] = []
        if is_new:
            self._make()
        self.id, self.users = self._load()
        self._number = max((snapshot.number for snapshot in self), default=0)

    def __iter__(self) -> Iterator[Stored]:
        """The snapshots of all clients."""
        return iter(self._snapshots.values())

    def get(self, snapshot: str) -> Stored | None:
        return self._snapshots.get(snapshot)

    def of(self, client: str, source: str | None = None) -> list[Stored]:
        """The snapshots of a client, of one source or of all, oldest first."""
        mine = [one for one in self._by_client.get(client, {}).values() if source in (None, one.source)]
        return sorted(mine, key=lambda snapshot: snapshot.number)

    def newest(self) -> Stored | None:
        """The snapshot that was begun last, whoever asked for it."""
        return max(self, key=lambda snapshot: snapshot.number, default=None)

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def keep(self, snapshot: Stored) -> None:
        """Keep a snapshot: from now on it is listed."""
        self._write(self._directory / "snapshots" / snapshot.id, msgspec.msgpack.encode(snapshot))
        self._remember(snapshot)

    def drop(self, snapshot: Stored) -> None:
        """Forget a snapshot; its blobs stay until they are collected."""
        if self._snapshots.pop(snapshot.id, None) is not None:
            del self._by_client[snapshot.client][snapshot.id]
            _unlink(self._directory / "snapshots" / snapshot.id)

    @contextmanager
    def pinned(self) -> Iterator[set[str]]:
        """The digests that a snapshot refers to while it is being taken: their blobs are not collected."""
        pins: set[str] = set()
        self._pins.append(pins)
        try:
            yield pins
        finally:
            # By identity: two snapshots that are being taken may well refer to the same blobs.
            self._pins = [others for others in self._pins if others is not pins]

    def add_blob(self, content: bytes, pins: set[str]) -> str:
        """Store content once, pin it, and return its digest."""
        digest = blake3.blake3(content).hexdigest()
        pins.add(digest)
        path = self._blob_path(digest)
        if not path.exists():
            self._write(path, content)
        return digest

    def blob(self, digest: str) -> bytes:
        """The content with this digest. Raises OperationFailed when it is gone, or is not what it was."""
        try:
            content = self._blob_path(digest).read_bytes()
        except FileNotFoundError as error:
            raise OperationFailed(f"blob {digest} is not there") from error
        except OSError as error:
            raise explain_os_error(os.fsencode(self._blob_path(digest)), error) from error
        if blake3.blake3(content).hexdigest() != digest:
            raise OperationFailed(f"blob {digest} is damaged")
        return content

    def drop_blob(self, digest: str) -> None:
        _unlink(self._blob_path(digest))

    def collect(self) -> None:
        """Delete the blobs that neither a snapshot refers to nor one that is being taken, and unfinished files."""
        used = {item.digest for snapshot in self for item in snapshot.items}.union(*self._pins)
        for name in os.listdir(self._directory / "blobs"):
            if name not in used:
                self.drop_blob(name)

    def set_users(self, users: Iterable[str]) -> None:
        """Let these users in, and no other."""
        self._write(self._directory / "users", msgspec.json.encode(sorted(users)))
        self.users = frozenset(users)

    def _make(self) -> None:
        if self._directory.exists() and any(self._directory.iterdir()):
            raise HarnessError(f"{self._directory} is not empty, so no new repository can be made there")
        for name in ("blobs", "snapshots"):
            (self._directory / name).mkdir(parents=True, mode=0o700)
        self._write(self._directory / "id", secrets.token_hex(16).encode())
        self._write(self._directory / "users", msgspec.json.encode([]))

    def _load(self) -> tuple[str, frozenset[str]]:
        try:
            for snapshot in sorted(self._read_snapshots(), key=lambda one: one.number):
                self._remember(snapshot)
            users = msgspec.json.decode((self._directory / "users").read_bytes(), type=frozenset[str])
            return (self._directory / "id").read_text(), users
        except (OSError, msgspec.DecodeError) as error:
            raise TestbedError(f"the repository {self._directory} can't be opened: {error}") from error

    def _read_snapshots(self) -> Iterator[Stored]:
        decoder = msgspec.msgpack.Decoder(Stored)
        for path in (self._directory / "snapshots").iterdir():
            if path.suffix == _UNFINISHED:  # A death between writing and renaming left it.
                path.unlink()
            else:
                yield decoder.decode(path.read_bytes())

    def _remember(self, snapshot: Stored) -> None:
        self._snapshots[snapshot.id] = snapshot
        self._by_client.setdefault(snapshot.client, {})[snapshot.id] = snapshot

    def _blob_path(self, digest: str) -> Path:
        return self._directory / "blobs" / digest

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(path.name + _UNFINISHED)
        try:
            temporary.write_bytes(content)
            temporary.rename(path)
        except OSError as error:
            raise explain_os_error(os.fsencode(path), error) from error


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(os.fsencode(path), error) from error
