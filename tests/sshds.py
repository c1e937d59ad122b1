"""Tests that need an sshd of our own. Where none can be used, they say so."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from snapstorm.errors import HarnessError
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.borg.sshd import check_sshd, find_ssh

MARKER = "needs_sshd"
_NOT_RUN = "sshd can't be used here: "


@functools.cache
def why_not_usable() -> str | None:
    """Why no sshd can be started here, and what to do; None if one can."""

    async def check() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with ProcessRunner("needs-sshd") as runner:
                await check_sshd(find_ssh(), runner, Path(directory))

    try:
        anyio.run(check)
    except HarnessError as error:
        return str(error)
    return None


def skip_without_sshd(items: Sequence[pytest.Item]) -> None:
    """Leave out the tests that need one, where none can be used."""
    marked = [item for item in items if item.get_closest_marker(MARKER) is not None]
    reason = why_not_usable() if marked else None
    if reason is not None:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"{_NOT_RUN}{reason}"))


def say_what_was_not_run(terminal: pytest.TerminalReporter) -> None:
    """Say how many they are, and what to do, where nobody overlooks it."""
    skipped = [report for report in terminal.getreports("skipped") if _NOT_RUN in str(report.longrepr)]
    if skipped:
        terminal.write_sep("!", f"{len(skipped)} TESTS OF BORG OVER SSH WERE NOT RUN", red=True, bold=True)
        terminal.write_line(why_not_usable() or "")
