"""Finding the borg under test, and saying exactly which one it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import Program
from snapstorm.runtime.paths import clean_path
from snapstorm.targets.borg.environment import inherited_environment
from snapstorm.targets.executables import ask_version, check_executable, own_builds, path_of

PINNED_VERSION = "1.4.5"
OLDEST_VERSION = (1, 2)
"""The first with `compact`."""
_NEXT_MAJOR = (2,)
"""Has another command line and another repository."""

_QUESTION = ("--log-json", "--version")
"""Other programs have no such option."""
_VERSION_LINE = re.compile(r"^.+ (\d+(?:\.\d+)*)(\S*)$", re.MULTILINE)
"""What borg answers: the name of its file and the version, `borg 1.4.5`, `borg 2.0.0b25` (1.2.4, 1.4.5, measured)."""


def find_borg(named: Path | None = None) -> Program:
    """The borg that the user named, or else the project's own build, or that of PATH.

    Raises HarnessError, one line, when there is none or when it can't be used.
    """
    path, origin = _locate(named)
    check_executable(path, origin, "borg")
    return _identify(path, origin)


def _locate(named: Path | None) -> tuple[Path, str]:
    if named is not None:
        return path_of(str(named)), "from --program"
    if own := next(own_builds(f"borg-{PINNED_VERSION}"), None):
        return own, "the project's own build"
    if on_path := shutil.which("borg"):
        return clean_path(on_path), "from PATH"
    raise HarnessError(
        "no borg was found: build the project's own with `make tools-borg`, give --program PATH, or put borg on PATH"
    )


def find_version(version: str) -> Path:
    """The borg of just this version: the project's own build, or `borg-VERSION` on PATH. Raises HarnessError."""
    name = f"borg-{version}"
    found = next(own_builds(name), None) or shutil.which(name)
    if found is None:
        raise HarnessError(
            f"no borg {version} was found: build it with `make tools-all`, put it on PATH as {name}, or name the "
            "versions, each with --program"
        )
    return clean_path(found)


def _identify(path: Path, origin: str) -> Program:
    answer, sha256 = ask_version(path, _QUESTION, inherited_environment())
    match = _VERSION_LINE.search(answer)
    if match is None:
        raise HarnessError(f"{path} ({origin}) is not borg: it does not answer --version as borg does")
    version, number = match[1] + match[2], tuple(map(int, match[1].split(".")))
    if number < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise HarnessError(f"{path} is borg {version}, which is too old: the oldest that can be tested is {oldest}")
    if number >= _NEXT_MAJOR:
        raise HarnessError(f"{path} is borg {version}: borg 2 is another program, only borg 1 can be tested")
    return Program(path, version, sha256)
