"""Progress, shown while a run goes on: live in a terminal, as plain lines elsewhere, or not at all."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TextIO

from snapstorm.model.events import (
    ActionBegan,
    ActionEnded,
    DaysLived,
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
from snapstorm.report.github import github_progress
from snapstorm.report.summary import show_bytes
from snapstorm.report.text import printable

PLAIN_SECONDS_BETWEEN_LINES = 5.0


class ProgressKind(StrEnum):
    AUTO = "auto"
    RICH = "rich"
    PLAIN = "plain"
    GITHUB = "github"
    NONE = "none"


@dataclass
class Picture:
    """What is going on, updated by events; both displays draw from it."""

    phase: str = "starting"
    doing: dict[str, str] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    restores_verified: int = 0
    bytes_verified: int = 0
    violations: int = 0
    sweep: tuple[int, int] | None = None
    sweep_phase: str | None = None
    """The phase in which the sweep began. Its last restores are compared in the next phase, where they are not the
    headline."""
    days: str = ""
    """How many virtual days have passed."""
    fault: str | None = None
    """The active fault."""

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
                self.sweep_phase = self.sweep_phase or self.phase
                self.sweep = (restored, total) if self.phase == self.sweep_phase else None
            case DaysLived(days, of_days):
                self.days = f" · day {days:,.0f} of {of_days:,.0f}"
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
            f"{self.phase}{sweep}{self.days} · {done} actions · {self.restores_verified} restores verified "
            f"({show_bytes(self.bytes_verified)}) · {self.violations} violation(s)"
            + (f" · fault: {self.fault}" if self.fault else "")
        )


@contextmanager
def progress(kind: ProgressKind, stream: TextIO) -> Iterator[Listener]:
    """A listener that shows progress on `stream` until the block ends."""
    if kind is ProgressKind.AUTO:
        kind = ProgressKind.RICH if may_be_terminal(stream) else ProgressKind.PLAIN
    if kind is ProgressKind.NONE:
        yield ignore
    elif kind is ProgressKind.PLAIN:
        yield _PlainProgress(stream)
    elif kind is ProgressKind.GITHUB:
        with github_progress(stream) as listen:
            yield listen
    else:
        # Imported only if needed: it takes a tenth of the time in which the command starts.
        from snapstorm.report.terminal import live_progress  # noqa: PLC0415

        with live_progress(stream) as listen:
            yield listen


def may_be_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can show colours and changing lines."""
    is_dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return (stream.isatty() and not is_dumb) or bool(os.environ.get("FORCE_COLOR"))


class _PlainProgress:
    """A line at each phase, violation and note, and one every few seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._picture = Picture()
        self._began = self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        self._picture.take(event)
        now = time.monotonic()
        lines = list(lines_worth_keeping(event))
        if isinstance(event, PhaseBegan):
            lines.append(event.name)
        elif now - self._last >= PLAIN_SECONDS_BETWEEN_LINES:
            lines.append(self._picture.headline)
        for line in lines:
            self._last = now
            print(f"{now - self._began:7.1f} s  {line}", file=self._stream, flush=True)


def lines_worth_keeping(event: Event) -> Iterator[str]:
    """The lines of an event that should still be there to read when the run has ended. Text of the target in them can't
    affect the terminal."""
    if isinstance(event, ViolationFound):
        detail = printable(event.violation.detail).partition("\n")[0]
        yield f"VIOLATED {event.violation.guarantee.value}: {detail}"
    elif isinstance(event, Noted):
        yield printable(event.message)
    elif isinstance(event, FaultBegan):
        yield f"fault {event.key}"
    elif isinstance(event, ActionEnded) and event.outcome in ("locked", "failed", "unknown"):
        yield printable(f"{event.client.partition('@')[0]}: {event.key} {event.outcome}: {event.reason}")
