"""Unexpected failures, in one line each.

This module is loaded before everything else, so it loads nothing that may be missing.
"""

from __future__ import annotations

import os
import traceback
from types import TracebackType

EXIT_BAD_USAGE = 2
EXIT_HARNESS = 3
EXIT_INTERRUPTED = 130

_IMPORT_SYSTEM = "<frozen importlib"


def unforeseen(error: Exception | SystemExit) -> str:
    """One line on an unexpected failure of the machine, or on a mistake of our own."""
    if isinstance(error.__cause__, ImportError):
        error = error.__cause__  # Raised by what loads a command by its name.
    if (module := module_that_failed(error)) is not None:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return f"the module {module} can't be loaded ({words}); install snapstorm and what it needs again"
    import sqlite3  # noqa: PLC0415 - may itself be what can't be loaded

    if isinstance(error, OSError) and error.strerror:
        place = os.fsdecode(error.filename) + ": " if isinstance(error.filename, str | bytes) else ""
        return f"could not go on: {place}{error.strerror}"
    if isinstance(error, OSError | sqlite3.Error):
        return f"could not go on: {error}"
    return f"internal error, please report it: {type(error).__name__}: {error}"


def module_that_failed(error: BaseException) -> str | None:
    """The module whose import raised this; None if no import did."""
    if isinstance(error, ImportError):
        return error.name or _module_in_traceback(error.__traceback__) or "?"
    if isinstance(error, SyntaxError):
        return error.filename or "?"
    return _module_in_traceback(error.__traceback__)


def _module_in_traceback(trace: TracebackType | None) -> str | None:
    """The innermost module in the traceback that was being found or executed."""
    found: str | None = None
    for frame, _ in traceback.walk_tb(trace):
        code = frame.f_code
        if code.co_name == "<module>":
            found = frame.f_globals.get("__name__")
        elif code.co_filename.startswith(_IMPORT_SYSTEM):
            found = frame.f_locals.get("fullname") or frame.f_locals.get("name") or found or "?"
    return None if found == "__main__" else found


def show_if_debugged() -> None:
    """Print where the exception at hand was raised, if SNAPSTORM_DEBUG is set."""
    if is_debugged():
        traceback.print_exc()


def is_debugged() -> bool:
    """Whether SNAPSTORM_DEBUG asks for tracebacks."""
    return bool(os.environ.get("SNAPSTORM_DEBUG"))
