"""What the simulated backup system keeps: blobs by digest, one row for each snapshot, and who may use it.

It lives on disk although it is called memory, so that a testbed that is used again, or a snapstorm that is killed,
finds what was acknowledged. A snapshot's row appears after its blobs: what is listed is whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import blake3
import msgspec

from snapstorm.errors import HarnessError, NoSpaceError, OperationFailed, SnapstormError, TestbedError
from snapstorm.filesystem.descriptors import explain_os_error
from snapstorm.model.abilities import Blob, SnapshotMarks
from snapstorm.model.action_results import ListedSnapshot, Particulars
from snapstorm.model.manifest import EntryType, Xattrs

UNFINISHED = ".tmp"
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
    """Where a link points; the number of a device; what all names of a file share, if they are kept as one."""
    xattrs: Xattrs = ()


class Stored(msgspec.Struct, frozen=True):
    """One stored snapshot."""

    id: str
    number: int
    """Snapshots are numbered in the order in which they were begun."""
    client: str
    source: str
    testbed: str
    operation: str
    items: tuple[Item, ...]
    began_us: int | None = None
    """None for one that an older snapstorm has stored, and so is the end."""
    ended_us: int | None = None

    @property
    def particulars(self) -> Particulars:
        return Particulars(
            began_us=self.began_us,
            ended_us=self.ended_us,
            files=sum(item.type is EntryType.FILE for item in self.items),
            directories=sum(item.type is EntryType.DIRECTORY for item in self.items),
            size_bytes=sum(item.size for item in self.items),
            symlinks=sum(item.type is EntryType.SYMLINK for item in self.items),
            failed_entries=0,
        )


_SCHEMA = """
    CREATE TABLE IF NOT EXISTS snapshots (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        source TEXT NOT NULL,
        testbed TEXT NOT NULL,
        operation TEXT NOT NULL,
        particulars BLOB,
        items BLOB NOT NULL -- Last, because it is long: a listing reads all the others and stops here.
    );
    CREATE INDEX IF NOT EXISTS snapshots_by_client ON snapshots (client, number);
