"""The history that the gateway has kept, to be read: what its bucket held at any time."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import TestbedError
from snapstorm.gateway.contents import Contents
from snapstorm.gateway.past import BucketPast
from snapstorm.gateway.rules import CAN_HAVE, Misbehaviour, RuleEffect
from snapstorm.gateway.storage import CONTENTS_NAME, LOG_NAME
from snapstorm.gateway.write_log import HistorySize, WriteLog


@dataclass(frozen=True)
class StorageHistory:
    """The past of a bucket, opened for reading."""

    past: BucketPast
    contents: Contents
    size: HistorySize
    lied_from: int | None
    """The first event at which the storage lied on purpose, so that nothing could be promised any more; None if it
    never did."""
    misled_from: int | None
    """The same where it lied or lagged on purpose, so that snapshots may have been spoiled."""


@contextmanager
def opened_history(directory: Path) -> Iterator[StorageHistory]:
    """The history in a directory, which must be there. Raises TestbedError if it can't be read."""
    with contextlib.ExitStack() as stack:
        try:
            log = stack.enter_context(WriteLog(directory / LOG_NAME, is_read_only=True))
            contents = stack.enter_context(Contents(directory / CONTENTS_NAME, is_read_only=True))
            torn = {(strike.event, strike.key) for strike in log.strikes() if strike.effect == RuleEffect.TORN}
            # Half an object that nobody was told of: no storage shows it after a crash that keeps to S3.
            writes = tuple(write for write in log.writes() if (write.arrived, write.key) not in torn)
            past = BucketPast(writes, log.last_event)
            lied_from = _first_strike(log, {Misbehaviour.LIES})
            misled_from = _first_strike(log, {Misbehaviour.LIES, Misbehaviour.LAGS})
            history = StorageHistory(past, contents, log.size(), lied_from, misled_from)
        except (OSError, sqlite3.Error) as error:
            raise TestbedError(f"the history in {directory} can't be read: {error}") from error
        yield history


def has_history(directory: Path) -> bool:
    """Whether the gateway has kept one in this directory."""
    return (directory / LOG_NAME).exists()


def size_of_history(directory: Path) -> HistorySize | None:
    """How much is kept there, also while the gateway writes it; None if there is none. Raises TestbedError."""
    if not has_history(directory):
        return None
    try:
        with WriteLog(directory / LOG_NAME, is_read_only=True) as log:
            return log.size()
    except sqlite3.Error as error:
        raise TestbedError(f"the history in {directory} can't be read: {error}") from error


def _first_strike(log: WriteLog, kinds: Container[Misbehaviour]) -> int | None:
    """The first event at which the storage misbehaved in one of these ways; None if it never did."""
    effects = {effect.value for effect, (kind, _) in CAN_HAVE.items() if kind in kinds}
    return min((strike.event for strike in log.strikes() if strike.effect in effects), default=None)
