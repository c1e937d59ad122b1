"""Dies on purpose at a durable step, so that tests can prove that a kill at any moment loses nothing.

`SNAPSTORM_CRASH_AT=12:before` kills this process right before the twelfth commit of its ledger, `12:after` right after
it. For tests only; if unset, it costs one comparison for each commit.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "SNAPSTORM_CRASH_AT"


class CrashPoint:
    """Counts commits, and ends the process at the one that the environment names."""

    def __init__(self) -> None:
        number, _, self._when = os.environ.get(VARIABLE, "").partition(":")
        self._commits_left = int(number) if number.isdecimal() else 0

    def before_commit(self) -> None:
        """Called before each commit."""
        self._die_if_due("before")

    def after_commit(self) -> None:
        """Called after each commit."""
        self._die_if_due("after")
        self._commits_left -= 1

    def _die_if_due(self, when: str) -> None:
        if self._commits_left == 1 and self._when == when:
            os.kill(os.getpid(), signal.SIGKILL)
