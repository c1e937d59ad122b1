"""The storage that the gateway offers: a bucket, the log of its writes, and the bytes, kept in one directory."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from snapstorm.gateway.bucket import Bucket, StoredObject
from snapstorm.gateway.contents import Content, Contents
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
from snapstorm.gateway.write_log import Write, WriteLog

BUCKET = "snapstorm"
"""The name of the only bucket."""

LOG_NAME = "log.sqlite3"
CONTENTS_NAME = "contents"

RECENT_SECONDS_MAX = 60.0
"""How far back `before` can look."""

_ROOM_MADE = 0.9
"""Down to this part of the bound, so that it is not reached again at the next write."""


@dataclass(frozen=True)
class Clocks:
    """The clocks of a storage, and of those who use it."""

    now_ns: Callable[[], int]
    """Dates objects. May be virtual."""
    monotonic_seconds: Callable[[], float]
    """Real time, for durations."""
    now_ns_of: Callable[[str], int] | None = None
    """The time of an actor's own clock, by his name; None if all of them are as the one that dates objects."""

    def of_actor(self, actor: str) -> int:
        """What this actor's own clock says, in nanoseconds since 1970."""
        return self.now_ns() if self.now_ns_of is None else self.now_ns_of(actor)


class Request(NamedTuple):
    """What somebody asks."""

    asked: Asked
    actor: str
    body: bytes
    arrived: int
    """The event of its arrival."""


class Answered(NamedTuple):
    """What comes of a request."""

    answer: Answer
    applied: int | None = None
    """The event at which it changed something; None if it did not."""


class _Before(NamedTuple):
    at_seconds: float
    key: str
    found: StoredObject | None


