"""Extracts of logs: the lines of a target's logs from a given time.

A line begins with a UTC time stamp, as `2026-01-31T12:00:00.123456Z DEBUG ...` or `{"t":"2026-01-31T12:00:00...` (Kopia
has both, measured on 0.19.0 and 0.23.1). A line without one belongs to the line before it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

_STAMP = re.compile(rb"\D{0,8}(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d{1,6})?")
_FILES_MAX = 24
_FILE_BYTES_MAX = 1 << 20
_UNSTAMPED_BYTES_MAX = 64 << 10
_PROBE_BYTES = 64 << 10
"""How far a time stamp is searched for; a longer stretch without one counts as none."""
_CLOSE_BYTES = 4096
"""Below this distance lines are read one by one, instead of halving the stretch."""


@dataclass(frozen=True)
class Window:
    """A stretch of time, in seconds since 1970."""

    begin: float
    end: float


def extract_logs(logs: Path, into: Path, window: Window, scrub: Callable[[bytes], bytes] = bytes) -> int:
    """Copy what was written in this time from the log files at or below `logs`, each to a file of its name. `scrub`
    removes secrets, since a program that writes its own log may print what it was given.

    Returns how many files were written. If there are many files, the latest are read; if there is much text, the last
    megabyte.
    """
    count = 0
    for path in _files(logs, window)[-_FILES_MAX:]:
        text = _extract(path, window)
        if text:
            into.mkdir(exist_ok=True)
            name = path.name if logs in (path, path.parent) else f"{path.parent.name}-{path.name}"
            (into / name).write_bytes(scrub(text))
            count += 1
    return count


def _files(logs: Path, window: Window) -> list[Path]:
    """The files that were written to since the window began, in the order of their last lines."""
    found = [logs] if logs.is_file() else list(logs.rglob("*.log"))
    stamped = [(path.stat().st_mtime, path) for path in found if not path.is_symlink() and path.is_file()]
    return [path for modified, path in sorted(stamped) if modified >= window.begin]


def _extract(path: Path, window: Window) -> bytes:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if _stamp_after(file, 0) is None:
            return _read(file, max(0, size - _UNSTAMPED_BYTES_MAX), size)
        begin, end = (_offset_at(file, size, moment) for moment in (window.begin, window.end))
        return _read(file, max(begin, end - _FILE_BYTES_MAX), end, left_out_bytes=end - begin - _FILE_BYTES_MAX)


def _read(file: BinaryIO, begin: int, end: int, left_out_bytes: int = 0) -> bytes:
    file.seek(begin)
    text = file.read(end - begin)
    return text if left_out_bytes <= 0 else b"[%d bytes of this time left out]\n" % left_out_bytes + text


def _offset_at(file: BinaryIO, size: int, moment: float) -> int:
    """The offset of the first line that was written at this time or later; the file's end if there is none."""
    low, high = 0, size
    while high - low > _CLOSE_BYTES:
        middle = (low + high) // 2
        found = _stamp_after(file, middle)
        if found is None or found >= moment:
            high = middle
        else:
            low = middle
    file.seek(low)
    if low:
        file.readline()  # The rest of a line that began before.
    while True:
        at = file.tell()
        line = file.readline(_PROBE_BYTES)
        if not line:
            return size
        stamp = _read_stamp(line)
        if stamp is not None and stamp >= moment:
            return at


def _stamp_after(file: BinaryIO, offset: int) -> float | None:
    """The time stamp of the first line with one that begins after this offset, or at the beginning of the file."""
    file.seek(offset)
    lines = file.read(_PROBE_BYTES).split(b"\n")
    return next((stamp for line in lines[offset > 0 :] if (stamp := _read_stamp(line)) is not None), None)


def _read_stamp(line: bytes) -> float | None:
    match = _STAMP.match(line)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1].decode()).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return whole + float(match[2] or 0)
