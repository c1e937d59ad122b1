"""What the simulated backup system keeps: blobs by digest, one small file for each snapshot, and who may use it.

It lives on disk although it is called memory, so that a testbed that is used again, or a snapstorm that is killed,
finds what was acknowledged. A snapshot's file appears by a rename, after its blobs: what is listed is whole.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import blake3
import msgspec

from snapstorm.errors import HarnessError, OperationFailed, TestbedError
from snapstorm.model.manifest import EntryType, path_as_text


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


class Stored(msgspec.Struct, frozen=True):
    """One stored snapshot."""

    id: str
    number: int
    """Snapshots are numbered in the order in which they were taken."""
    client: str
    source: str
    testbed: str
    operation: str
    items: tuple[Item, ...]


class Store:
    """The repository of the simulated backup system."""

    def __init__(self, directory: Path, *, is_new: bool) -> None:
        self._directory = directory
        self.snapshots: dict[str, Stored] = {}
        self.creating = 0
        """Snapshots that are being taken now, whose blobs nothing refers to yet."""
        if is_new:
            for name in ("blobs", "snapshots"):
                (directory / name).mkdir(parents=True, mode=0o700)
            self._write(directory / "id", secrets.token_hex(16).encode())
            self._write(directory / "users", msgspec.json.encode([]))
        self.id, self.users = self._load()
        self._number = max((snapshot.number for snapshot in self.snapshots.values()), default=0)

    def _load(self) -> tuple[str, set[str]]:
        try:
            for path in (self._directory / "snapshots").iterdir():
                if path.suffix:  # A death between writing and renaming left it.
                    continue
                snapshot = msgspec.msgpack.decode(path.read_bytes(), type=Stored)
                self.snapshots[snapshot.id] = snapshot
            users = msgspec.json.decode((self._directory / "users").read_bytes(), type=set[str])
            return (self._directory / "id").read_text(), users
        except (OSError, msgspec.DecodeError) as error:
            raise TestbedError(f"the repository {self._directory} can't be opened: {error}") from error

    def take(self, source: Path, *, client: str, testbed: str, operation: str) -> Stored:
        """Read a tree, store its blobs, and return the snapshot, which is not kept yet."""
        self._number += 1
        try:
            items = tuple(self._read_tree(os.fsencode(source)))
        except OSError as error:
            raise HarnessError(f"{source} can't be read: {error}") from error
        return Stored(secrets.token_hex(16), self._number, client, path_as_text(source), testbed, operation, items)

    def keep(self, snapshot: Stored) -> None:
        """Keep a snapshot: from now on it is listed."""
        self._write(self._directory / "snapshots" / snapshot.id, msgspec.msgpack.encode(snapshot))
        self.snapshots[snapshot.id] = snapshot

    def drop(self, snapshot: str) -> None:
        """Forget a snapshot; its blobs stay until they are collected."""
        if self.snapshots.pop(snapshot, None) is not None:
            (self._directory / "snapshots" / snapshot).unlink(missing_ok=True)

    def of(self, client: str, source: str | None = None) -> list[Stored]:
        """The snapshots of a client, of one source or of all, oldest first."""
        mine = (one for one in self.snapshots.values() if one.client == client and source in (None, one.source))
        return sorted(mine, key=lambda snapshot: snapshot.number)

    def blob(self, digest: str) -> bytes:
        """The content with this digest. Raises OperationFailed when it is gone."""
        try:
            return (self._directory / "blobs" / digest).read_bytes()
        except OSError as error:
            raise OperationFailed(f"blob {digest} is not there") from error

    def drop_blob(self, digest: str) -> None:
        (self._directory / "blobs" / digest).unlink(missing_ok=True)

    def collect(self) -> None:
        """Delete the blobs that no snapshot refers to, unless one is being taken that may be about to."""
        if self.creating:
            return
        used = {item.digest for snapshot in self.snapshots.values() for item in snapshot.items}
        for path in (self._directory / "blobs").iterdir():
            if path.name not in used:
                path.unlink(missing_ok=True)

    def set_users(self, users: set[str]) -> None:
        self.users = users
        self._write(self._directory / "users", msgspec.json.encode(sorted(users)))

    def _read_tree(self, root: bytes) -> Iterator[Item]:
        waiting = [b""]
        while waiting:
            path = waiting.pop()
            full = os.path.join(root, path) if path else root
            item = self._read_item(full, path)
            if item is None:
                continue
            yield item
            if item.type is EntryType.DIRECTORY:
                waiting.extend(os.path.join(path, name) if path else name for name in sorted(os.listdir(full)))

    def _read_item(self, full: bytes, path: bytes) -> Item | None:
        status = os.lstat(full)
        common = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)
        if stat.S_ISLNK(status.st_mode):
            return Item(path, EntryType.SYMLINK, *common, target=os.readlink(full))
        if stat.S_ISDIR(status.st_mode):
            return Item(path, EntryType.DIRECTORY, *common, xattrs=_read_xattrs(full))
        if not stat.S_ISREG(status.st_mode):
            return None
        with open(full, "rb") as file:
            content = file.read()
        digest = self.add_blob(content)
        return Item(path, EntryType.FILE, *common, digest, len(content), xattrs=_read_xattrs(full))

    def add_blob(self, content: bytes) -> str:
        """Store content once and return its digest."""
        digest = blake3.blake3(content).hexdigest()
        path = self._directory / "blobs" / digest
        if not path.exists():
            self._write(path, content)
        return digest

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
        temporary.write_bytes(content)
        temporary.rename(path)


def write_tree(items: tuple[Item, ...], contents: dict[bytes, bytes], destination: Path) -> None:
    """Write a tree, the times of directories last, because writing below one changes them."""
    root = os.fsencode(destination)
    directories: list[tuple[bytes, Item]] = []
    for item in items:
        full = os.path.join(root, item.path) if item.path else root
        if item.type is EntryType.DIRECTORY:
            os.mkdir(full, 0o700)
            directories.append((full, item))
            continue
        if item.type is EntryType.SYMLINK:
            os.symlink(item.target, full)
        else:
            with open(full, "xb") as file:
                file.write(contents[item.path])
        _set_metadata(full, item)
    for full, item in reversed(directories):
        _set_metadata(full, item)


def _set_metadata(full: bytes, item: Item) -> None:
    is_link = item.type is EntryType.SYMLINK
    if os.geteuid() == 0:
        os.chown(full, item.uid, item.gid, follow_symlinks=False)
    if not is_link:
        for name, value in item.xattrs:
            os.setxattr(full, name, value)
        os.chmod(full, item.mode)
    os.utime(full, ns=(item.mtime_ns, item.mtime_ns), follow_symlinks=False)


def _read_xattrs(full: bytes) -> tuple[tuple[bytes, bytes], ...]:
    try:
        names = [os.fsencode(name) for name in os.listxattr(full, follow_symlinks=False)]
        return tuple(
            (name, os.getxattr(full, name, follow_symlinks=False))
            for name in sorted(names)
            if name.startswith(b"user.")
        )
    except OSError:  # The file system has none.
        return ()
