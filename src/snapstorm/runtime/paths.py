"""Paths from users: each is made absolute and clean once, when it is read."""

from __future__ import annotations

import os
from pathlib import Path

from snapstorm.errors import ConfigError


def clean_path(path: str | os.PathLike[str]) -> Path:
    """The path, absolute and without `.` and `..`; programs such as Kopia refuse paths that contain them.

    `a/link/..` is the parent of the directory to which the link points. So everything up to the last `..` is resolved
    in the file system; links after it stay as they were given. Raises ConfigError for an empty path, for a relative
    path if the working directory has been removed, and if the part before a `..` is not a reachable directory.
    """
    text = os.fspath(path)
    if not text:
        raise ConfigError("a path must not be empty")
    try:
        parts = Path(text).absolute().parts
    except OSError as error:
        raise ConfigError(
            f"the path {text} can't be used: the current directory has been removed; change to one that exists"
        ) from error
    if ".." not in parts:
        return Path(*parts)
    end = len(parts) - parts[::-1].index("..")
    before, after = Path(*parts[:end]), parts[end:]
    try:
        before.stat()  # The kernel decides whether this leads to a directory; `realpath` is more lenient.
        return Path(os.path.realpath(before), *after)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"the path {text} can't be used: {before.parent}: {reason}") from error
