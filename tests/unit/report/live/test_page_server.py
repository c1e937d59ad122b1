"""The live server shows a run to those who know its address, lets them act on it, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import math
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.report.runs import CLIENTS, NASTY, Bed, busy_bed
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.errors import HarnessError
from snapstorm.model.events import FaultBegan, RunBegan, RunEnded
from snapstorm.report.live.board import Board, Patience
from snapstorm.report.live.page_server import Address, serving

ANY_PORT = Address("127.0.0.1", 0)


@dataclass
class Served:
    """A server to ask."""

    board: Board
    port: int
    path: str
    bed: Bed | None = None

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        return self.raw(self.path + path, method)

    def raw(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GIVE_UP_SECONDS)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def news(self, first: int = 0) -> Any:
        status, text = self.ask(f"run?first={first}")
        assert status == 200
        return json.loads(text)

    def first_state(self) -> dict[str, Any]:
        """The state with which the stream begins."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GIVE_UP_SECONDS)
        try:
            connection.request("GET", f"{self.path}events")
            line = connection.getresponse().readline().decode()
            assert line.startswith("data: ")
            state: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return state
        finally:
            connection.close()


@contextmanager
def served(
    capsys: pytest.CaptureFixture[str], bed: Bed | None = None, patience: Patience | None = None
) -> Iterator[Served]:
    with serving(ANY_PORT, None, patience) as board:
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/\S+/)", capsys.readouterr().err)
        assert found is not None
        if bed is not None:
            board(RunBegan(bed.directory, 1, 7, "kopia 0.23.1"))
        yield Served(board, int(found[1]), found[2], bed)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = Bed(tmp_path / "bed")
    made.begin()
    yield made
    made.close()


