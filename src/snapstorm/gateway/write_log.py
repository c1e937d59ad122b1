"""The history of a bucket: every write that was applied, in order, with event numbers.

Events are counted through all that happens to a bucket: a request arrives, its effect is applied, its answer is sent.
So it can be told later what the bucket held at any event, what had been promised by then, and what was under way.

A write is committed before its answer is sent. A commit survives the end of this process at any moment. It is not
forced to the disk: a crash of the machine is not what this is for. That an answer was sent is noted together with the
next write. If that gets lost, the write counts as under way, which promises less, not more. No number of an event is
given twice, whether or not the event was written down: others write them down, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from snapstorm.gateway.contents import Content

_SCHEMA = """
CREATE TABLE IF NOT EXISTS contents (
    digest BLOB PRIMARY KEY, offset INTEGER NOT NULL, size_bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writes (
    applied INTEGER PRIMARY KEY, arrived INTEGER NOT NULL, acknowledged INTEGER, at_ns INTEGER NOT NULL,
    actor TEXT NOT NULL, key TEXT NOT NULL, digest BLOB REFERENCES contents, locked_until_ns INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS strikes (
    event INTEGER NOT NULL, effect TEXT NOT NULL, actor TEXT NOT NULL, key TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS lies (
    key TEXT PRIMARY KEY, arrived INTEGER NOT NULL, digest BLOB NOT NULL REFERENCES contents,
    at_ns INTEGER NOT NULL, locked_until_ns INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS reserved (last_event INTEGER NOT NULL);
INSERT INTO reserved SELECT 0 WHERE NOT EXISTS (SELECT * FROM reserved);
CREATE TABLE IF NOT EXISTS whole (from_event INTEGER NOT NULL);
"""
_RESERVED_AT_ONCE = 10_000
"""Numbers of events are reserved so many at a time, because most events are not written down."""
_READ_BUSY_SECONDS_MAX = 10.0


class Write(NamedTuple):
    """One change of the bucket."""

    arrived: int
    """The event of its request."""
    applied: int
    """The event from which on the bucket holds it."""
    acknowledged: int | None
    """The event of its answer; None as long as none was sent."""
    at_ns: int
    """When the object was written, by the bucket's clock; when it was deleted, if it was."""
    actor: str
    """Who asked for it."""
    key: str
    content: Content | None
    """What the object holds since; None where it was deleted."""
    locked_until_ns: int
    """Until when the object must not be deleted; 0 for not at all."""


class Strike(NamedTuple):
    """A request that a rule has changed."""

    event: int
    effect: str
    actor: str
    key: str


class HistorySize(NamedTuple):
    """How much of the past of a bucket is kept."""

    writes: int
    bytes_kept: int
    """Of all objects that it ever held, as far as they are still there."""
    whole_from: int
    """The event from which on the bucket can be seen as it was; 0 for always."""


class Lie(NamedTuple):
    """What was acknowledged and not kept."""

    arrived: int
    """The event of its request."""
    key: str
    content: Content
    """What the object should hold."""
    at_ns: int
    """When it should have been written, by the bucket's clock."""
    locked_until_ns: int


class WriteLog:
    """The log, in an SQLite database of its own. For one thread at a time. Raises sqlite3.Error as SQLite does."""

    def __init__(self, path: Path | None, *, is_read_only: bool = False) -> None:
        """Without a path, nothing of it is kept. Read-only, the log must be there, and may be written by somebody else
        meanwhile."""
        self._is_read_only = is_read_only
        if is_read_only and path is not None:
            where = f"{path.absolute().as_uri()}?mode=ro"
            self._database = sqlite3.connect(
                where, uri=True, isolation_level=None, check_same_thread=False, timeout=_READ_BUSY_SECONDS_MAX
            )
        else:
            self._database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.executescript(_SCHEMA)
        if path is not None and not is_read_only:
            path.chmod(0o600)
        (reserved,) = self._database.execute("SELECT last_event FROM reserved").fetchone()
        self._last_event: int = reserved
        self._reserved: int = reserved
        self._answered: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        try:
            if not self._is_read_only:
                self._write_answered()
                self._reserve(self._last_event)  # So that the numbers go on without a gap.
        finally:
            self._database.close()

    @property
    def last_event(self) -> int:
        """The number of the latest event. May be read by any thread."""
        return self._last_event

    def size(self) -> HistorySize:
        """How much is kept."""
        (writes,) = self._database.execute("SELECT count(*) FROM writes").fetchone()
        kept = "SELECT ifnull(sum(size_bytes), 0) FROM contents WHERE offset >= 0"
        (bytes_kept,) = self._database.execute(kept).fetchone()
        (whole_from,) = self._database.execute("SELECT ifnull(max(from_event), 0) FROM whole").fetchone()
        return HistorySize(writes, bytes_kept, whole_from)

    def drop(self, contents: Sequence[Content], *, whole_from: int) -> None:
        """Record that these bytes go, so that the bucket can be seen as it was from this event on only."""
        self._database.execute("BEGIN")
        try:
            self._database.execute("INSERT INTO whole VALUES (?)", (whole_from,))
            gone = [(content.dropped.offset, content.digest) for content in contents]
            self._database.executemany("UPDATE contents SET offset = ? WHERE digest = ?", gone)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def next_event(self) -> int:
        """The number of an event that happens now."""
        self._last_event += 1
        if self._last_event > self._reserved:
            self._reserve(self._last_event + _RESERVED_AT_ONCE)
        return self._last_event

    def append(self, write: Write) -> None:
        """Make a write durable, and the answers that were sent since the last one."""
        content = write.content
        self._database.execute("BEGIN")
        try:
            self._write_answered()
            if content is not None:
                self._database.execute("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", content)
            self._database.execute(
                "INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(write.applied, write.arrived, write.acknowledged, write.at_ns, write.actor, write.key),
                    *(None if content is None else content.digest, write.locked_until_ns),
                ),
            )
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self._answered.clear()

    def acknowledge(self, applied: int) -> None:
        """Note that the answer to the write that was applied at this event has been sent."""
        self._answered.append((self.next_event(), applied))

    def strike(self, strike: Strike) -> None:
        """Note that a rule changes a request, before it does."""
        self._database.execute("INSERT INTO strikes VALUES (?, ?, ?, ?)", strike)

    def strikes(self) -> Iterator[Strike]:
        """The requests that rules have changed, in order."""
        yield from map(Strike._make, self._database.execute("SELECT * FROM strikes ORDER BY event"))

    def put_aside(self, lie: Lie) -> None:
        """Make durable what the bucket should hold and will not."""
        self._database.execute("BEGIN")
        try:
            self._database.execute("INSERT OR IGNORE INTO contents VALUES (?, ?, ?)", lie.content)
            self._database.execute(
                "INSERT OR REPLACE INTO lies (key, arrived, digest, at_ns, locked_until_ns) VALUES (?, ?, ?, ?, ?)",
                (lie.key, lie.arrived, lie.content.digest, lie.at_ns, lie.locked_until_ns),
            )
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def drop_aside(self, key: str) -> None:
        """Note that the bucket holds of this key what it should."""
        self._database.execute("DELETE FROM lies WHERE key = ?", (key,))

    def lies(self) -> Iterator[Lie]:
        """What the bucket should hold and does not, in order."""
        rows = self._database.execute(
            "SELECT arrived, key, digest, offset, size_bytes, at_ns, locked_until_ns"
            " FROM lies JOIN contents USING (digest) ORDER BY arrived"
        )
        for arrived, key, digest, offset, size_bytes, at_ns, locked_until_ns in rows:
            yield Lie(arrived, key, Content(digest, offset, size_bytes), at_ns, locked_until_ns)

    def contents(self) -> Iterator[Content]:
        """Everything that was ever stored, also what was dropped since."""
        for row in self._database.execute("SELECT digest, offset, size_bytes FROM contents"):
            yield Content(*row)

    def writes(self, *, after: int = 0, until: int | None = None, key: str | None = None) -> Iterator[Write]:
        """The writes that were applied after one event and until another, in order; of one key, or all."""
        rows = self._database.execute(
            "SELECT arrived, applied, acknowledged, at_ns, actor, key, digest, offset, size_bytes, locked_until_ns"
            " FROM writes LEFT JOIN contents USING (digest)"
            " WHERE applied > ? AND applied <= ? AND key = ifnull(?, key) ORDER BY applied",
            (after, self._last_event if until is None else until, key),
        )
        answers = {applied: event for event, applied in self._answered}
        for arrived, applied, acknowledged, at_ns, actor, written, digest, offset, size_bytes, locked in rows:
            content = None if digest is None else Content(digest, offset, size_bytes)
            answer = answers.get(applied, acknowledged)
            yield Write(arrived, applied, answer, at_ns, actor, written, content, locked)

    def _reserve(self, last_event: int) -> None:
        """Make sure that no number up to this one is given again."""
        self._reserved = last_event
        self._database.execute("UPDATE reserved SET last_event = ?", (last_event,))

    def _write_answered(self) -> None:
        self._database.executemany("UPDATE writes SET acknowledged = ? WHERE applied = ?", self._answered)
