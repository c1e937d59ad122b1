"""SIGINT, SIGTERM and SIGHUP end a command cleanly; a second one ends it at once.

The handlers are set when the program starts and stay until its end, so that no signal ends the process with temporary
directories left behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from snapstorm.cli.failures import EXIT_INTERRUPTED

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal ended the command before there was a run to report on."""


@dataclass
class _State:
    on_signal: Callable[[], object] | None = None
    """Ends the current work; if None, KeyboardInterrupt is raised."""
    has_come: bool = False
    """Whether a signal has come already."""


_state = _State()


def handle_signals() -> None:
    """Set the handlers. Only for a process of our own."""
    for number in _NUMBERS:
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # Started by `nohup`.
        signal.signal(number, _handle)


async def until_signal(work: Callable[[], Awaitable[object]]) -> bool:
    """Do the work, unless a signal ends it. Returns whether one did. Failures are raised as they are."""
    loop = asyncio.get_running_loop()
    with anyio.CancelScope() as scope:

        def end() -> None:
            print("ending the run; once more to end it at once", file=sys.stderr, flush=True)
            scope.cancel()

        with _telling(lambda: loop.call_soon_threadsafe(end)):
            await work()
    return scope.cancelled_caught


@contextmanager
def _telling(on_signal: Callable[[], object]) -> Iterator[None]:
    _state.on_signal = on_signal
    try:
        yield
    finally:
        _state.on_signal = None


def _handle(_number: int, _frame: object) -> None:
    if _state.has_come:
        os._exit(EXIT_INTERRUPTED)  # The watchdog then ends the children.
    _state.has_come = True
    if _state.on_signal is None:
        raise KeyboardInterrupt
    _state.on_signal()
