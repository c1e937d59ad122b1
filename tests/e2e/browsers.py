"""What the tests of pages share: a real Chromium, what a page complained about and asked for, axe-core, Tab."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = (1280, 390)
SCHEMES: tuple[Any, ...] = ("light", "dark")


def find_chromium() -> str:
    """The browser; a missing one is an error, never a skip."""
    named = os.environ.get("CHROMIUM_EXE")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "no Chromium is installed: `apt-get install chromium`, or name one with CHROMIUM_EXE"
    return found


@contextmanager
def open_chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root may run no sandbox; what is opened here is our own.
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """A page, and all that it complained about or asked for."""

    def __init__(
        self, browser: Browser, address: str, width: int = 1280, scheme: Any = "light", **options: Any
    ) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.address = address
        self.page.goto(self.address)
        if self.page.locator("#run-data").count():
            self.await_ready()

    def await_ready(self) -> None:
        """Return once the timeline and the list are there."""
        self.page.wait_for_selector("html[data-ready=yes]", state="attached", timeout=20_000)

    def shown(self) -> str:
        """Which time the timeline shows, in words."""
        return self.page.locator("#view").inner_text()

    def span_seconds(self) -> float:
        """How much time the timeline shows."""
        began, _, rest = self.shown().partition(" to ")
        return seconds_of(rest.partition(" of ")[0]) - seconds_of(began)

    def is_too_wide(self) -> bool:
        """Whether the page as a whole must be scrolled sideways."""
        width = self.page.viewport_size
        return width is not None and int(self.page.evaluate("document.documentElement.scrollWidth")) > width["width"]


def seconds_of(text: str) -> float:
    """A moment as the page shows it: `7.50 s`, `1:07.5`."""
    minutes, colon, seconds = text.removesuffix(" s").rpartition(":")
    return float(seconds) + (60 * float(minutes) if colon else 0)


def barriers(page: Page) -> list[tuple[str, str, str]]:
    """What axe-core finds that keeps people out: what it calls serious or critical."""
    return [
        (found["id"], node["html"][:200], node["failureSummary"])
        for found in Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def press_tab(page: Page) -> tuple[str | None, bool]:
    """Go on by Tab. Returns the number that `number_controls` gave to what has the focus, and whether one sees it."""
    page.keyboard.press("Tab")
    number, is_marked = page.evaluate(
        """() => { const one = document.activeElement, style = getComputedStyle(one);
        const isMarked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
        return [one.dataset.number ?? null, isMarked]; }"""
    )
    return number, bool(is_marked)


def number_controls(page: Page, within: str = "body") -> set[str]:
    """Number all that can be used now, and return the numbers."""
    found = page.evaluate(
        """(within) => [...document.querySelector(within).querySelectorAll(
        'a[href], button:enabled, select:enabled, input:enabled, summary, [tabindex="0"]')]
        .filter((one) => one.checkVisibility()).map((one, number) => (one.dataset.number = `${within} ${number}`))""",
        within,
    )
    return set(found)


def reach_by_tab(page: Page) -> tuple[set[str], set[str]]:
    """From the top to the end: what can be used and is not reached, and what is reached without showing it."""
    wanted, reached, unseen = number_controls(page), set[str](), set[str]()
    for _ in range(len(wanted) + 5):
        number, is_marked = press_tab(page)
        if number is None:
            break
        reached.add(number)
        if not is_marked:
            unseen.add(number)
    return wanted - reached, unseen
