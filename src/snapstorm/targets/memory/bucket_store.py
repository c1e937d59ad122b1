"""A store whose blobs are objects of a bucket that is reached over S3: what the storage does wrong shows in it.

Each blob is an object with a name of its own, and a row says which. So an object is written once, whatever comes of an
answer, and a deletion that is done late takes nothing that is still needed. The rows are on a disk of ours.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import blake3

from snapstorm.errors import OperationFailed
from snapstorm.model.abilities import Blob
from snapstorm.model.location import S3Storage
from snapstorm.targets.memory.store import Store

_TRIES = 3
_SECONDS_MAX = 30.0
_OK, _NO_CONTENT, _MISSING = 200, 204, 404
_KEY = re.compile(rb"<Key>([^<]+)</Key>")
_OBJECTS = (
    "CREATE TABLE IF NOT EXISTS objects (digest TEXT PRIMARY KEY, key TEXT NOT NULL, size_bytes INTEGER NOT NULL)"
)


class Credulity(NamedTuple):
    """What a store with a planted defect believes of its storage."""

    checks_blobs: bool = True
    """What it reads is held against its digest."""
    checks_answers: bool = True
    """What is refused is asked for again, and has failed in the end."""
    checks_presence: bool = True
    """What is not there is missing, and not empty."""


CAREFUL = Credulity()


class BucketStore(Store):
    """Keeps blobs in a bucket, and all else in a directory."""

    def __init__(
        self, directory: Path, bucket: S3Storage, access_key: str, *, is_new: bool, credulity: Credulity = CAREFUL
    ) -> None:
        super().__init__(directory, is_new=is_new, checks_blobs=credulity.checks_blobs)
        self._credulity = credulity
        self._bucket = bucket
        self._signed = {"authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/, Signature=none"}
        self._connection = http.client.HTTPConnection(urlsplit(bucket.endpoint).netloc, timeout=_SECONDS_MAX)
        self._snapshots.execute(_OBJECTS)

    def close(self) -> None:
        self._connection.close()
        super().close()

    def add_blob(self, content: bytes, pins: set[str]) -> str:
        digest = blake3.blake3(content).hexdigest()
        pins.add(digest)
        if self._key_of(digest) is None:
            key = f"blob-{digest}-{secrets.token_hex(8)}"
            try:
                self._ask("PUT", key, content)
            except OperationFailed:
                if self._credulity.checks_answers:
                    raise
            self._change("INSERT INTO objects VALUES (?, ?, ?)", digest, key, len(content))
        return digest

    def blob(self, digest: str) -> bytes:
        key = self._key_of(digest)
        status, content = (_MISSING, b"") if key is None else self._ask("GET", key)
        if status == _MISSING:
            if self._credulity.checks_presence:
                raise OperationFailed(f"blob {digest} is not there", blobs=[digest])
            return b""
        if self._checks_blobs and blake3.blake3(content).hexdigest() != digest:
            raise OperationFailed(f"blob {digest} is damaged", blobs=[digest])
        return content

    def blobs(self) -> list[Blob]:
        """None: they are no files."""
        return []

    def drop_blob(self, digest: str) -> None:
        key = self._key_of(digest)
        if key is not None:
            self._change("DELETE FROM objects WHERE digest = ?", digest)
            self._ask("DELETE", key)

    def collect(self, *, is_safe: bool = True) -> None:
        """Delete the blobs that nothing needs, and the objects that are no blobs, which a failure has left."""
        pins = self._pins if is_safe else []
        used = {item.digest for snapshot in self for item in snapshot.items}.union(*pins)
        known = dict(self._snapshots.execute("SELECT key, digest FROM objects"))
        for key in list(self._listed()):
            if key not in known:
                self._ask("DELETE", key)
        for digest in known.values():
            if digest not in used:
                self.drop_blob(digest)

    def tidy(self) -> None:
        self._change("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def bytes_total(self) -> int:
        """What all blobs hold together."""
        (total,) = self._snapshots.execute("SELECT coalesce(sum(size_bytes), 0) FROM objects").fetchone()
        return int(total)

    def _key_of(self, digest: str) -> str | None:
        found = self._snapshots.execute("SELECT key FROM objects WHERE digest = ?", (digest,)).fetchone()
        return None if found is None else str(found[0])

    def _listed(self) -> Iterator[str]:
        last = ""
        while True:
            _, body = self._ask("GET", f"?list-type=2&start-after={last}")
            keys = [key.decode() for key in _KEY.findall(body)]
            yield from keys
            if b"<IsTruncated>true<" not in body or not keys:
                return
            last = keys[-1]

    def _ask(self, method: str, key: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Ask the storage, several times if need be. Raises OperationFailed."""
        why = ""
        for _ in range(_TRIES if self._credulity.checks_answers else 1):
            try:
                self._connection.request(method, f"/{self._bucket.bucket}/{key}", body, self._signed)
                answer = self._connection.getresponse()
                content = answer.read()
            except (http.client.HTTPException, OSError) as error:
                why = type(error).__name__
                with contextlib.suppress(OSError):
                    self._connection.close()
                continue
            if answer.status in {_OK, _NO_CONTENT} or (answer.status == _MISSING and method == "GET"):
                return answer.status, content
            why = f"status {answer.status}"
        raise OperationFailed(f"the storage refuses {method} of {key}: {why}")
