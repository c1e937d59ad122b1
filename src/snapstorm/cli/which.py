"""Reads which run is meant, for the commands that look at one run or repeat it.

bed         the latest run on the testbed `bed` that found a violation; without one, the latest run
bed:12      its run 12
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from snapstorm.errors import ConfigError
from snapstorm.ledger.ledger import Ledger
from snapstorm.runtime.paths import clean_path
from snapstorm.testbed.testbed import read_testbed


class WhichRun(NamedTuple):
    """One run of one testbed."""

    testbed: Path
    """Absolute."""
    number: int


def find_run(text: str, *, is_latest: bool = False) -> WhichRun:
    """The run that `TESTBED` or `TESTBED:NUMBER` means; with `is_latest`, without a number the latest, violated or not.

    Raises ConfigError if there is no such testbed or run, TestbedError for a ledger that can't be read.
    """
    directory, number = _split(text)
    with read_testbed(directory) as ledger:
        return WhichRun(
            directory,
            _latest(directory, ledger, is_latest=is_latest) if number is None else _existing(ledger, number, text),
        )


def _split(text: str) -> tuple[Path, int | None]:
    """The directory and the number, if there is one. A directory that exists under the whole text is meant itself."""
    name, colon, number = text.rpartition(":")
    if not text.strip():
        raise ConfigError("a run is given as TESTBED or TESTBED:NUMBER, not as an empty text")
    whole = clean_path(text)
    try:
        is_whole = not colon or not name or whole.is_dir()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the path {text!r} can't be used: {error}") from error
    if is_whole:
        return whole, None
    if not (number.isascii() and number.isdigit()):
        raise ConfigError(f"a run is given as TESTBED or TESTBED:NUMBER, and {number!r} in {text!r} is no number")
    return clean_path(name), int(number)


def _latest(directory: Path, ledger: Ledger, *, is_latest: bool) -> int:
    violated = max((run for _, run, _, _ in ledger.violations()), default=None)
    if violated is not None and not is_latest:
        return violated
    latest = ledger.runs(1)
    if not latest:
        raise ConfigError(f"there has been no run on the testbed {directory}")
    return int(latest[0]["number"])


def _existing(ledger: Ledger, number: int, text: str) -> int:
    if ledger.has_run(number):
        return number
    latest = ledger.runs(1)
    known = f"its latest is {latest[0]['number']}" if latest else "it has none"
    raise ConfigError(f"{text}: this testbed has no run {number}; {known}")
