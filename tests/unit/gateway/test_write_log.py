"""A log opens again after any end, and tells what was there at any event."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.gateway.bucket import Bucket
from snapstorm.gateway.s3 import LOCKED, DeleteObject, GetObject, PutObject, PutRetention, S3Error
from snapstorm.gateway.storage import Clocks, Request, Storage, opened
from snapstorm.gateway.write_log import WriteLog

DAY_NS = 86_400 * 10**9


def at(now_ns: int) -> Clocks:
    return Clocks(lambda: now_ns, time.monotonic)


def put(storage: Storage, key: str, data: bytes, locked_until_ns: int = 0) -> int:
    asked = PutObject(key, locked_until_ns, is_only_if_absent=False, is_chunked=False)
    applied = storage.answer(Request(asked, "someone", data, storage.log.next_event())).applied
    assert applied is not None
    storage.log.acknowledge(applied)
    return applied


def delete(storage: Storage, key: str) -> None:
    storage.answer(Request(DeleteObject(key), "someone", b"", storage.log.next_event()))


def read(storage: Storage, key: str) -> bytes:
    return storage.answer(Request(GetObject(key, None, has_body=True), "someone", b"", 0)).answer.body


def keys_at(storage: Storage, event: int) -> list[str]:
    return list(Bucket(storage.log.writes(until=event)).page("").objects)


def test_what_was_there_is_told_for_each_event(tmp_path: Path) -> None:
    with opened(tmp_path, at(5)) as storage:
        first = put(storage, "a", b"one")
        second = put(storage, "b", b"two")
        delete(storage, "a")
        assert keys_at(storage, first - 1) == []
        assert keys_at(storage, first) == ["a"]
        assert keys_at(storage, second) == ["a", "b"]
        assert keys_at(storage, storage.log.last_event) == ["b"]


def test_no_number_of_an_event_is_given_twice(tmp_path: Path) -> None:
    """Also where nothing of an event was written down, and the log was not closed."""
    log = WriteLog(tmp_path / "log.sqlite3")
    given = [log.next_event() for _ in range(25_000)]
    again = WriteLog(tmp_path / "log.sqlite3")
    given.append(again.next_event())
    assert given == sorted(set(given))
    with again, log:
        pass


def test_answers_are_known_at_once_and_after_the_end(tmp_path: Path) -> None:
    with opened(tmp_path, at(5)) as storage:
        put(storage, "a", b"one")
        assert [write.acknowledged for write in storage.log.writes()] == [3]
    with opened(tmp_path, at(5)) as storage:
        assert [(write.arrived, write.applied, write.acknowledged) for write in storage.log.writes()] == [(1, 2, 3)]
        assert storage.log.next_event() == 4
        assert read(storage, "a") == b"one"


def test_equal_bytes_are_kept_once(tmp_path: Path) -> None:
    with opened(tmp_path, at(5)) as storage:
        put(storage, "a", b"x" * 1000)
    with opened(tmp_path, at(5)) as storage:
        put(storage, "b", b"x" * 1000)
        assert (tmp_path / "contents").stat().st_size == 1000
        assert read(storage, "a") == read(storage, "b") == b"x" * 1000


def test_bytes_without_a_row_are_overwritten(tmp_path: Path) -> None:
    with opened(tmp_path, at(5)) as storage:
        put(storage, "a", b"one")
    with (tmp_path / "contents").open("ab") as file:
        file.write(b"of a write that was not committed")
    with opened(tmp_path, at(5)) as storage:
        put(storage, "b", b"two")
        assert (read(storage, "a"), read(storage, "b")) == (b"one", b"two")


def test_contents_that_are_too_short_are_not_taken_for_the_whole(tmp_path: Path) -> None:
    with opened(tmp_path, at(5)) as storage:
        put(storage, "a", b"one")
    (tmp_path / "contents").write_bytes(b"on")
    with opened(tmp_path, at(5)) as storage, pytest.raises(OSError, match="shorter"):
        read(storage, "a")


def test_a_locked_object_is_not_deleted_until_its_time_has_come(tmp_path: Path) -> None:
    now_ns = [0]
    with opened(tmp_path, Clocks(lambda: now_ns[0], time.monotonic)) as storage:
        put(storage, "a", b"one", locked_until_ns=DAY_NS)
        with pytest.raises(S3Error) as refused:
            delete(storage, "a")
        assert refused.value == LOCKED
        until = b"<Retention><RetainUntilDate>1970-01-03T00:00:00Z</RetainUntilDate></Retention>"
        storage.answer(Request(PutRetention("a"), "someone", until, storage.log.next_event()))
        now_ns[0] = DAY_NS + 1
        with pytest.raises(S3Error):
            delete(storage, "a")
    with opened(tmp_path, at(2 * DAY_NS)) as storage:
        found = storage.bucket.get("a")
        assert found is not None
        assert (found.at_ns, found.locked_until_ns) == (0, 2 * DAY_NS)
        delete(storage, "a")
        assert len(storage.bucket) == 0


WRITER = """
import sys
from pathlib import Path
from snapstorm.gateway.s3 import PutObject
from snapstorm.gateway.storage import Clocks, Request, opened

