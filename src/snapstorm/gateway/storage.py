"""The storage that the gateway offers: a bucket, its history, and the bytes, kept in one directory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from snapstorm.gateway.bucket import Bucket
from snapstorm.gateway.contents import Content, Contents
from snapstorm.gateway.history import History, Write
from snapstorm.gateway.s3 import (
    LOCKED,
    NO_SUCH_KEY,
    Answer,
    Asked,
    AskForSettings,
    DeleteObject,
    GetObject,
    ListObjects,
    PutObject,
    PutRetention,
    S3Error,
    listing_answer,
    object_answer,
    put_answer,
    retention_ns,
    settings_answer,
    span_of,
    without_chunks,
)

BUCKET = "snapstorm"
"""The name of the only bucket."""


class Storage:
    """Answers what is asked of the bucket. Every change is in the history before it is answered."""

    def __init__(self, history: History, contents: Contents, now_ns: Callable[[], int]) -> None:
        for content in history.contents():
            contents.know(content)
        self.history = history
        self.bucket = Bucket(history.writes())
        self._contents = contents
        self._now_ns = now_ns

    def answer(self, asked: Asked, actor: str, body: bytes, arrived: int) -> tuple[Answer, int | None]:
        """The answer, and the event at which it was applied where something was changed.

        Raises S3Error for what is refused, OSError and sqlite3.Error where the disk fails; nothing is changed then.
        """
        match asked:
            case AskForSettings():
                return settings_answer(asked), None
            case ListObjects():
                page = self.bucket.page(
                    asked.prefix, delimiter=asked.delimiter, after=asked.after, entries_max=asked.entries_max
                )
                return listing_answer(asked, page, BUCKET), None
            case GetObject():
                return self._read(asked), None
            case PutObject():
                return self._put(asked, actor, body, arrived)
            case DeleteObject():
                return self._delete(asked, actor, arrived)
            case PutRetention():
                return self._lock(asked, actor, body, arrived)

    def _read(self, asked: GetObject) -> Answer:
        found = self.bucket.get(asked.key)
        if found is None:
            raise NO_SUCH_KEY
        first, count = span = span_of(asked, found.content.size_bytes)
        body = self._contents.read(found.content, first, count) if asked.has_body else b""
        return object_answer(found, span, body)

    def _put(self, asked: PutObject, actor: str, body: bytes, arrived: int) -> tuple[Answer, int]:
        if asked.is_only_if_absent and self.bucket.get(asked.key) is not None:
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        content = self._contents.store(without_chunks(body) if asked.is_chunked else body)
        applied = self._apply(asked.key, content, actor, arrived, asked.locked_until_ns)
        return put_answer(content), applied

    def _delete(self, asked: DeleteObject, actor: str, arrived: int) -> tuple[Answer, int | None]:
        found = self.bucket.get(asked.key)
        if found is None:
            return Answer(204), None
        if found.locked_until_ns > self._now_ns():
            raise LOCKED
        return Answer(204), self._apply(asked.key, None, actor, arrived, 0)

    def _lock(self, asked: PutRetention, actor: str, body: bytes, arrived: int) -> tuple[Answer, int]:
        found = self.bucket.get(asked.key)
        if found is None:
            raise NO_SUCH_KEY
        until_ns = retention_ns(body)
        if until_ns < found.locked_until_ns:
            raise LOCKED
        write = Write(arrived, self.history.next_event(), None, found.at_ns, actor, asked.key, found.content, until_ns)
        return Answer(), self._commit(write)

    def _apply(self, key: str, content: Content | None, actor: str, arrived: int, locked_until_ns: int) -> int:
        applied = self.history.next_event()
        return self._commit(Write(arrived, applied, None, self._now_ns(), actor, key, content, locked_until_ns))

    def _commit(self, write: Write) -> int:
        self.history.append(write)
        if write.content is not None:
            self._contents.know(write.content)
        self.bucket.apply(write)
        return write.applied


@contextmanager
def opened(directory: Path, now_ns: Callable[[], int]) -> Iterator[Storage]:
    """The storage in a directory, made if it is not there. `now_ns` is the clock that dates objects."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        history = stack.enter_context(History(directory / "history.db"))
        contents = stack.enter_context(Contents(directory / "contents"))
        yield Storage(history, contents, now_ns)
