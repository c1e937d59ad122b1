"""The live page in a real browser: it grows by itself, what is pressed happens, and it stays when the run is gone.

Most runs here are of the simulated target, and small; the last is of the real Kopia. Chromium as in
`test_report_page.py`.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from playwright.sync_api import Browser, Page
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.browsers import (
    SCHEMES,
    WIDTHS,
    Opened,
    barriers,
    number_controls,
    open_chromium,
    press_tab,
    reach_by_tab,
    seconds_of,
)
from tests.e2e.commandline import NO_DELETIONS, SMALL, command

from snapstorm.report.run_data import RunData, read_run

pytestmark = [pytest.mark.browser, pytest.mark.long]

SEEN_SECONDS_MAX = 40.0
"""What a run does is on its page within this time, also on a busy machine."""
BEGINS_SECONDS_MAX = 60.0
ENDS_SECONDS_MAX = 180.0
"""A small run whose clients' work was ended is judged within this time."""

TINY = (
    "--option", "write-random-files.size_bytes=0..5000", "--option", "write-random-files.count=1..3",
    "--weights", "snapshot-root=30", "--weights", "write-random-files=30", "--weights", "modify-files=60",
    "--weights", "change-metadata=60", "--clients", "2",
)  # fmt: skip
"""Many operations, and few snapshots to judge when the run is ended."""
ENDLESS = ("--duration", "900s")
"""Ended by who watches."""
VIOLATING = (
    "--target", "memory:restore-flips-a-byte", "--keep-going", *TINY, "--weights", "restore-random-snapshot=6"
)  # fmt: skip

END_WORK = "End the clients' work, then judge all of it"
END_AT_ONCE = "End at once, without a verdict"


