"""Output for a terminal: clients and counts that change in place, and a summary in colours."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from snapstorm.model.events import Event, Listener
from snapstorm.model.verdict import Verdict
from snapstorm.report.progress import Picture, lines_worth_keeping
from snapstorm.report.summary import STYLES
from snapstorm.report.text import printable

CLIENTS_SHOWN_MAX = 16


@contextmanager
def live_progress(stream: TextIO) -> Iterator[Listener]:
    """A listener that shows progress in place until the block ends."""
    picture = Picture()
    table = _LiveTable(picture, time.monotonic())
    console = Console(file=stream, force_terminal=True)
    with Live(table, console=console, refresh_per_second=5, transient=True) as live:

        def listen(event: Event) -> None:
            picture.take(event)
            for line in lines_worth_keeping(event):
                live.console.print(line, highlight=False, markup=False)

        yield listen


def print_summary(lines: Sequence[str], verdict: Verdict, stream: TextIO) -> None:
    """The summary, its last line in the colour of the verdict."""
    console = Console(file=stream, highlight=False, soft_wrap=True)
    for line in lines[:-1]:
        console.print(line, markup=False, style="red" if line.startswith("VIOLATED") else None)
    console.print(lines[-1], markup=False, style=STYLES[verdict])


class _LiveTable:
    """Draws the picture again at each refresh."""

    def __init__(self, picture: Picture, began: float) -> None:
        self._picture = picture
        self._began = began

    def __rich__(self) -> Group:
        picture = self._picture
        headline = Text(f"{time.monotonic() - self._began:5.0f} s  {picture.headline}")
        headline.stylize("bold red" if picture.violations else "bold")
        return Group(headline, self._clients_table())

    def _clients_table(self) -> Table:
        picture = self._picture
        table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
        for column in ("client", "now", "ok", "no-op", "failed", "unknown"):
            table.add_column(
                column,
                justify="left" if column in ("client", "now") else "right",
                style="dim" if column == "no-op" else "",
            )
        clients = sorted(picture.counts.keys() | picture.doing.keys(), key=lambda name: (len(name), name))
        for client in clients[:CLIENTS_SHOWN_MAX]:
            counts = picture.counts.get(client, Counter())
            numbers = [str(counts[key]) for key in ("ok", "no_op", "failed", "unknown")]
            table.add_row(printable(client.partition("@")[0]), picture.doing.get(client, ""), *numbers)
        if len(clients) > CLIENTS_SHOWN_MAX:
            table.add_row(f"and {len(clients) - CLIENTS_SHOWN_MAX} more")
        return table
