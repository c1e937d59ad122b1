"""What all tests share: markers by folder, a scratch directory in memory, the event loop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from tests.borgs import BORG
from tests.directories import memory_directory
from tests.sshds import SSHD

hypothesis.settings.register_profile("snapstorm", deadline=None)
hypothesis.settings.load_profile("snapstorm")  # A busy machine is no failure of a property.

FOLDERS = ("unit", "contract", "power", "e2e")


def pytest_configure() -> None:
    """Programs of our own that tests start keep what they have compiled, whatever the environment says."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each folder is a marker, so that `pytest -m power` does what it says."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            folder = item.path.relative_to(here).parts[0]
            if folder in FOLDERS:
                item.add_marker(folder)
    for needed in (BORG, SSHD):
        needed.skip_without(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What could not be run stands right above the last line."""
    for needed in (BORG, SSHD):
        needed.say_what_was_not_run(terminalreporter)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty directory, in memory where there is room."""
    with memory_directory() as path:
        yield path
