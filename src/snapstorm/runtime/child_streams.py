"""Standard streams of a child that are files."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def open_input(stdin: bytes | int | None) -> Iterator[int | IO[bytes]]:
    """The input of a child. A file, not a pipe, so that nobody has to write to it."""
    if stdin is None:
        yield subprocess.DEVNULL
    elif isinstance(stdin, int):
        yield stdin
    else:
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            yield file


def append_to(log: Path) -> IO[bytes]:
    """The log, opened for appending and readable only by its owner, because a target may print private data."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")
    file.seek(0, os.SEEK_END)
    return file
