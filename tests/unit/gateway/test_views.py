"""Views of the past are buckets of their own: readable over S3, with a clock, and written beside the history."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.unit.gateway.test_write_log import at, delete, put
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.gateway.kept_history import StorageHistory, has_history, opened_history, size_of_history
from snapstorm.gateway.storage import opened
from snapstorm.gateway.views import OverlaidContents, ServedViews, serving_views
from snapstorm.runtime.clock import NS_PER_SECOND, Clock, VirtualClock


@pytest.fixture
def history(tmp_path: Path) -> Iterator[StorageHistory]:
    """`a` was written, then `b`, then `a` was deleted."""
    with opened(tmp_path / "gateway", at(5)) as storage:
        put(storage, "a", b"one")
        put(storage, "b", b"two")
        delete(storage, "a")
    with opened_history(tmp_path / "gateway") as found:
        yield found


@pytest.fixture
def views() -> Iterator[ServedViews]:
    with serving_views() as served:
        yield served


def ask(views: ServedViews, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(views.endpoint).netloc, timeout=GIVE_UP_SECONDS)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_each_view_shows_its_own_time(history: StorageHistory, views: ServedViews, tmp_path: Path) -> None:
    past, base = history.past, history.contents
    with (
        OverlaidContents(tmp_path / "one", base) as one,
        OverlaidContents(tmp_path / "two", base) as two,
        views.showing("view-1", past.bucket_after(2), one, Clock()),
        views.showing("view-2", past.bucket_after(3), two, Clock()),
    ):
        assert ask(views, "GET", "/view-1/a") == (200, b"one")
        assert ask(views, "GET", "/view-2/a")[0] == 404
        assert ask(views, "GET", "/view-2/b") == (200, b"two")
        assert ask(views, "GET", "/view-3/b")[0] == 404
    assert ask(views, "GET", "/view-1/a")[0] == 404
    views.check()


def test_what_is_written_stays_in_the_view(history: StorageHistory, views: ServedViews, tmp_path: Path) -> None:
    """Another view, and the history, don't change, not even where the same bytes are written."""
    past, base = history.past, history.contents
    with OverlaidContents(tmp_path / "one", base) as one, views.showing("v-1", past.bucket_after(2), one, Clock()):
        assert ask(views, "PUT", "/v-1/a", b"three")[0] == 200
        assert ask(views, "PUT", "/v-1/c", b"two")[0] == 200
        assert ask(views, "DELETE", "/v-1/b")[0] == 204
        assert [ask(views, "GET", f"/v-1/{key}")[0] for key in "abc"] == [200, 404, 200]
        assert ask(views, "GET", "/v-1/a") == (200, b"three")
    with OverlaidContents(tmp_path / "two", base) as two, views.showing("v-1", past.bucket_after(2), two, Clock()):
        assert ask(views, "GET", "/v-1/a") == (200, b"one")
        assert ask(views, "GET", "/v-1/c")[0] == 404
    views.check()


def test_a_view_has_its_own_clock(history: StorageHistory, views: ServedViews, tmp_path: Path) -> None:
    """It tells the time, and stamps what is written."""
    clock = VirtualClock(Clock(), 10**9 * NS_PER_SECOND)
    with (
        OverlaidContents(tmp_path / "one", history.contents) as contents,
        views.showing("v-1", history.past.bucket_after(1), contents, clock) as storage,
    ):
        url = views.clock_url("v-1", 20)
        assert json.loads(ask(views, "GET", url.removeprefix(views.endpoint))[1])["time"].startswith("2001-09-09T01:46")
        clock.advance(86_400 * NS_PER_SECOND)
        assert json.loads(ask(views, "GET", url.removeprefix(views.endpoint))[1])["time"].startswith("2001-09-10T01:46")
        ask(views, "PUT", "/v-1/z", b"later")
        assert storage.bucket.objects["z"].at_ns // NS_PER_SECOND // 86_400 == (10**9 + 86_400) // 86_400


def test_what_can_not_be_read_is_no_defect_of_who_reads(
    history: StorageHistory, views: ServedViews, tmp_path: Path
) -> None:
    (tmp_path / "gateway" / "contents").write_bytes(b"")
    with (
        OverlaidContents(tmp_path / "one", history.contents) as contents,
        views.showing("v-1", history.past.bucket_after(2), contents, Clock()),
    ):
        assert ask(views, "GET", "/v-1/a")[0] == 500
        with pytest.raises(Exception, match="could not be served"):
            views.check()


def test_room_is_made_by_dropping_what_is_held_no_more(tmp_path: Path) -> None:
    """The oldest first. The bucket itself stays whole, and the log says from when on its past is."""
    data = [bytes([number]) * 100_000 for number in range(6)]
    with opened(tmp_path, at(5), bytes_max=350_000) as storage:
        applied = [put(storage, "kept", data[0]), *(put(storage, "a", one) for one in data[1:])]
        assert storage.log.size().bytes_kept <= 350_000
    assert has_history(tmp_path)
    size = size_of_history(tmp_path)
    assert size is not None
    assert size.writes == 6
    assert applied[1] < size.whole_from <= applied[4]
    room_bytes = (tmp_path / "contents").stat().st_blocks * 512
    assert room_bytes < 500_000
    with opened_history(tmp_path) as history:
        for count, event in enumerate(applied, start=1):
            if event < size.whole_from:
                continue
            bucket = history.past.bucket_after(count)
            for key, number in (("kept", 0), ("a", count - 1)):
                content = bucket.objects[key].content
                assert history.contents.read(content, 0, content.size_bytes) == data[number]
        gone = history.past.bucket_after(2).objects["a"].content
        with pytest.raises(OSError, match="dropped"):
            history.contents.read(gone, 0, gone.size_bytes)


def test_bytes_that_were_dropped_can_be_written_again(tmp_path: Path) -> None:
    with opened(tmp_path, at(5), bytes_max=250_000) as storage:
        for number in (1, 2, 3, 4, 1):
            put(storage, "a", bytes([number]) * 100_000)
    with opened_history(tmp_path) as history:
        content = history.past.bucket_after(5).objects["a"].content
        assert history.contents.read(content, 0, content.size_bytes) == b"\1" * 100_000


def test_a_bucket_larger_than_the_bound_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path, at(5), bytes_max=1) as storage:
        for number in range(5):
            put(storage, f"key {number}", bytes([number]) * 1000)
        assert storage.log.size() == (5, 5000, 0)


def test_without_a_gateway_there_is_no_history(tmp_path: Path) -> None:
    assert size_of_history(tmp_path) is None
    assert not has_history(tmp_path)
