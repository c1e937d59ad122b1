"""Finding the Kopia under test, and saying exactly which one it is.

Any Kopia is accepted, a script around one as well. What is refused is refused in one line, before anything starts.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import Program
from snapstorm.runtime.paths import clean_path
from snapstorm.targets.executables import ask_version, check_executable, own_builds, path_of
from snapstorm.targets.kopia.environment import inherited_environment

EXECUTABLE_VARIABLE = "KOPIA_EXE"
UNKNOWN_VERSION = "unknown"
OLDEST_VERSION = (0, 18, 0)
"""The first with PBKDF2 key derivation and with encoded hashes for `server users add` (by Kopia's history, and those
are the youngest of the features used here)."""

_OWN_BUILD_VERSION = "0.23.1"

_VERSION_LINE = re.compile(r"^(\S+) build: .* from: ", re.MULTILINE)
"""What `kopia --version` prints: `0.23.1 build: REVISION from: REPOSITORY` (0.19.0 to 0.23.1, measured)."""
_SEMANTIC_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_BUILD_TAGS = re.compile(rb"^build\t-tags=([^\n]*)$", re.MULTILINE)
_TESTING_SUFFIX = "-testing"
_BUILD_INFORMATION = b"\tgithub.com/kopia/kopia\t"
"""The line of the Go build information that names Kopia's module, as the program itself or as a dependency of ours:
`mod MODULE VERSION HASH` or `dep MODULE VERSION HASH`, with tabs."""


def find_kopia(named: Path | None = None) -> Program:
    """The Kopia that the user named, or that of KOPIA_EXE, of PATH, or the project's own build, the first there is.

    Raises HarnessError, one line, when there is none or when it can't be used.
    """
    path, origin = _locate(named)
    check_executable(path, origin, "Kopia")
    return _identify(path, origin)


def find_virtual_kopia(named: Path | None = None) -> Program:
    """The Kopia that the user named; otherwise that of KOPIA_EXE or PATH if it can live in virtual time, or else the
    project's own build that can.

    Raises HarnessError, one line, when there is none, when it can't be used, or when it can't live in virtual time.
    """
    if named is None:
        return find_kopia(_locate_virtual())
    found = find_kopia(named)
    if not is_built_for_testing(found.path):
        raise HarnessError(
            f"{found.path} can't live in virtual time, because it was not built with -tags=testing; `make tools-all` "
            "builds Kopias that were"
        )
    return found


def _locate_virtual() -> Path:
    names = (os.environ.get(EXECUTABLE_VARIABLE) or "", shutil.which("kopia") or "")
    usual = [path_of(name) for name in names if name]
    found = next((path for path in usual if is_built_for_testing(path)), None)
    found = found or next(_own_builds(f"{_OWN_BUILD_VERSION}{_TESTING_SUFFIX}"), None)
    if found is None:
        raise HarnessError(
            "no Kopia was found that can live in virtual time: build it with `make tools-all`, or give --program PATH "
            "of one that was built with -tags=testing"
        )
    return found


def is_built_for_testing(path: Path) -> bool:
    """Whether the Go build information in the file says that it was built with the tag `testing`."""
    try:
        if path.stat().st_size == 0:
            return False
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(b"testing" in match[1].split(b",") for match in _BUILD_TAGS.finditer(content))
    except OSError:
        return False


def _locate(named: Path | None) -> tuple[Path, str]:
    if named is not None:
        return path_of(str(named)), "from --program"
    if from_environment := os.environ.get(EXECUTABLE_VARIABLE):
        return path_of(from_environment), f"from {EXECUTABLE_VARIABLE}"
    if on_path := shutil.which("kopia"):
        return clean_path(on_path), "from PATH"
    if own := next(_own_builds(_OWN_BUILD_VERSION), None):
        return own, "the project's own build"
    raise HarnessError(
        f"no Kopia was found: give --program PATH, set {EXECUTABLE_VARIABLE}, put kopia on PATH, "
        "or build the project's own (see tools/)"
    )


def find_version(version: str) -> Path:
    """The Kopia of just this version: the project's own build, or `kopia-VERSION` on PATH. Raises HarnessError."""
    name = f"kopia-{version}"
    found = next(_own_builds(version), None) or shutil.which(name)
    if found is None:
        raise HarnessError(
            f"no Kopia {version} was found: build it with `make tools-all`, put it on PATH as {name}, or name the "
            "versions to run through, each with --program"
        )
    return clean_path(found)


def find_testing_build(program: Program) -> Program:
    """The program itself if its clock can be set from outside, or else the build of its version whose clock can be.

    Raises HarnessError when there is none.
    """
    if is_built_for_testing(program.path):
        return program
    return find_kopia(find_version(f"{program.version}{_TESTING_SUFFIX}"))


def _own_builds(version: str) -> Iterator[Path]:
    name = f"kopia-{version}"
    return own_builds(name, name.removesuffix(_TESTING_SUFFIX))


def _identify(path: Path, origin: str) -> Program:
    environment = {**inherited_environment(), "KOPIA_CHECK_FOR_UPDATES": "false"}
    answer, sha256 = ask_version(path, ["--version"], environment)
    match = _VERSION_LINE.search(answer)
    if match is not None and _SEMANTIC_VERSION.match(match[1]):
        version = match[1].removeprefix("v")
    else:
        # A program built as a module's tool answers `v0-unofficial`, but its file names the version.
        built = _built_version(path)
        if match is None and built is None:
            raise HarnessError(f"{path} ({origin}) is not Kopia: it does not answer --version as Kopia does")
        version = built or UNKNOWN_VERSION
    number = _SEMANTIC_VERSION.match(version)
    if number is not None and tuple(map(int, number.groups())) < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise HarnessError(f"{path} is Kopia {version}, which is too old: the oldest that can be tested is {oldest}")
    return Program(path, version, sha256)


def _built_version(path: Path) -> str | None:
    """The version of Kopia's module in the Go build information of the file; None if it has none of Kopia."""
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(_BUILD_INFORMATION)
        if found < 0:
            return None
        start = found + len(_BUILD_INFORMATION)
        word = content[start : start + 64].split(b"\t")[0].split(b"\n")[0].decode("ascii", "replace")
    return word.removeprefix("v") if _SEMANTIC_VERSION.match(word) else UNKNOWN_VERSION
