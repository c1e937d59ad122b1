"""The gateway tells each actor the time, by the clock that dates what is stored."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.unit.gateway.asking import KEY, SIGNED, ask

from snapstorm.gateway.actor_clocks import clock_answer
from snapstorm.gateway.app import Served, serving
from snapstorm.gateway.storage import Clocks

SECOND_NS = 1_000_000_000
AHEAD_NS = {"client-2@snapstorm": 5 * SECOND_NS, "a/b?": 7 * SECOND_NS}


def told(gateway: Served, actor: str, valid_seconds: float) -> dict[str, object]:
    """What a program is answered that asks at the address for this actor; nobody has let it in."""
    url = urlsplit(gateway.clock_url(actor, valid_seconds))
    status, body, headers = ask(gateway, "GET", f"{url.path}?{url.query}", headers={}, bucket="")
    assert (status, headers["content-type"]) == (200, "application/json")
    answer: dict[str, object] = json.loads(body)
    return answer


def test_each_actor_is_told_its_own_time(tmp_path: Path) -> None:
    """To the nanosecond, with how long that is valid; whatever the actor is called."""
    clocks = Clocks(lambda: 1, time.monotonic, lambda actor: 1_640_995_200 * SECOND_NS + 1 + AHEAD_NS.get(actor, 0))
    with serving(tmp_path / "gateway", clocks) as gateway:
        assert told(gateway, "server", 0.02) == {"time": "2022-01-01T00:00:00.000000001Z", "validFor": 20_000_000}
        assert told(gateway, "client-2@snapstorm", 3600.0) == {
            "time": "2022-01-01T00:00:05.000000001Z",
            "validFor": 3600 * SECOND_NS,
        }
        assert told(gateway, "a/b?", 1.0)["time"] == "2022-01-01T00:00:07.000000001Z"


def test_all_have_the_time_that_dates_objects_unless_told_otherwise(gateway: Served) -> None:
    gateway.admit("a client", KEY)
    ask(gateway, "PUT", "/a", b"hello")
    _, _, headers = ask(gateway, "HEAD", "/a", headers=SIGNED)
    assert headers["last-modified"] == "Thu, 01 Jan 1970 00:00:05 GMT"
    assert told(gateway, "anybody", 1.0)["time"] == "1970-01-01T00:00:05.000000000Z"


def test_asking_for_the_time_is_no_event_of_the_storage(gateway: Served) -> None:
    before = gateway.ask(lambda storage: storage.log.next_event())
    told(gateway, "anybody", 1.0)
    assert gateway.ask(lambda storage: storage.log.next_event()) == before + 1


@pytest.mark.parametrize(("method", "query", "status"), [("PUT", b"valid_ns=1", 405), ("GET", b"valid_ns=-1", 400)])
def test_what_is_no_question_for_the_time_is_refused(method: str, query: bytes, status: int) -> None:
    assert clock_answer(method, b"/clock/a", query, lambda _: 1).status == status
