"""The report's page in a real browser: it opens without a network, and everything on it can be seen, reached and used.

Debian's package `chromium` is enough. Where there is no Chromium these tests fail, and say so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from tests.e2e.browsers import SCHEMES, WIDTHS, Opened, barriers, open_chromium, reach_by_tab
from tests.unit.report.runs import CLIENTS, Bed, busy_bed

from snapstorm.report.writing import write_run_report, write_trend_report

pytestmark = [pytest.mark.browser, pytest.mark.long]

MANY = 100_000
OPENS_SECONDS_MAX = 5.0
"""A page of so many operations is ready within this time, also on a machine of two processors."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a run with something of everything, of one that was killed, and of a testbed."""
    directory = tmp_path_factory.mktemp("pages")
    bed = busy_bed(directory / "bed")
    killed = bed.begin()
    bed.operation(killed, 1, CLIENTS[1], began=1.0, outcome=None)
    bed.close()
    write_run_report(directory / "bed", 1, {"html": directory / "run.html"})
    write_run_report(directory / "bed", killed, {"html": directory / "killed.html"})
    write_trend_report(directory / "bed", {"html": directory / "trend.html"})
    return {name: directory / f"{name}.html" for name in ("run", "killed", "trend")}


def open_file(browser: Browser, file: Path, width: int = 1280, scheme: Any = "light") -> Opened:
    """Open a page without a network."""
    return Opened(browser, file.as_uri(), width, scheme, offline=True)


@pytest.fixture
def opened(browser: Browser, files: dict[str, Path]) -> Iterator[Opened]:
    page = open_file(browser, files["run"])
    yield page
    page.context.close()
    assert page.complaints == []


