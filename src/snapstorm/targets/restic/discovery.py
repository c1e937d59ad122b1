"""Finding the restic under test, and its rest-server, and saying exactly which they are."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import Program
from snapstorm.runtime.paths import clean_path
from snapstorm.targets.executables import ask_version, check_executable, own_builds, path_of
from snapstorm.targets.restic.environment import HIDDEN
from snapstorm.targets.restic.versions import Version, read_version

NEWEST_VERSION = "0.18.1"
SERVER_VERSION = "0.14.0"
"""The versions that `make tools-restic` builds."""
OLDEST_VERSION: Version = (0, 14, 0)
"""The first whose repositories have the format 2."""
SERVER_VARIABLE = "REST_SERVER_EXE"

_RESTIC = re.compile(r"^restic (\S+) compiled with ", re.MULTILINE)
"""`restic 0.18.1 compiled with go1.26.8 on linux/amd64`; 0.14.0 and 0.16.5 answer likewise (measured)."""
_REST_SERVER = re.compile(r"^rest-server version rest-server (\S+) compiled with ", re.MULTILINE)


def find_restic(named: Path | None = None) -> Program:
    """The restic that the user named, or the project's own build, or that of PATH, the first there is.

    Raises HarnessError, one line, when there is none or when it can't be used.
    """
    path, origin = _locate(named)
    check_executable(path, origin, "restic")
    answer, sha256 = ask_version(path, ["version"], HIDDEN.inherited_environment())
    match = _RESTIC.search(answer)
    if match is None:
        raise HarnessError(f"{path} ({origin}) is not restic: it does not answer `version` as restic does")
    version = match[1].removeprefix("v")
    if read_version(version) < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise HarnessError(f"{path} is restic {version}, which is too old: the oldest that can be tested is {oldest}")
    return Program(path, version, sha256)


def find_version(version: str) -> Path:
    """The restic of just this version: the project's own build, or `restic-VERSION` on PATH. Raises HarnessError."""
    name = f"restic-{version}"
    found = next(own_builds(name), None) or shutil.which(name)
    if found is None:
        raise HarnessError(
            f"no restic {version} was found: build it with `make tools-all`, put it on PATH as {name}, or name the "
            "versions to run through, each with --program"
        )
    return clean_path(found)


def find_rest_server() -> Program:
    """The rest-server that the environment names, or the project's own build, or that of PATH, the first there is.

    Raises HarnessError, one line, when there is none or when it can't be used.
    """
    path, origin = _locate_server()
    check_executable(path, origin, "rest-server")
    answer, sha256 = ask_version(path, ["--version"], HIDDEN.inherited_environment())
    match = _REST_SERVER.search(answer)
    if match is None:
        raise HarnessError(f"{path} ({origin}) is not rest-server: it does not answer --version as rest-server does")
    return Program(path, match[1].removeprefix("v"), sha256)


def _locate(named: Path | None) -> tuple[Path, str]:
    if named is not None:
        return path_of(str(named)), "from --program"
    if own := next(own_builds(f"restic-{NEWEST_VERSION}"), None):
        return own, "the project's own build"
    if on_path := shutil.which("restic"):
        return clean_path(on_path), "from PATH"
    raise HarnessError(
        "no restic was found: build the project's own with `make tools-restic`, put restic on PATH, or give "
        "--program PATH"
    )


def _locate_server() -> tuple[Path, str]:
    if from_environment := os.environ.get(SERVER_VARIABLE):
        return path_of(from_environment), f"from {SERVER_VARIABLE}"
    if own := next(own_builds(f"rest-server-{SERVER_VERSION}"), None):
        return own, "the project's own build"
    if on_path := shutil.which("rest-server"):
        return clean_path(on_path), "from PATH"
    raise HarnessError(
        "no rest-server was found, which restic's clients reach their repositories through: build the project's own "
        f"with `make tools-restic`, put it on PATH, name it in {SERVER_VARIABLE}, or choose --mode direct"
    )
