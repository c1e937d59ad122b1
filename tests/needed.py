"""Tests that need what a machine may lack. Where it does, they are not run, and say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Needed:
    """Something that a machine may lack, and the tests that need it."""

    marker: str
    """The tests bear it."""
    problem: str
    """How the reason begins with which they are skipped."""
    tests: str
    """What people call them."""
    why_missing: Callable[[], str | None]
    """Why the machine lacks it, and what to do; None if it is there."""

    def skip_without(self, items: Sequence[pytest.Item]) -> None:
        """Leave out the tests that need it, where it is missing."""
        marked = [item for item in items if item.get_closest_marker(self.marker) is not None]
        reason = self.why_missing() if marked else None
        if reason is not None:
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=f"{self.problem}{reason}"))

    def say_what_was_not_run(self, terminal: pytest.TerminalReporter) -> None:
        """Say how many they are, and what to do, where nobody overlooks it."""
        skipped = [report for report in terminal.getreports("skipped") if self.problem in str(report.longrepr)]
        if skipped:
            terminal.write_sep("!", f"{len(skipped)} {self.tests} WERE NOT RUN", red=True, bold=True)
            terminal.write_line(self.why_missing() or "")
