"""Progress: what one sees while a run goes on. Live in a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from snapstorm.model.events import (
    ActionBegan,
    ActionEnded,
    Event,
    FaultBegan,
    FaultEnded,
    Listener,
    Noted,
    PhaseBegan,
    RestoreVerified,
    SweepAdvanced,
    ViolationFound,
    ignore,
)
from snapstorm.report.summary import show_bytes

PLAIN_SECONDS_BETWEEN_LINES = 5.0
CLIENTS_SHOWN_MAX = 16


class ProgressKind(StrEnum):
    AUTO = "auto"
    RICH = "rich"
    PLAIN = "plain"
    NONE = "none"


@dataclass
class Picture:
    """What is going on, kept up to date by events; both displays draw from it."""

    phase: str = "starting"
    doing: dict[str, str] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    restores_verified: int = 0
    bytes_verified: int = 0
    violations: int = 0
    sweep: tuple[int, int] | None = None
    fault: str | None = None
    """The one that is active."""

    def take(self, event: Event) -> None:
        match event:
            case PhaseBegan(name):
                self.phase = name
                self.sweep = None
            case ActionBegan(client, key):
                self.doing[client] = key
            case ActionEnded(client, _, outcome):
                self.doing.pop(client, None)
                self.counts.setdefault(client, Counter())[outcome] += 1
            case RestoreVerified(_, _, bytes_verified):
                self.restores_verified += 1
                self.bytes_verified += bytes_verified
            case ViolationFound():
                self.violations += 1
            case SweepAdvanced(restored, total):
                self.sweep = (restored, total)
            case FaultBegan(key):
                self.fault = key
            case FaultEnded():
                self.fault = None
            case Noted():
                pass

    @property
    def headline(self) -> str:
        sweep = f" {self.sweep[0]}/{self.sweep[1]}" if self.sweep else ""
        done = sum(sum(counts.values()) for counts in self.counts.values())
        return (
            f"{self.phase}{sweep} · {done} actions · {self.restores_verified} restores verified "
            f"({show_bytes(self.bytes_verified)}) · {self.violations} violation(s)"
            + (f" · fault: {self.fault}" if self.fault else "")
        )


@contextmanager
def progress(kind: ProgressKind, stream: TextIO) -> Iterator[Listener]:
    """A listener that shows progress on `stream` until the block ends."""
    console = Console(file=stream, highlight=False, soft_wrap=True)
    if kind is ProgressKind.AUTO:
        kind = ProgressKind.RICH if console.is_terminal and not console.is_dumb_terminal else ProgressKind.PLAIN
    if kind is ProgressKind.NONE:
        yield ignore
    elif kind is ProgressKind.PLAIN:
        yield _PlainProgress(stream)
    else:
        picture = Picture()
        began = time.monotonic()
        table = _LiveTable(picture, began)
        with Live(
            table, console=Console(file=stream, force_terminal=True), refresh_per_second=5, transient=True
        ) as live:

            def listen(event: Event) -> None:
                picture.take(event)
                for line in _lines_worth_keeping(event):
                    live.console.print(line, highlight=False, markup=False)

            yield listen


class _LiveTable:
    """Draws the picture anew at each refresh."""

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
            table.add_row(client.partition("@")[0], picture.doing.get(client, ""), *numbers)
        if len(clients) > CLIENTS_SHOWN_MAX:
            table.add_row(f"and {len(clients) - CLIENTS_SHOWN_MAX} more")
        return table


class _PlainProgress:
    """A line at each phase, each violation and note, and every few seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._picture = Picture()
        self._began = self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        self._picture.take(event)
        now = time.monotonic()
        lines = list(_lines_worth_keeping(event))
        if isinstance(event, PhaseBegan):
            lines.append(event.name)
        elif now - self._last >= PLAIN_SECONDS_BETWEEN_LINES:
            lines.append(self._picture.headline)
        for line in lines:
            self._last = now
            print(f"{now - self._began:7.1f} s  {line}", file=self._stream, flush=True)


def _lines_worth_keeping(event: Event) -> Iterator[str]:
    if isinstance(event, ViolationFound):
        detail = event.violation.detail.splitlines()[0]
        yield f"VIOLATED {event.violation.guarantee.value}: {detail}"
    elif isinstance(event, Noted):
        yield event.message
    elif isinstance(event, FaultBegan):
        yield f"fault {event.key}"
    elif isinstance(event, ActionEnded) and event.outcome in ("failed", "unknown"):
        yield f"{event.client.partition('@')[0]}: {event.key} {event.outcome}: {event.reason}"
