"""Counts the defects that were caught, and says so at the end."""

from __future__ import annotations

import pytest

from snapstorm.targets.memory import DEFECTS

_caught: set[str] = set()


@pytest.fixture
def caught_defects() -> set[str]:
    """Where a test notes the defect that it has seen caught."""
    return _caught


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _caught:
        terminalreporter.write_line(f"tests/power: {len(_caught)} of {len(DEFECTS)} planted defects were caught")
