"""Failures that nothing is prepared for, in the command line's words."""

from __future__ import annotations

import os
import sqlite3


def unforeseen(error: Exception) -> str:
    """What is said of a failure of the machine's that came out of nowhere, or of a mistake of our own."""
    if isinstance(error, OSError | sqlite3.Error):
        return f"could not go on: {error}"
    return f"internal error, please report it: {type(error).__name__}: {error}"


def is_debugged() -> bool:
    """Whether somebody wants to see where a mistake of our own was made."""
    return bool(os.environ.get("SNAPSTORM_DEBUG"))
