"""Tests that need the pinned borg. It is compiled, and where headers are missing it can't be: then they say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from snapstorm.targets.borg.discovery import PINNED_VERSION

MARKER = "needs_borg"
_TOOLS = Path(__file__).parents[1] / ".tools"
_NOT_RUN = "borg could not be built: "


def why_not_built() -> str | None:
    """Why `make` could not build the pinned borg; None where it could, or has not tried: then its tests fail."""
    reason = _TOOLS / f"borg-{PINNED_VERSION}.missing"
    if (_TOOLS / "bin" / f"borg-{PINNED_VERSION}").exists() or not reason.exists():
        return None
    return reason.read_text().strip()


def skip_without_borg(items: Sequence[pytest.Item]) -> None:
    """Leave out the tests that need it, where it could not be built."""
    reason = why_not_built()
    if reason is not None:
        for item in items:
            if item.get_closest_marker(MARKER) is not None:
                item.add_marker(pytest.mark.skip(reason=f"{_NOT_RUN}{reason}"))


def say_what_was_not_run(terminal: pytest.TerminalReporter) -> None:
    """Say how many they are, and what to do, where nobody overlooks it."""
    skipped = [report for report in terminal.getreports("skipped") if _NOT_RUN in str(report.longrepr)]
    if skipped:
        terminal.write_sep("!", f"{len(skipped)} TESTS OF THE TARGET BORG WERE NOT RUN", red=True, bold=True)
        terminal.write_line(why_not_built() or "")
