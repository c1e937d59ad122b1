"""The storage that the gateway offers: a bucket, the log of its writes, and the bytes, kept in one directory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from snapstorm.errors import HarnessError
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
from snapstorm.gateway.write_log import Lie, Write, WriteLog
from snapstorm.runtime.clock import Clock

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

    @classmethod
    def following(cls, clock: Clock) -> Self:
        """The clocks of a run whose time comes from this clock."""
        return cls(clock.virtual_ns, clock.monotonic_seconds, clock.virtual_ns)

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
    event: int
    key: str
    found: StoredObject | None


class Storage:
    """Does what is asked of the bucket. Every change is in the log before it is answered."""

    def __init__(
        self,
        directory: Path,
        log: WriteLog,
        contents: Contents,
        clocks: Clocks,
        *,
        has_versions: bool = False,
        bytes_max: int | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        """With versions, as S3 has them wherever it locks objects, a deletion only hides what is locked: the history
        has it. Without, it is refused. `bytes_max`: how much may be kept of what the bucket holds and ever held. Beyond
        it, bytes that it holds no more are dropped, those first that it has held no more for longest. `bucket`: what
        it holds, if that is not what the log says."""
        self._has_versions = has_versions
        for content in log.contents():
            contents.know(content)
        self.directory = directory
        self.log = log
        self.bucket = Bucket(log.writes()) if bucket is None else bucket
        self._contents = contents
        self._clocks = clocks
        self._lies = {lie.key: lie for lie in log.lies()}
        """What was acknowledged and not kept, or torn, by key."""
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

    @property
    def monotonic_seconds(self) -> Callable[[], float]:
        """Real time, for durations."""
        return self._clocks.monotonic_seconds

    def before(
        self, seconds: float, *, since_event: int = 0, is_shown: Callable[[str], bool] = lambda _: False
    ) -> Bucket:
        """The bucket as it was so many seconds ago, at most `RECENT_SECONDS_MAX`, or later, at this event; and as it is
        now, of keys that are shown."""
        bucket, since_seconds = self.bucket.copy(), self._clocks.monotonic_seconds() - seconds
        for before in reversed(self._recent):
            if before.at_seconds < since_seconds or before.event <= since_event:
                break
            if not is_shown(before.key):
                bucket.put(before.key, before.found)
        return bucket

    def overwritten(self, key: str) -> StoredObject | None:
        """What an object was before it was last written; None if there was nothing."""
        written = [write for write in self.log.writes(key=key) if write.content and not write.content.is_dropped]
        return Bucket(written[:-1]).get(key)

    def keep_instead(self, request: Request, kept: bytes | None) -> int | None:
        """Keep these bytes in place of those that are to be stored, or none. Returns the event at which they are.

        What should have been stored is put aside, durably, for `put_right`. Raises S3Error for what is refused.
        """
        asked = request.asked
        assert isinstance(asked, PutObject), "only what is to be stored can be kept otherwise"
        self._refuse_if_there(asked)
        content = self._contents.store(request.body)
        lie = Lie(request.arrived, asked.key, content, self._clocks.now_ns(), asked.locked_until_ns)
        self.log.put_aside(lie)
        self._contents.know(content)
        self._lies[asked.key] = lie
        if kept is None:
            return None
        found = StoredObject(self._contents.store(kept), lie.at_ns, lie.locked_until_ns)
        return self._change(request, asked.key, found)

    def put_right(self, actor: str) -> int:
        """Store what was not kept as it was sent, as of the time when it should have been, unless its key was written
        or deleted since. Returns how many objects that were."""
        lies = list(self._lies.values())
        for lie in lies:
            request = Request(DeleteObject(lie.key), actor, b"", self.log.next_event())
            self._change(request, lie.key, StoredObject(lie.content, lie.at_ns, lie.locked_until_ns))
            self._forget_lie(lie.key)
        return len(lies)

    def _forget_lie(self, key: str) -> None:
        if self._lies.pop(key, None) is not None:
            self.log.drop_aside(key)

    def _read(self, asked: GetObject, bucket: Bucket) -> Answer:
        found = bucket.get(asked.key)
        if found is None:
            raise NO_SUCH_KEY
        first, count = span = span_of(asked, found.content.size_bytes)
        body = self._contents.read(found.content, first, count) if asked.has_body else b""
        return object_answer(found, span, body)

    def _put(self, asked: PutObject, request: Request) -> Answered:
        self._refuse_if_there(asked)
        content = self._contents.store(without_chunks(request.body) if asked.is_chunked else request.body)
        found = StoredObject(content, self._clocks.now_ns(), asked.locked_until_ns)
        applied = self._change(request, asked.key, found)
        self._forget_lie(asked.key)
        return Answered(put_answer(content.digest), applied)

    def _refuse_if_there(self, asked: PutObject) -> None:
        if asked.is_only_if_absent and self.bucket.get(asked.key) is not None:
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")

    def _delete(self, key: str, request: Request) -> Answered:
        found = self.bucket.get(key)
        is_locked = found is not None and found.locked_until_ns > self._clocks.now_ns()
        if is_locked and not self._has_versions:
            raise LOCKED
        applied = None if found is None else self._change(request, key, None)
        self._forget_lie(key)
        return Answered(Answer(204), applied)

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
        self._recent.append(_Before(now_seconds, applied, key, self.bucket.get(key)))
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
        aside = {lie.content.digest for lie in self._lies.values()}
        for content, ended in _no_longer_held(self.log.writes()):
            if content.digest in aside:
                continue
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


def put_right_in(directory: Path, actor: str) -> int:
    """Put right, in a directory that nobody serves, what was not kept there as it was sent. Returns how many objects
    that were. Raises HarnessError if the directory can't be used."""
    clocks = Clocks(lambda: 0, lambda: 0.0)  # What was to be stored is dated already.
    try:
        with opened(directory, clocks) as storage:
            return storage.put_right(actor)
    except (OSError, sqlite3.Error) as error:
        raise HarnessError(f"the gateway's directory {directory} can't be used: {error}") from error


@contextmanager
def opened(
    directory: Path, clocks: Clocks, *, has_versions: bool = False, bytes_max: int | None = None
) -> Iterator[Storage]:
    """The storage in a directory, made if it is not there. For the rest see `Storage`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(WriteLog(directory / LOG_NAME))
        contents = stack.enter_context(Contents(directory / CONTENTS_NAME))
        yield Storage(directory, log, contents, clocks, has_versions=has_versions, bytes_max=bytes_max)
