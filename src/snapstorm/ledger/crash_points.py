"""Dies on purpose at a durable step, so that tests can prove that a kill at any moment loses nothing.

`SNAPSTORM_CRASH_AT=12:before` kills this process right before the twelfth commit of its ledger, `12:after` right after
it. For tests only.
"""

from __future__ import annotations

import os
import signal
import sqlite3

VARIABLE = "SNAPSTORM_CRASH_AT"


class CrashPoint:
    """Commits for a ledger, and ends the process at the commit that was named."""

    def __init__(self, commits_left: int, when: str) -> None:
        self._commits_left = commits_left
        self._when = when

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commit. Does not return if this is the one."""
        is_due = self._commits_left == 1
        if is_due and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        connection.execute("COMMIT")
        if is_due and self._when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        self._commits_left -= 1


def named_crash_point() -> CrashPoint | None:
    """The crash point that the environment names; None for a process that goes on."""
    number, _, when = os.environ.get(VARIABLE, "").partition(":")
    return CrashPoint(int(number), when) if number.isdecimal() else None