class WatchedRun:
    """A `snapstorm run --web` that goes on, and what it prints."""

    def __init__(self, testbed: Path, *arguments: str) -> None:
        self.testbed = testbed
        self.printed = testbed.with_suffix(".json")
        with self.printed.open("w") as stdout:
            self.process = subprocess.Popen(
                command("run", "--web", "--json", "--progress", "plain", "--testbed", testbed, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert self.process.stderr is not None
        self.lines = [self.process.stderr.readline()]
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        assert self.lines[0].startswith("live page: http://127.0.0.1:"), self.lines
        self.address = self.lines[0].split()[-1]
        self.origin = self.address.rsplit("/", 2)[0]

    def _read(self, stderr: IO[str]) -> None:
        with stderr:
            self.lines.extend(stderr)

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Each sample of `/metrics` by its name and labels."""
        text = asked(f"{self.origin}/metrics")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics().get((name, tuple(sorted(labels.items()))), 0.0)

    def actions_done(self) -> float:
        return sum(value for (name, _), value in self.metrics().items() if name == "snapstorm_actions_total")

    def end(self, page: Page) -> int:
        """Wait for the end, and return the exit status. The page goes on meanwhile."""
        until(page, lambda: self.process.poll() is not None, "the command ends", ENDS_SECONDS_MAX)
        self._reader.join(5)
        return self.process.returncode

    def summary(self) -> dict[str, Any]:
        """What it printed on stdout."""
        found = json.loads(self.printed.read_text())
        assert isinstance(found, dict)
        return found

    def ledger(self) -> RunData:
        return read_run(self.testbed, 1)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(ENDS_SECONDS_MAX)


class LivePage(Opened):
    """The page of a run that goes on, as who watches uses it."""

    def __init__(self, browser: Browser, run: WatchedRun, width: int = 1280, scheme: Any = "light") -> None:
        super().__init__(browser, run.address, width, scheme)
        self.run = run
        self.refused: list[str] = []
        self.page.on("response", lambda response: self._look(response.url, response.status))
        self.was_early = not self.page.locator("#timeline").count()
        """Whether there was no run yet; then the page becomes its page by itself."""
        self.page.wait_for_selector("#timeline", timeout=BEGINS_SECONDS_MAX * 1000)
        self.await_ready()

    def _look(self, address: str, status: int) -> None:
        if status >= 400:
            self.refused.append(f"{status} {address}")

    def status(self) -> str:
        return self.page.locator("#live-status").inner_text()

    def tile(self, name: str) -> int:
        """A great figure of the page; 0 before there is one."""
        text = self.page.evaluate(
            """(name) => [...document.querySelectorAll('#proved .tiles dt')].find((one) => one.textContent === name)
            ?.nextElementSibling.firstChild.textContent ?? '0'""",
            name,
        )
        return int(text.replace(",", ""))

    def await_tile(self, name: str, count: int) -> None:
        self.until(lambda: self.tile(name) >= count, f"{name} reach {count}")

    def await_status(self, beginning: str) -> None:
        self.until(lambda: self.status().startswith(beginning), f"the status is {beginning!r}")

    def until(self, ask: Callable[[], bool], words: str) -> None:
        until(self.page, ask, words)

    def press(self, name: str) -> None:
        """Click a button of the live part, or of its dialog."""
        self.page.locator("#live").get_by_role("button", name=name, exact=True).click()

    def stop(self, choice: str) -> None:
        """By the dialog."""
        self.press("Stop…")
        self.press(choice)

    def mark(self) -> None:
        """So that `is_marked` tells whether the page was loaded again since."""
        self.page.evaluate("window.wasHereBefore = true")

    def is_marked(self) -> bool:
        return bool(self.page.evaluate("window.wasHereBefore === true"))

    def usable(self) -> list[str]:
        """What of the live part can be pressed or chosen."""
        found = self.page.evaluate(
            "[...document.querySelectorAll('#live button:enabled, #live select:enabled')].map((one) => one.id)"
        )
        return [anchor for anchor in found if anchor]

    def assert_it_shows(self, verdict: str) -> None:
        """The verdict, after the process has gone; and nothing pretends that it could still be pressed."""
        self.until(lambda: self.status().endswith("This page stays as it is."), "the page has its end")
        assert self.status().startswith(f"The run has ended: {verdict}.")
        assert self.page.locator("#head .verdict strong").inner_text() == verdict
        assert self.page.title().startswith(verdict)
        assert self.usable() == []

    def assert_nothing_was_wrong(self) -> None:
        assert self.complaints == []
        assert self.refused == []
        assert [asked for asked in self.requests if not asked.startswith(self.run.address)] == []


def until(page: Page, ask: Callable[[], bool], words: str, seconds_max: float = SEEN_SECONDS_MAX) -> None:
    """Wait until something is so, and let the page go on meanwhile."""
    deadline = time.monotonic() + seconds_max
    while not ask():
        assert time.monotonic() < deadline, f"not within {seconds_max:g} s: {words}"
        page.wait_for_timeout(100)


def asked(address: str, method: str = "GET") -> str:
    with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=10) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture
def begin(scratch: Path) -> Iterator[Callable[..., WatchedRun]]:
    """Begins runs, which end with the test."""
    begun: list[WatchedRun] = []

    def start(*arguments: str) -> WatchedRun:
        begun.append(WatchedRun(scratch / f"bed-{len(begun)}", *arguments))
        return begun[-1]

    yield start
    for run in begun:
        run.close()


@pytest.fixture
def watch(browser: Browser, begin: Callable[..., WatchedRun]) -> Iterator[Callable[..., LivePage]]:
    """Begins a run and opens its page, which must have had nothing to complain of when the test has ended."""
    opened: list[LivePage] = []

    def start(*arguments: str) -> LivePage:
        opened.append(LivePage(browser, begin(*arguments)))
        return opened[-1]

    yield start
    for live in opened:
        live.assert_nothing_was_wrong()
        live.context.close()


def test_it_keeps_nobody_out(browser: Browser, begin: Callable[..., WatchedRun]) -> None:
    """While the run goes on, with the dialog open, and after the end, in both widths and schemes: axe-core finds
    nothing serious, nothing is wider than the window, and nothing is asked of anybody else."""
    run = begin(*VIOLATING, *ENDLESS)
    pages = [LivePage(browser, run, width, scheme) for width in WIDTHS for scheme in SCHEMES]
    pages[0].await_tile("Violations", 2)

    def look(when: str) -> None:
        for live in pages:
            where = (
                when,
                live.page.viewport_size,
                live.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"),
            )
            assert (where, barriers(live.page)) == (where, [])
            assert (where, live.is_too_wide()) == (where, False)

    for live in pages:
        live.page.locator("#operation-rows button").first.click()
        live.page.wait_for_selector("#chosen dl dt")
    look("going on")
    for live in pages:
        live.press("Stop…")
    look("dialog open")
    pages[0].press(END_WORK)
    assert run.end(pages[0].page) == 1
    for live in pages:
        live.assert_it_shows("VIOLATED")
    look("ended")
    for live in pages:
        live.assert_nothing_was_wrong()
        live.context.close()


def test_it_grows_by_itself_and_leaves_the_reader_alone(watch: Callable[..., LivePage]) -> None:
    """What was opened stays open, what was closed closed, the focus stays, and the page is not loaded again."""
    live = watch(*VIOLATING, *ENDLESS)
    page = live.page
    live.await_tile("Violations", 2)
    live.mark()
    page.evaluate("document.getElementById('violation-1').open = false")
    page.locator("#violation-2 > summary").click()
    inner = page.locator("#violation-2 details summary").first
    inner.click()
    inner_text, operations, violations = inner.inner_text(), live.tile("Operations"), live.tile("Violations")
    ended, drawn = seconds_of(live.shown().rpartition(" of ")[2]), picture(page)
    live.await_tile("Violations", violations + 2)
    live.await_tile("Operations", operations + 20)
    assert seconds_of(live.shown().rpartition(" of ")[2]) > ended
    assert picture(page) != drawn
    assert page.locator("#violation-2").evaluate("(one) => one.open && one.querySelector('details').open")
    assert not page.locator("#violation-1").evaluate("(one) => one.open")
    assert page.evaluate("document.activeElement.textContent") == inner_text
    assert page.evaluate("document.activeElement.closest('.violation').id") == "violation-2"
    assert live.is_marked()
    # In the list, too, whose words count on.
    words = page.locator("#page-words").inner_text()
    page.locator("#operation-rows button").nth(3).focus()
    live.until(lambda: page.locator("#page-words").inner_text() != words, "the list grows")
    assert (
        page.evaluate("[...document.querySelectorAll('#operation-rows button')].indexOf(document.activeElement)") == 3
    )
    # Who has zoomed in keeps what they look at.
    page.get_by_role("button", name="Zoom in").click()
    before = live.shown().partition(" of ")[0]
    live.await_tile("Operations", live.tile("Operations") + 20)
    assert live.shown().partition(" of ")[0] == before
    live.stop(END_WORK)
    assert live.run.end(page) == 1
    live.assert_it_shows("VIOLATED")


def picture(page: Page) -> str:
    """The timeline as it is drawn."""
    return str(page.evaluate("document.querySelector('#lanes canvas').toDataURL()"))


def test_a_pause_lets_nothing_begin_and_takes_no_time(watch: Callable[..., LivePage]) -> None:
    duration_seconds, paused_seconds_min = 6.0, 4.0
    live = watch("--target", "memory", *TINY, "--duration", f"{duration_seconds:g}s")
    run, page = live.run, live.page
    live.await_tile("Operations", 5)
    live.press("Pause")
    live.await_status("Paused")
    live.until(lambda: run.metric("snapstorm_clients_working") == 0, "clients end what they are doing")
    began, done = time.monotonic(), run.actions_done()
    page.wait_for_timeout(paused_seconds_min * 1000)
    assert run.actions_done() == done
    live.until(lambda: page.locator("#live-doing").inner_text() == "none is at work", "the page shows it")
    live.press("Go on")
    paused_seconds = time.monotonic() - began
    live.await_status("Going on.")
    live.until(lambda: run.actions_done() > done, "clients begin again")
    assert run.end(page) == 0
    live.assert_it_shows("PASS")
    summary = run.summary()
    note = next(note for note in summary["notes"] if note.startswith("somebody paused the run for"))
    assert float(note.split()[-2]) >= paused_seconds - 1
    assert summary["seconds_by_part"]["actions"] >= duration_seconds + paused_seconds - 1
    assert note in page.locator("#proved").inner_text()
    assert note in page.locator("#live-lines").inner_text()


def test_ending_the_work_judges_all_of_it(watch: Callable[..., LivePage]) -> None:
    """And leaving the dialog does nothing. The page says what can't be asked for any more."""
    live = watch("--target", "memory", *TINY, *ENDLESS)
    run, page = live.run, live.page
    live.await_tile("Snapshots live", 1)
    for leave in (lambda: page.keyboard.press("Escape"), lambda: live.press("Change nothing")):
        live.press("Stop…")
        assert page.locator("#live-stop-dialog").is_visible()
        assert page.evaluate("document.activeElement.textContent") == "Change nothing"
        leave()
        assert not page.locator("#live-stop-dialog").is_visible()
    done = run.actions_done()
    live.until(lambda: run.actions_done() > done + 5, "clients go on")
    assert live.status() == "Going on."
    live.stop(END_WORK)
    assert run.end(page) == 0
    live.assert_it_shows("PASS")
    summary = run.summary()
    assert summary["verdict"] == "pass"
    assert summary["sweep"]["verified"] > 0
    assert summary["sweep"]["left"] == 0
    assert any(note.startswith("somebody ended the clients' work") for note in summary["notes"])
    assert live.tile("Sweep restored") == summary["sweep"]["verified"]
    page.locator("#operation-rows button").first.click()
    page.wait_for_selector("#chosen dl dt")
    live.until(lambda: "snapstorm itself has ended" in page.locator("#chosen").inner_text(), "it says so")
    live.complaints = [one for one in live.complaints if "ERR_CONNECTION_REFUSED" not in one]  # Chromium's own words.


def test_ending_at_once_gives_no_verdict(watch: Callable[..., LivePage]) -> None:
    live = watch("--target", "memory", *TINY, *ENDLESS)
    live.await_tile("Operations", 5)
    live.stop(END_AT_ONCE)
    assert live.run.end(live.page) == 130
    live.assert_it_shows("INTERRUPTED")


def test_a_lost_connection_is_said(watch: Callable[..., LivePage]) -> None:
    """What has been seen of a killed snapstorm's run stays, and nothing pretends that it could still be pressed."""
    live = watch("--target", "memory", *TINY, *ENDLESS)
    live.await_tile("Operations", 5)
    live.page.locator("#live-pause").focus()
    live.run.process.kill()
    live.await_status("The connection is lost.")
    assert live.usable() == []
    assert live.tile("Operations") >= 5
    assert all("net::ERR_" in one for one in live.complaints)  # Chromium's own words.
    live.complaints = []


def test_a_chosen_fault_strikes(watch: Callable[..., LivePage]) -> None:
    """On the page, in the metrics, and in the ledger; what is not possible here can't be chosen."""
    live = watch("--target", "memory", *TINY, *ENDLESS)
    run, page = live.run, live.page
    live.await_tile("Snapshots live", 1)
    choice = page.locator("#live").get_by_label("Fault")
    impossible = choice.locator("option", has_text="pause-server")
    assert impossible.is_disabled()
    assert "there is no server process of our own" in impossible.inner_text()
    assert choice.locator("option:disabled").count() > 5
    choice.select_option("kill-server")
    assert "The server is killed (KILL)" in page.locator("#live-fault-words").inner_text()
    live.press("Inject")
    live.until(lambda: page.locator("#faults th", has_text="kill-server").count() == 1, "it is in the table")
    assert "fault kill-server" in page.locator("#live-lines").inner_text()
    assert run.metric("snapstorm_faults_total", fault="kill-server") == 1
    live.until(lambda: run.metric("snapstorm_fault_active", fault="kill-server") == 0, "it heals")
    live.stop(END_WORK)
    assert run.end(page) == 0
    live.assert_it_shows("PASS")
    assert run.summary()["faults"] == {"kill-server": 1}
    assert [(fault.key, fault.outcome) for fault in run.ledger().faults] == [("kill-server", "healed")]
    assert live.tile("Faults struck") == 1


def test_keys_alone_reach_and_use_everything(watch: Callable[..., LivePage]) -> None:
    live = watch("--target", "memory", *TINY, *ENDLESS)
    run, page, keys = live.run, live.page, live.page.keyboard
    live.await_tile("Snapshots live", 1)
    wanted = number_controls(page, "#live")
    reached = [press_tab(page) for _ in range(len(wanted) + 1)]  # The first one skips all this.
    assert {number for number, _ in reached[1:]} == wanted
    assert all(is_marked for _, is_marked in reached)

    page.locator("#live-lines").focus()
    for anchor in ("live-inject", "live-fault-key"):
        keys.press("Shift+Tab")
        assert focused(page) == anchor
    keys.press("ArrowDown")
    fault = page.locator("#live-fault-key").input_value()
    assert fault != "kill-server"
    keys.press("Tab")
    keys.press("Enter")
    live.until(lambda: run.metric("snapstorm_faults_total", fault=fault) >= 1, "the fault strikes")
    for anchor in ("live-fault-key", "live-stop", "live-pause"):
        keys.press("Shift+Tab")
        assert focused(page) == anchor
    keys.press("Enter")
    live.await_status("Paused")
    assert focused(page) == "live-pause"
    keys.press("Space")
    live.await_status("Going on.")
    keys.press("Tab")
    keys.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Change nothing"
    keys.press("Escape")
    assert focused(page) == "live-stop"
    keys.press("Enter")
    for _ in range(2):
        keys.press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == END_WORK
    keys.press("Enter")
    assert run.end(page) == 0
    live.assert_it_shows("PASS")
    page.evaluate("scrollTo(0, 0)")
    page.mouse.click(2, 2)  # From the top.
    assert reach_by_tab(page) == (set(), set())


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id"))


def test_an_operation_is_asked_for_when_it_is_clicked(watch: Callable[..., LivePage]) -> None:
    """In the list, and in the timeline."""
    live = watch("--target", "memory", *TINY, *ENDLESS)
    page, chosen = live.page, live.page.locator("#chosen")
    live.await_tile("Operations", 20)
    page.locator("#by-action").select_option("write-random-files")
    page.locator("#operation-rows button").first.click()
    live.until(lambda: "options" in chosen.inner_text(), "the details are there")
    text = chosen.inner_text()
    assert "write-random-files" in text
    assert "step" in text
    assert page.evaluate("document.activeElement.id") == "chosen"
    count = len(operations_asked_for(live))
    assert count == 1
    live.press("Pause")
    live.until(lambda: page.locator("#live-doing").inner_text() == "none is at work", "it is paused")
    for x in range(200, 1000, 40):
        page.locator("#lanes").click(position={"x": x, "y": 30})
        if len(operations_asked_for(live)) > count:
            break
    live.until(lambda: "step" in chosen.inner_text(), "the details are there")
    assert "client-1@snapstorm" in chosen.inner_text()
    assert len(operations_asked_for(live)) > count
    live.stop(END_WORK)
    assert live.run.end(page) == 0


def operations_asked_for(live: LivePage) -> list[str]:
    return [asked for asked in live.requests if "/operations/" in asked]


def test_only_who_knows_the_token_is_let_in(begin: Callable[..., WatchedRun], browser: Browser) -> None:
    run = begin("--target", "memory", *TINY, *ENDLESS)
    live = LivePage(browser, run)
    live.await_tile("Operations", 1)
    wrong = f"{run.origin}/{'x' * 32}"
    for address in (f"{run.origin}/", f"{wrong}/", f"{wrong}/run", f"{wrong}/events", f"{run.origin}/run"):
        assert status_of(address) == 404
    for wish in ("pause", "stop", "interrupt", "faults/kill-server"):
        assert status_of(f"{wrong}/{wish}", "POST") == 404
        assert status_of(f"{run.address}{wish}") == 405  # A link does nothing.
    live.page.wait_for_timeout(1000)
    assert live.status() == "Going on."
    live.stop(END_AT_ONCE)
    assert run.end(live.page) == 130
    live.context.close()


def status_of(address: str, method: str = "GET") -> int:
    try:
        asked(address, method)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return 200


def test_metrics_agree_with_the_summary(begin: Callable[..., WatchedRun], browser: Browser) -> None:
    """To the last action: a stream that is left open keeps the server until they have been read."""
    run = begin(*VIOLATING, "--faults", "kill-server", "--duration", "6s")
    page = browser.new_page()
    with urllib.request.urlopen(f"{run.address}events", timeout=60) as stream:
        until(page, lambda: has_ended(run), "the metrics have the verdict", ENDS_SECONDS_MAX)
        metrics = run.metrics()
        stream.readline()
    assert run.end(page) == 1
    page.close()
    summary = run.summary()
    counted: dict[str, Counter[str]] = {}
    for (name, labels), value in metrics.items():
        if name == "snapstorm_actions_total" and value:
            counted.setdefault(dict(labels)["action"], Counter())[dict(labels)["outcome"]] += int(value)
    printed = {
        key: Counter({name: count for name, count in by.items() if count}) for key, by in summary["actions"].items()
    }
    assert counted == {key: by for key, by in printed.items() if by}
    assert metrics["snapstorm_restores_verified_total", ()] == summary["restores_verified"]
    assert metrics["snapstorm_verified_bytes_total", ()] == summary["bytes_verified"]
    violated = Counter(violation["guarantee"] for violation in summary["violations"])
    for guarantee, count in violated.items():
        assert metrics["snapstorm_violations_total", (("guarantee", guarantee),)] == count
    for fault, count in summary["faults"].items():
        assert metrics["snapstorm_faults_total", (("fault", fault),)] == count
    assert metrics["snapstorm_notes_total", ()] == len(summary["notes"])
    assert metrics["snapstorm_clients_working", ()] == 0


def has_ended(run: WatchedRun) -> bool:
    return sum(value for (name, _), value in run.metrics().items() if name == "snapstorm_runs_total") == 1


def test_it_moves_on_to_the_next_run(watch: Callable[..., LivePage]) -> None:
    """In place, with the focus where it was; what was chosen before is put away. After a stop none begins."""
    live = watch("--target", "memory", *TINY, "--duration", "8s", "--until-violation", "--minutes", "5")
    run, page = live.run, live.page
    live.await_tile("Operations", 5)
    live.mark()
    page.locator("#operation-rows button").first.click()
    page.wait_for_selector("#chosen dl dt")
    assert "live-pause" in live.usable()
    page.locator("#live-pause").focus()
    live.until(lambda: page.locator("h1").inner_text().startswith("snapstorm run 2 "), "the next run is shown")
    live.await_tile("Operations", 5)
    assert live.is_marked()
    assert page.locator("#chosen").is_hidden()
    assert focused(page) == "live-pause"
    assert "snapstorm run 2" in page.title()
    page.locator("#operation-rows button").first.click()
    live.until(lambda: "r2-client-" in page.locator("#chosen").inner_text(), "its own operations are shown")
    number = int(page.locator("h1").inner_text().split()[2])
    live.until(lambda: live.status() == "Going on." and "live-pause" in live.usable(), "clients are at work")
    live.stop(END_WORK)
    assert run.end(page) == 0
    live.assert_it_shows("PASS")
    summary = run.summary()
    assert number <= summary["run"] <= number + 1
    assert page.locator("h1").inner_text().startswith(f"snapstorm run {summary['run']} ")


def test_the_real_kopia_is_watched_from_before_its_run_begins(
    watch: Callable[..., LivePage], wrapper: Callable[..., Path]
) -> None:
    """The page that was opened at once becomes the run's by itself. Then as with the simulated target."""
    slow_to_begin = wrapper("import time\nif '--version' in argv: time.sleep(3)")
    live = watch("--kopia", str(slow_to_begin), *SMALL, *NO_DELETIONS, "--clients", "2", *ENDLESS)
    run, page = live.run, live.page
    assert live.was_early
    live.until(lambda: "live-inject" in live.usable(), "clients are at work")
    live.await_tile("Snapshots live", 2)
    choice = page.locator("#live").get_by_label("Fault")
    choice.select_option("kill-client")
    live.press("Inject")
    live.until(lambda: run.metric("snapstorm_faults_total", fault="kill-client") >= 1, "it strikes")
    page.locator("#by-action").select_option("snapshot-root")
    page.locator("#operation-rows button").first.click()
    live.until(lambda: "snapshot create" in page.locator("#chosen").inner_text(), "its commands are shown")
    assert run.metric("snapstorm_server_memory_bytes") > 1_000_000
    live.stop(END_WORK)
    assert run.end(page) == 0
    live.assert_it_shows("PASS")
    assert "kill-client" in [fault.key for fault in run.ledger().faults]
    assert live.tile("Sweep restored") == run.summary()["sweep"]["verified"] > 0