class Storage:
    """Does what is asked of the bucket. Every change is in the log before it is answered."""

    def __init__(
        self,
        log: WriteLog,
        contents: Contents,
        clocks: Clocks,
        *,
        bytes_max: int | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        """`bucket`: what it holds, if that is not what the log says. `bytes_max`: how much may be kept of what it holds
        and ever held. Beyond it, bytes that it holds no more are dropped, those first that it has held no more for
        longest."""
        for content in log.contents():
            contents.know(content)
        self.log = log
        self.bucket = Bucket(log.writes()) if bucket is None else bucket
        self._contents = contents
        self._clocks = clocks
        self._recent: deque[_Before] = deque()
        """What recent changes have changed."""
        self._bytes_max = bytes_max
        self._looks_above_bytes = bytes_max or 0
        self._make_room()

    def answer(self, request: Request, *, shown: Bucket | None = None) -> Answered:
        """Do what is asked. `shown` is read and listed in place of the bucket as it is.

        Raises S3Error for what is refused, OSError and sqlite3.Error where the disk fails; nothing is changed then.
        """
        bucket = self.bucket if shown is None else shown
        match request.asked:
            case AskForSettings() as asked:
                return Answered(settings_answer(asked))
            case ListObjects() as asked:
                page = bucket.page(
                    asked.prefix, delimiter=asked.delimiter, after=asked.after, entries_max=asked.entries_max
                )
                return Answered(listing_answer(asked, page, BUCKET))
            case GetObject() as asked:
                return Answered(self._read(asked, bucket))
            case PutObject() as asked:
                return self._put(asked, request)
            case DeleteObject(key=key):
                return self._delete(key, request)
            case PutRetention(key=key):
                return self._lock(key, request)

    def before(self, seconds: float, *, is_shown: Callable[[str], bool] = lambda _: False) -> Bucket:
        """The bucket as it was so many seconds ago, at most `RECENT_SECONDS_MAX`; or later, of keys that are shown."""
        bucket, since_seconds = self.bucket.copy(), self._clocks.monotonic_seconds() - seconds
        for before in reversed(self._recent):
            if before.at_seconds < since_seconds:
                break
            if not is_shown(before.key):
                bucket.put(before.key, before.found)
        return bucket

    def overwritten(self, key: str) -> StoredObject | None:
        """What an object was before it was last written; None if there was nothing."""
        written = [write for write in self.log.writes(key=key) if write.content and not write.content.is_dropped]
        return Bucket(written[:-1]).get(key)

    def _read(self, asked: GetObject, bucket: Bucket) -> Answer:
        found = bucket.get(asked.key)
        if found is None:
            raise NO_SUCH_KEY
        first, count = span = span_of(asked, found.content.size_bytes)
        body = self._contents.read(found.content, first, count) if asked.has_body else b""
        return object_answer(found, span, body)

    def _put(self, asked: PutObject, request: Request) -> Answered:
        if asked.is_only_if_absent and self.bucket.get(asked.key) is not None:
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        content = self._contents.store(without_chunks(request.body) if asked.is_chunked else request.body)
        found = StoredObject(content, self._clocks.now_ns(), asked.locked_until_ns)
        return Answered(put_answer(content.digest), self._change(request, asked.key, found))

    def _delete(self, key: str, request: Request) -> Answered:
        found = self.bucket.get(key)
        if found is None:
            return Answered(Answer(204))
        if found.locked_until_ns > self._clocks.now_ns():
            raise LOCKED
        return Answered(Answer(204), self._change(request, key, None))

    def _lock(self, key: str, request: Request) -> Answered:
        found = self.bucket.get(key)
        if found is None:
            raise NO_SUCH_KEY
        until_ns = retention_ns(request.body)
        if until_ns < found.locked_until_ns:
            raise LOCKED
        return Answered(Answer(), self._change(request, key, found._replace(locked_until_ns=until_ns)))

    def _change(self, request: Request, key: str, found: StoredObject | None) -> int:
        """Let the key hold this object, or none. Returns the event at which it does."""
        applied = self.log.next_event()
        content, at_ns, locked_until_ns = found or (None, self._clocks.now_ns(), 0)
        write = Write(request.arrived, applied, None, at_ns, request.actor, key, content, locked_until_ns)
        self.log.append(write)
        if content is not None:
            self._contents.know(content)
        now_seconds = self._clocks.monotonic_seconds()
        while self._recent and self._recent[0].at_seconds < now_seconds - RECENT_SECONDS_MAX:
            self._recent.popleft()
        self._recent.append(_Before(now_seconds, key, self.bucket.get(key)))
        self.bucket.put(key, found)
        self._make_room()
        return applied

    def _make_room(self) -> None:
        """Keep to the bound, as far as that can be done without what the bucket holds."""
        kept_bytes = self._contents.bytes_kept
        if self._bytes_max is None or kept_bytes <= self._looks_above_bytes:
            return
        dropped: list[Content] = []
        whole_from = 0
        for content, ended in _no_longer_held(self.log.writes()):
            if kept_bytes <= self._bytes_max * _ROOM_MADE:
                break
            dropped.append(content)
            kept_bytes -= content.size_bytes
            whole_from = ended
        # Where all that is left is held, looking again at each write would find nothing.
        self._looks_above_bytes = max(self._bytes_max, int(kept_bytes / _ROOM_MADE))
        if dropped:
            self.log.drop(dropped, whole_from=whole_from)
        gone = {content.digest for content in dropped}
        kept = [before for before in self._recent if before.found is None or before.found.content.digest not in gone]
        self._recent = deque(kept)
        for content in dropped:
            self._contents.drop(content)


def _no_longer_held(writes: Iterable[Write]) -> list[tuple[Content, int]]:
    """The contents that no key holds any more, each with the event at which the last one ceased to, in that order."""
    held: dict[str, Content] = {}
    ended: dict[Content, int] = {}
    for write in writes:
        before = held.pop(write.key, None)
        if before is not None:
            ended.pop(before, None)
            ended[before] = write.applied
        if write.content is not None and not write.content.is_dropped:
            held[write.key] = write.content
    still = {content.digest for content in held.values()}
    return [(content, event) for content, event in ended.items() if content.digest not in still]


@contextmanager
def opened(directory: Path, clocks: Clocks, *, bytes_max: int | None = None) -> Iterator[Storage]:
    """The storage in a directory, made if it is not there. `bytes_max` as in `Storage`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(WriteLog(directory / LOG_NAME))
        contents = stack.enter_context(Contents(directory / CONTENTS_NAME))
        yield Storage(log, contents, clocks, bytes_max=bytes_max)