"""

_encoder = msgspec.msgpack.Encoder()
_items_decoder = msgspec.msgpack.Decoder(tuple[Item, ...])
_particulars_decoder = msgspec.msgpack.Decoder(Particulars)


class Store:
    """The repository of the simulated backup system. Each method is one step: nothing happens in the midst of it.

    Snapshots are rows, read when they are asked for, so that a hundred thousand of them take no memory.
    """

    def __init__(self, directory: Path, *, is_new: bool, checks_blobs: bool = True) -> None:
        self._directory = directory
        self._blobs = directory / "blobs"
        self._checks_blobs = checks_blobs
        self._pins: list[set[str]] = []
        if is_new:
            self._make()
        self._snapshots = self._open_snapshots()
        self.id, self.users = self._load()
        self._number: int = self._snapshots.execute("SELECT coalesce(max(number), 0) FROM snapshots").fetchone()[0]

    def close(self) -> None:
        """Close the files that are kept open."""
        self._snapshots.close()

    def __iter__(self) -> Iterator[Stored]:
        """The snapshots of all clients, oldest first."""
        return self._read("ORDER BY number")

    def get(self, snapshot: str) -> Stored | None:
        return next(self._read("WHERE id = ?", snapshot), None)

    def of(self, client: str, source: str | None = None) -> list[Stored]:
        """The snapshots of a client, of one source or of all, oldest first."""
        return list(
            self._read("WHERE client = ? AND (? IS NULL OR source = ?) ORDER BY number", client, source, source)
        )

    def listing(self, client: str | None, *, is_own: bool = True) -> Iterator[ListedSnapshot]:
        """The snapshots of this client, or of all others, or (None) of all, as clients are shown them, oldest first."""
        whose = "? IS NULL" if client is None else "client = ?" if is_own else "client != ?"
        rows = self._snapshots.execute(
            f"SELECT id, client, source, testbed, operation, particulars FROM snapshots WHERE {whose} ORDER BY number",
            (client,),
        )
        return (
            ListedSnapshot(
                snapshot,
                sys.intern(owner),  # The same text once for all: there may be a hundred thousand.
                sys.intern(source),
                testbed and sys.intern(testbed),
                operation,
                incomplete=None,
                particulars=stored and _particulars_decoder.decode(stored),
            )
            for snapshot, owner, source, testbed, operation, stored in rows
        )

    def marks(self) -> dict[str, SnapshotMarks]:
        """Whose each snapshot is, by its id."""
        rows = self._snapshots.execute("SELECT id, client, testbed FROM snapshots")
        return {snapshot: SnapshotMarks(client, testbed) for snapshot, client, testbed in rows}

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def keep(self, snapshot: Stored) -> None:
        """Keep a snapshot: from now on it is listed."""
        self._change(
            "INSERT OR REPLACE INTO snapshots (number, id, client, source, testbed, operation, items, particulars)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            snapshot.number,
            snapshot.id,
            snapshot.client,
            snapshot.source,
            snapshot.testbed,
            snapshot.operation,
            _encoder.encode(snapshot.items),
            _encoder.encode(snapshot.particulars),
        )

    def drop(self, snapshot: Stored) -> None:
        """Forget a snapshot; its blobs stay until they are collected."""
        self._change("DELETE FROM snapshots WHERE id = ?", snapshot.id)

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
        path = self._blobs / digest
        if not path.exists():
            self._write(path, content)
        return digest

    def blob(self, digest: str) -> bytes:
        """The content with this digest. Raises OperationFailed when it is gone, or is not what it was."""
        try:
            content = (self._blobs / digest).read_bytes()
        except FileNotFoundError as error:
            raise OperationFailed(f"blob {digest} is not there", blobs=[digest]) from error
        except OSError as error:
            raise explain_os_error(os.fsencode(self._blobs / digest), error) from error
        if self._checks_blobs and blake3.blake3(content).hexdigest() != digest:
            raise OperationFailed(f"blob {digest} is damaged", blobs=[digest])
        return content

    def is_used(self, digest: str) -> bool:
        """Whether a snapshot refers to this blob."""
        return any(item.digest == digest for snapshot in self for item in snapshot.items)

    def blobs(self) -> list[Blob]:
        """All blobs, in the order of their digests."""
        names = sorted(name for name in os.listdir(self._blobs) if name.isalnum())
        return [Blob(name, self._blobs / name, (self._blobs / name).stat().st_size) for name in names]

    def drop_blob(self, digest: str) -> None:
        _unlink(self._blobs / digest)

    def collect(self, *, is_safe: bool = True) -> None:
        """Delete the blobs that neither a snapshot refers to nor, if it is to be safe, one that is being taken."""
        pins = self._pins if is_safe else []
        used = {item.digest for snapshot in self for item in snapshot.items}.union(*pins)
        for name in os.listdir(self._blobs):
            if name not in used and not name.startswith("."):  # Others write there under such names.
                self.drop_blob(name)

    def tidy(self) -> None:
        """Delete what a killed process was still writing, and shorten the database's log."""
        for name in os.listdir(self._blobs):
            if name.endswith(UNFINISHED):
                self.drop_blob(name)
        self._change("PRAGMA wal_checkpoint(TRUNCATE)")

    def set_users(self, users: Iterable[str]) -> None:
        """Let these users in, and no other."""
        self._write(self._directory / "users", msgspec.json.encode(sorted(users)))
        self.users = frozenset(users)

    def _make(self) -> None:
        if self._directory.exists() and any(self._directory.iterdir()):
            raise HarnessError(f"{self._directory} is not empty, so no new repository can be made there")
        self._blobs.mkdir(parents=True, mode=0o700)
        self._write(self._directory / "id", secrets.token_hex(16).encode())
        self._write(self._directory / "users", msgspec.json.encode([]))

    def _open_snapshots(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._directory / "snapshots.sqlite3", isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            # The process may be killed at any moment; the machine need not be.
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(_SCHEMA)
            if "particulars" not in {row[1] for row in connection.execute("PRAGMA table_info(snapshots)")}:
                connection.execute("ALTER TABLE snapshots ADD COLUMN particulars BLOB")
        except sqlite3.Error as error:
            raise TestbedError(f"the repository {self._directory} can't be opened: {error}") from error
        return connection

    def _load(self) -> tuple[str, frozenset[str]]:
        try:
            users = msgspec.json.decode((self._directory / "users").read_bytes(), type=frozenset[str])
            return (self._directory / "id").read_text(), users
        except (OSError, msgspec.DecodeError) as error:
            raise TestbedError(f"the repository {self._directory} can't be opened: {error}") from error

    def _read(self, which: str, *values: object) -> Iterator[Stored]:
        rows = self._snapshots.execute(
            f"SELECT id, number, client, source, testbed, operation, items, particulars FROM snapshots {which}", values
        )
        for snapshot, number, client, source, testbed, operation, items, stored in rows:
            when = Particulars() if stored is None else _particulars_decoder.decode(stored)
            yield Stored(
                id=snapshot,
                number=number,
                client=client,
                source=source,
                testbed=testbed,
                operation=operation,
                items=_items_decoder.decode(items),
                began_us=when.began_us,
                ended_us=when.ended_us,
            )

    def _change(self, statement: str, *values: object) -> None:
        try:
            self._snapshots.execute(statement, values)
        except sqlite3.Error as error:
            if "readonly" in str(error):
                raise OperationFailed(f"the storage is read-only: {self._directory}") from error
            if "full" in str(error):
                raise NoSpaceError(f"the repository {self._directory} is full: free some space") from error
            raise HarnessError(f"the repository {self._directory} can't be written: {error}") from error

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(path.name + UNFINISHED)
        try:
            temporary.write_bytes(content)
            temporary.rename(path)
        except OSError as error:
            raise _explained(path, error) from error


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: OSError) -> SnapstormError:
    """Storage that takes no writes is a trouble of the target's, and of none of ours."""
    if error.errno == errno.EROFS:
        return OperationFailed(f"the storage is read-only: {path}")
    return explain_os_error(os.fsencode(path), error)