with opened(Path(sys.argv[1]), Clocks(lambda: 1, lambda: 1.0)) as storage:
    for number in range(1_000_000):
        asked = PutObject(str(number), 0, is_only_if_absent=False, is_chunked=False)
        request = Request(asked, "someone", b"%d" % number * 100, storage.log.next_event())
        storage.log.acknowledge(storage.answer(request).applied)
        print(number, flush=True)
"""


def test_a_killed_process_leaves_all_that_it_answered(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        deadline = time.monotonic() + GIVE_UP_SECONDS
        answered = 0
        while answered < 50 and time.monotonic() < deadline:
            answered = int(writer.stdout.readline())
        writer.kill()
        answered = max([answered, *map(int, writer.stdout.read().split())])
    with opened(tmp_path, at(1)) as storage:
        for number in range(answered + 1):
            assert read(storage, str(number)) == b"%d" % number * 100
        # The answer to the latest write may not be noted; each earlier one is.
        assert sum(write.acknowledged is None for write in storage.log.writes()) <= 1


def test_with_versions_a_deletion_hides_what_is_locked(tmp_path: Path) -> None:
    """As in S3: who deletes is not refused, and what was locked is in the history."""
    with opened(tmp_path, at(5), has_versions=True) as storage:
        event = put(storage, "a", b"one", locked_until_ns=DAY_NS)
        delete(storage, "a")
        assert storage.bucket.get("a") is None
        assert keys_at(storage, event) == ["a"]


def lie(storage: Storage, key: str, data: bytes, kept: bytes | None) -> None:
    asked = PutObject(key, 0, is_only_if_absent=False, is_chunked=False)
    storage.keep_instead(Request(asked, "someone", data, storage.log.next_event()), kept)


def test_what_was_lied_about_outlasts_any_end(tmp_path: Path) -> None:
    """It is put right once, as of when it should have been written; what was written or deleted since stays so."""
    with opened(tmp_path, at(5)) as storage:
        for key in ("half", "none", "rewritten", "deleted"):
            lie(storage, key, b"whole", None if key == "none" else b"wh")
        put(storage, "rewritten", b"newer")
        delete(storage, "deleted")
        assert read(storage, "half") == b"wh"
    with opened(tmp_path, at(9)) as storage:
        assert storage.put_right("who heals") == 2
        assert storage.put_right("who heals") == 0
        assert {key: read(storage, key) for key in storage.bucket.keys} == {
            "half": b"whole", "none": b"whole", "rewritten": b"newer"
        }  # fmt: skip
        found = storage.bucket.get("none")
        assert found is not None
        assert found.at_ns == 5
    with opened(tmp_path, at(9)) as storage:
        assert storage.put_right("who heals") == 0
        assert read(storage, "half") == b"whole"


def test_an_object_that_was_never_kept_can_be_deleted(tmp_path: Path) -> None:
    """It does not come back then."""
    with opened(tmp_path, at(5)) as storage:
        lie(storage, "none", b"whole", None)
        delete(storage, "none")
        assert storage.put_right("who heals") == 0
        assert storage.bucket.get("none") is None


def test_nothing_before_an_event_is_hidden(tmp_path: Path) -> None:
    """However recent it is."""
    with opened(tmp_path, at(5)) as storage:
        put(storage, "a", b"one")
        event = storage.log.last_event
        put(storage, "b", b"two")
        assert storage.before(60).keys == ()
        assert storage.before(60, since_event=event).keys == ("a",)
