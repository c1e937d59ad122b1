"""Leaks: what the server's process holds when nobody works, at the end of a run against its beginning."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from snapstorm.engine.checker import Checker
from snapstorm.engine.run import Run
from snapstorm.model.abilities import InProcess, ShowsLayout, StoredInFiles
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import Server
from snapstorm.runtime.threads import run_file_work

OPEN_FILES_GROWTH_MAX = 64
"""A healthy server holds 10 when idle, with one client or many (Kopia 0.22.3 and 0.23.1, measured); one that leaks
(#4866) holds one more for each snapshot."""
MEMORY_BYTES_GROWTH_MAX = 2 << 30
"""Caches are meant to grow. More than this is no cache."""
SESSIONS_GROWTH_MAX = 8
"""The server itself may hold one; a killed one leaves it behind, and is not judged."""
_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """What is held at one moment at which nobody works."""

    pid: int
    open_files: int
    memory_bytes: int
    unfinished_files: int
    """Files of the repository that are not finished, though nobody writes."""
    sessions: int
    """Writers that seem to be at work, though nobody is."""


class LeakWatch:
    """Looks at one run's server, if it is a process of our own on Linux."""

    def __init__(self, run: Run, server: Server, checker: Checker) -> None:
        self._run = run
        self._server = server
        self._checker = checker
        self._first: Held | None = None

    async def begin(self) -> None:
        """Look for the first time, before clients work."""
        self._first = await self._look()

    async def end(self) -> None:
        """Look again, after they have worked, and judge. What a restart or a fault has changed is not judged."""
        last, first = await self._look(), self._first
        if last is None or first is None or last.pid != first.pid or self._run.weather.has_disturbed_process:
            return
        for what, before, now, growth_max in (
            ("open files of the server", first.open_files, last.open_files, OPEN_FILES_GROWTH_MAX),
            ("bytes of memory of the server", first.memory_bytes, last.memory_bytes, MEMORY_BYTES_GROWTH_MAX),
            ("unfinished files in the repository", first.unfinished_files, last.unfinished_files, 0),
            ("sessions of writers", first.sessions, last.sessions, SESSIONS_GROWTH_MAX),
        ):
            if now - before > growth_max:
                self._checker.report(
                    Guarantee.NO_LEAK,
                    f"{now:,} {what} when nobody works, {before:,} at the beginning of the run; at most "
                    f"{growth_max:,} more are allowed",
                    fingerprint=what,
                )

    async def _look(self) -> Held | None:
        pid = self._server.server_pid if isinstance(self._server, InProcess) else None
        if pid is None:
            return None
        try:
            open_files, memory_bytes = look_at_process(pid)
        except OSError:
            return None  # Ended, or no /proc here.
        unfinished = 0
        if isinstance(self._server, StoredInFiles) and self._server.storage_directory is not None:
            unfinished = await run_file_work(
                count_unfinished, self._server.storage_directory, self._server.unfinished_suffix
            )
        sessions = await self._server.open_sessions() if isinstance(self._server, ShowsLayout) else None
        return Held(pid, open_files, memory_bytes, unfinished, sessions or 0)


def look_at_process(pid: int) -> tuple[int, int]:
    """How many files a process has open, and how many bytes of memory it holds. Raises OSError if it has gone."""
    resident = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace"))
    return len(os.listdir(f"/proc/{pid}/fd")), int(resident[1]) * 1024 if resident else 0


def count_unfinished(directory: Path, suffix: str) -> int:
    """How many files below a directory have this in their names, which marks those that are not finished."""
    count = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                count += count_unfinished(directory / entry.name, suffix)
            else:
                count += suffix in entry.name
    return count