def test_only_who_knows_the_address_gets_in(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    with served(capsys, bed) as here:
        assert here.ask("")[0] == 200
        wrong = "/" + "A" * (len(here.path) - 2) + "/"
        for path in ("/", "/nothing/", wrong, f"{wrong}events", f"{wrong}run", f"{wrong}operations/0"):
            assert here.raw(path)[0] == 404, path
        for path in ("pause", "stop", "interrupt", "faults/kill-server"):
            assert here.raw(wrong + path, "POST")[0] == 404, path
            assert here.ask(path)[0] == 405, path
        assert not here.board.control.is_stopping
        assert here.raw("/metrics")[0] == 200


def test_nobody_else_may_frame_or_keep_the_page(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    with served(capsys, bed) as here:
        connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=GIVE_UP_SECONDS)
        connection.request("GET", here.path)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        page = answer.read().decode()
        connection.close()
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "connect-src 'self'" in page
    assert here.path not in page


def test_the_page_waits_for_a_run_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    with served(capsys) as here:
        status, page = here.ask("")
        assert status == 200
        assert "The run begins." in page
        assert here.first_state()["run"] is None
        assert here.news() is None


def test_what_is_new_is_what_has_not_settled(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    first = bed.operation(1, 1)
    slow = bed.operation(1, 1, CLIENTS[1], began=0.2, outcome=None)
    bed.operation(1, 2, began=0.6)
    with served(capsys, bed, Patience(fresh_seconds=0.0, reading_share_max=1e9)) as here:
        news = here.news()
        assert news["first"] == 0
        assert news["columns"]["id"][:2] == [first, slow]
        assert news["overview"]["settled"] == 1
        bed.ledger.end_operation(slow, outcome="ok", reason="", seconds=3.0)
        later = bed.operation(1, 3, action="run-gc", began=4.0, outcome=None)
        news = here.news(1)
        assert news["first"] == 1
        assert news["columns"]["id"] == [slow, "r1-client-1-2", later]
        assert news["columns"]["took"] == [30_000, 5_000, -1]
        assert news["columns"]["began"][0] == 2_000
        assert news["overview"]["settled"] == 3
        assert news["overview"]["actions"] == ["snapshot-root", "run-gc"]
        # A page that believes to know more than has settled gets that again.
        assert here.news(99)["first"] == 3
        assert here.ask("run?first=x")[0] == 400
        assert json.loads(here.ask("operations/2")[1])[0] == 2
        assert json.loads(here.ask("operations/2?run=1")[1])[0] == 2
        for nothing in ("operations/99", "operations/2?run=2"):
            assert here.ask(nothing) == (200, "null")


def test_what_was_read_is_shown_for_a_while(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    patience = Patience(fresh_seconds=math.inf)
    bed.operation(1, 1)
    with served(capsys, bed, patience) as here:
        assert here.news()["overview"]["count"] == 1
        bed.operation(1, 2)
        assert here.news()["overview"]["count"] == 1
        patience.fresh_seconds = 0.0
        wait_until(lambda: here.news()["overview"]["count"] == 2)


def test_nasty_texts_stay_texts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bed = busy_bed(tmp_path / "bed")
    with served(capsys, bed) as here:
        here.board(FaultBegan(NASTY[:20]))
        page, parts = here.ask("")[1], here.news()["parts"]
    bed.close()
    assert "<img" not in page
    assert not any("<img" in markup for markup in parts.values())
    assert set(parts) >= {"head", "parts", "proved", "violations", "faults"}
    assert not set(parts) & {"timeline", "operations"}


def test_who_watches_acts_on_the_run(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    with served(capsys, bed) as here:
        control = here.board.new_control()
        control.faults = {"kill-server": None, "disk-full": "needs root"}
        assert here.ask("pause", "POST")[0] == 204
        assert control.is_paused
        assert here.first_state()["isPaused"] is True
        assert here.ask("resume", "POST")[0] == 204
        assert not control.is_paused
        with control.working():
            assert here.ask("faults/kill-server", "POST")[0] == 204
            status, words = here.ask("faults/disk-full", "POST")
        assert control.waiting == ("kill-server",)
        assert (status, words) == (409, "the fault disk-full is not possible here: needs root")
        assert here.ask("stop", "POST")[0] == 204
        assert control.is_stopping
        assert here.board.is_stopped


def test_the_end_waits_for_pages_that_are_open_and_for_no_others(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    seen: list[dict[str, Any]] = []
    patience = Patience(last_look_seconds_max=2 * GIVE_UP_SECONDS)
    with served(capsys, bed, patience) as here:
        connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=GIVE_UP_SECONDS)
        connection.request("GET", f"{here.path}events")
        answer = connection.getresponse()

        def look() -> None:
            while line := answer.readline().decode():
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: ")))
                    if seen[-1]["isOver"]:
                        seen.append(here.news())
                        connection.close()
                        answer.close()
                        return

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        bed.end(1)
        here.board(RunEnded("pass", "all is well"))
        began = time.monotonic()
        here.board.end()
        watcher.join(GIVE_UP_SECONDS)
        assert time.monotonic() - began < GIVE_UP_SECONDS
    assert seen[-2]["verdict"] == "pass"
    assert "PASS" in seen[-1]["parts"]["head"]
    began = time.monotonic()
    with served(capsys, bed):
        pass
    assert time.monotonic() - began < GIVE_UP_SECONDS


def test_who_stops_before_there_is_a_run_stops_it(capsys: pytest.CaptureFixture[str]) -> None:
    with served(capsys) as here:
        assert here.ask("stop", "POST")[0] == 204
        assert here.board.new_control().is_stopping


def test_a_page_that_is_being_loaded_gets_the_end(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    """It has no stream yet."""
    patience = Patience(last_look_seconds_max=2 * GIVE_UP_SECONDS, between_questions_seconds=math.inf)
    with served(capsys, bed, patience) as here:
        bed.end(1)
        here.board(RunEnded("pass", "all is well"))
        here.ask("")
        ends = threading.Thread(target=here.board.end)
        ends.start()
        time.sleep(0.2)
        assert ends.is_alive()
        assert here.first_state()["isOver"] is True
        patience.between_questions_seconds = 0.0
        ends.join(GIVE_UP_SECONDS)
        assert not ends.is_alive()


def test_a_run_that_goes_on_is_not_told_as_one_that_has_ended(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    with served(capsys, bed) as here:
        page, parts = here.ask("")[1], here.news()["parts"]
        assert "GOING ON" in parts["head"]
        assert "What it has proved so far" in parts["proved"]
        assert "No guarantee has been found broken so far." in parts["violations"]
        for words in ("NOT ENDED", "did not come to it", "not recorded"):
            assert words not in page
        bed.end(1)
        here.board(RunEnded("pass", "all is well"))
        assert "PASS" in here.news()["parts"]["head"]


def test_nothing_stays_when_the_block_ends(capsys: pytest.CaptureFixture[str], bed: Bed) -> None:
    with served(capsys, bed) as here:
        port = here.port
    assert not [thread for thread in threading.enumerate() if thread.name == "live-page"]
    with socket.socket() as again, pytest.raises(ConnectionRefusedError):
        again.connect(("127.0.0.1", port))


def test_a_port_that_is_taken_is_told_before_anything_is_served() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(HarnessError, match=r"can't be listened on: Address already in use; name another port"):
            serving(address, None).__enter__()
    with pytest.raises(HarnessError, match=r"no\.such\.host\.invalid:0 can't be listened on"):
        serving(None, Address("no.such.host.invalid", 0)).__enter__()


def test_metrics_alone_have_no_page(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(None, ANY_PORT) as board:
        found = re.search(r"metrics: http://127\.0\.0\.1:(\d+)/metrics", capsys.readouterr().err)
        assert found is not None
        here = Served(board, int(found[1]), "/")
        status, text = here.raw("/metrics")
        assert status == 200
        assert "snapstorm_runs_total" in text
        assert here.raw("/")[0] == 404
        assert here.raw("/pause", "POST")[0] == 404


def test_an_address_that_others_reach_comes_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Address("0.0.0.0", 0), None):
        assert "whoever reaches this machine" in capsys.readouterr().err
