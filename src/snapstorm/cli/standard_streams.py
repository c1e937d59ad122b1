"""Standard output and error that never raise, and that remember what could not be written.

A command may be started with a closed or full output, or its reader may end first. Its work goes on, and its exit
status says at the end whether its result could be written.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, TextIO

from snapstorm.model.readable import as_bytes_in_hex, readable
from snapstorm.report.text import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

EXIT_NOT_TOLD = 3
_STANDS_ANYHOW = frozenset({1, 130})
"""Exit statuses (violated, interrupted) that are kept although their reason could not be written."""

_IN_ASCII = {"·": "-", "…": "..."}
"""Our own typography where the output's encoding does not have it."""


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that the encoding lacks by escapes."""
    assert isinstance(error, UnicodeEncodeError)
    shown = readable(error.object[error.start : error.end])
    try:
        shown.encode(error.encoding)
    except UnicodeEncodeError:
        shown = "".join(_IN_ASCII.get(char) or as_bytes_in_hex(char) for char in shown)
    return shown, error.end


codecs.register_error("snapstorm-readable", _escape)


class _Descriptor(io.FileIO):
    """A descriptor to write to. What can't be written is dropped and remembered."""

    lost: OSError | None = None
    """Why something was lost; None if nothing was."""
    was_used = False

    def __init__(self, number: int, *, is_closed: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._is_closed = is_closed

    def write(self, data: ReadableBuffer, /) -> int:
        self.was_used = True
        left = memoryview(data).cast("B")
        size = len(left)
        if self._is_closed:
            self.lost = OSError(errno.EBADF, "it is closed")
            return size
        try:
            while left:
                written = super().write(left)
                if written is None:  # Another process that shares this descriptor has made it non-blocking.
                    select.select([], [self], [])
                else:
                    left = left[written:]
        except OSError as error:
            self.lost = error
        return size


class StandardStream(io.TextIOWrapper):
    """Standard output or error as text."""

    def __init__(self, number: int, encoding: str, *, is_closed: bool, is_line_buffered: bool) -> None:
        self.descriptor = _Descriptor(number, is_closed=is_closed)
        super().__init__(
            io.BufferedWriter(self.descriptor),
            encoding=encoding,
            errors="snapstorm-readable",
            line_buffering=is_line_buffered,
        )


_OPENED: list[StandardStream] = []
"""Standard output and error, once they are open."""


def open_streams() -> None:
    """Replace Python's own streams, before anything else is opened.

    A closed descriptor is opened on the null device: the next file that somebody opens, such as the ledger, would
    otherwise get its number, and everything printed would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                # Gets the lowest free number, which is this one.
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:  # Python found it closed.
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    for number, name in ((1, "stdout"), (2, "stderr")):
        given: TextIO | None = getattr(sys, name)
        encoding = "utf-8" if given is None else given.encoding
        is_line_buffered = number == 2 or given is None or bool(given.line_buffering)
        stream = StandardStream(number, encoding, is_closed=given is None, is_line_buffered=is_line_buffered)
        setattr(sys, name, stream)
        _OPENED.append(stream)


def for_progress(stream: TextIO) -> TextIO:
    """A stream to the same place whose losses don't count, because the summary repeats what matters."""
    if not isinstance(stream, StandardStream):
        return stream
    return StandardStream(stream.fileno(), stream.encoding, is_closed=False, is_line_buffered=True)


def complain(message: str) -> None:
    """Print what is wrong on standard error."""
    for line in message.splitlines():
        print(f"snapstorm: {printable(line)}", file=sys.stderr)


def end(status: int) -> NoReturn:
    """End at once with this status, or with 3 if the command's result could not be written.

    Everything is closed by now, and Python's own end would take a tenth of a second.
    """
    os._exit(status if _is_told() or status in _STANDS_ANYHOW else EXIT_NOT_TOLD)


def _is_told() -> bool:
    """Whether the result was written: what was printed on standard output, or if nothing was, on standard error."""
    output, errors = _OPENED
    output.flush()
    lost = output.descriptor.lost
    if lost is not None:
        complain(f"the result could not be written to standard output: {lost.strerror}")
    errors.flush()
    return lost is None and (errors.descriptor.lost is None or output.descriptor.was_used)
