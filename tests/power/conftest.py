"""Counts the defects that were caught, and says so at the end; also if other processes caught them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapstorm.targets.memory.planted import MEMORY_DEFECTS

_PROPERTY = "caught defect"


@pytest.fixture
def note_caught(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes a defect that a test has seen caught."""
    return lambda defect: record_property(_PROPERTY, defect)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.stats.get("passed", [])
    caught = {value for report in passed for name, value in report.user_properties if name == _PROPERTY}
    if caught:
        terminalreporter.write_line(f"tests/power: {len(caught)} of {len(MEMORY_DEFECTS)} planted defects were caught")