@pytest.mark.parametrize("name", ["run", "killed", "trend"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_opens_offline_without_a_complaint_and_passes_axe(
    browser: Browser, files: dict[str, Path], name: str, width: int, scheme: Any
) -> None:
    """In both widths and both schemes: nothing is loaded, nothing is wider than the window, contrast and names hold."""
    opened = open_file(browser, files[name], width, scheme)
    page = opened.page
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    if name == "run":
        page.locator("#operation-rows button").first.click()
        page.wait_for_selector("#chosen dl dt")
    assert not opened.is_too_wide()
    assert barriers(page) == []
    assert opened.requests == [opened.address]
    assert opened.complaints == []
    opened.context.close()


def test_the_timeline_zooms_and_moves_by_every_means(opened: Opened) -> None:
    """Buttons, keys, a double click, the wheel with Ctrl, dragging."""
    page, whole = opened.page, opened.span_seconds()
    assert whole == pytest.approx(60.0)
    page.get_by_role("button", name="Zoom in").click()
    assert opened.span_seconds() == pytest.approx(whole / 2, rel=0.01)
    before = opened.shown()
    page.get_by_role("button", name="Later").click()
    assert opened.shown() != before
    page.get_by_role("button", name="All of it").click()
    assert opened.span_seconds() == pytest.approx(whole)
    lanes = page.locator("#lanes")
    lanes.focus()
    for key in ("+", "+", "ArrowLeft", "-", "End", "Home"):
        before = opened.shown()
        page.keyboard.press(key)
        assert opened.shown() != before, key
    page.keyboard.press("0")
    lanes.dblclick(position={"x": 600, "y": 50})
    assert opened.span_seconds() < whole
    page.keyboard.press("0")
    lanes.hover(position={"x": 600, "y": 50})
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function("!document.getElementById('view').textContent.startsWith('0.00 s')")
    assert opened.span_seconds() < whole
    before, box = opened.shown(), lanes.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 600, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 50, steps=5)
    page.mouse.up()
    assert opened.shown() != before


def test_hovering_tells_and_a_click_shows_all_of_an_operation(opened: Opened) -> None:
    """In each lane, over the whole width: what is under the pointer is named, and what is clicked is shown."""
    page, lanes = opened.page, opened.page.locator("#lanes")
    lanes.hover(position={"x": 300, "y": 50})
    assert "client-1 at" in page.locator("#tip").inner_text()
    lanes.click(position={"x": 300, "y": 50})
    page.wait_for_selector("#chosen pre:not([hidden])")
    details = page.locator("#chosen").inner_text()
    assert "client-1@snapstorm" in details
    assert "exit status 1" in details
    assert "</script>" in details  # As text.
    lanes.hover(position={"x": 380, "y": 8})
    assert page.locator("#tip").inner_text().startswith("fault kill-server: healed")


def test_it_is_drawn(opened: Opened) -> None:
    """The timeline is no empty box: there are the colours of actions, of failures and of faults."""
    colours = opened.page.evaluate(
        """() => { const canvas = document.querySelector('#lanes canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, found = new Set();
        for (let at = 0; at < data.length; at += 4) found.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
        return [...found]; }"""
    )
    assert {"27,102,176", "10,125,105", "200,16,46", "179,83,0"} <= set(colours)


def test_a_violation_and_its_difference_open(opened: Opened) -> None:
    """Where the bytes are wrong is shown; the operation that found it is a click away."""
    page = opened.page
    violation = page.locator("#violation-1")
    if not violation.evaluate("(one) => one.open"):
        violation.locator("summary").first.click()
    text = violation.inner_text()
    assert "content differs" in text
    assert "4,500" in text
    assert violation.locator("svg.map rect.wrong").count() == 1
    violation.get_by_text("What broke, and what was going on").click()
    assert violation.locator("pre").first.is_visible()
    violation.locator("button[data-operation]").click()
    page.wait_for_selector("#chosen:not([hidden])")
    assert "r1-client-1-1" in page.locator("#chosen").inner_text()
    assert opened.span_seconds() < 60


def test_everything_is_reached_by_keys_alone(opened: Opened) -> None:
    """Tab comes to everything that can be used and out again, always visibly; keys choose an operation."""
    page = opened.page
    assert reach_by_tab(page) == (set(), set())
    page.locator("#lanes").focus()
    for key in ("ArrowDown", "n", "n", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.id") == "chosen"
    assert "client-2@snapstorm" in page.locator("#chosen").inner_text()


def test_the_list_is_filtered_and_turned(opened: Opened) -> None:
    """By client, action and outcome, and by what the timeline shows."""
    page, words = opened.page, opened.page.locator("#page-words")
    assert words.inner_text() == "1 to 25 of 120"
    page.get_by_role("button", name="Next").click()
    assert words.inner_text() == "26 to 50 of 120"
    page.locator("#by-client").select_option("client-2@snapstorm")
    page.locator("#by-outcome").select_option("outcome unknown")
    shown = page.locator("#operation-rows tr")
    assert 0 < shown.count() < 40
    assert all("client-2" in row and "outcome unknown" in row for row in shown.all_inner_texts())
    page.locator("#by-client").select_option("")
    page.locator("#by-outcome").select_option("")
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_label("only what the timeline shows").check()
    assert int(words.inner_text().rpartition(" ")[2]) < 120


def test_without_a_script_all_but_the_timeline_is_there(browser: Browser, files: dict[str, Path]) -> None:
    """The verdict, the violations and the charts stand in the page itself."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(files["run"].as_uri())
    assert page.get_by_text("VIOLATED").is_visible()
    assert page.locator("svg.chart").count() > 10
    context.close()


def test_a_hundred_thousand_operations_open_quickly(browser: Browser, tmp_path: Path) -> None:
    """And moving through them stays quick: a picture takes no longer than one can notice."""
    bed, run = Bed(tmp_path / "bed"), 1
    bed.begin()
    actions = ("write-random-files", "snapshot-root", "restore-random-snapshot", "list-snapshots")
    with bed.ledger._transaction() as execute:
        for number in range(MANY):
            outcome = "failed" if number % 997 == 0 else "ok"
            name, client = f"r1-{CLIENTS[number % 3].partition('@')[0]}-{number}", CLIENTS[number % 3]
            execute(
                "INSERT INTO operations (id, run, client, step, action, options, resolved, began_tick, began_seconds,"
                " seconds, outcome, is_own) VALUES (?, ?, ?, ?, ?, '{}', ?, ?, ?, ?, ?, 0)",
                (
                    name,
                    run,
                    client,
                    number,
                    actions[number % 4],
                    f'{{"of": "{name}"}}',
                    number,
                    number / 30,
                    0.08,
                    outcome,
                ),
            )
    bed.end(run, seconds=MANY / 30)
    bed.close()
    page_file = tmp_path / "page.html"
    began = time.monotonic()
    write_run_report(tmp_path / "bed", run, {"html": page_file})
    made_seconds = time.monotonic() - began
    began = time.monotonic()
    opened = open_file(browser, page_file)
    opened_seconds = time.monotonic() - began
    pictures = opened.page.evaluate(
        """async () => { const times = [];
        for (const key of ['+', '+', '-', 'ArrowRight', '+', '+', '+', '+', '0']) {
          const began = performance.now();
          document.getElementById('lanes').dispatchEvent(new KeyboardEvent('keydown', { key }));
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          times.push(performance.now() - began);
        }
        return times; }"""
    )
    print(f"made in {made_seconds:.1f} s, {page_file.stat().st_size:,} bytes, open after {opened_seconds:.2f} s")
    assert opened_seconds < OPENS_SECONDS_MAX
    assert sorted(pictures)[len(pictures) // 2] < 250
    opened.page.locator("#lanes").click(position={"x": 300, "y": 50})
    opened.page.wait_for_selector("#chosen dl dt")
    assert opened.complaints == []
    opened.context.close()
