"""Finding the Kopia under test, and saying exactly which one it is.

Any Kopia is accepted, a script around one as well. What is refused is refused in one line, before anything starts.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import Program
from snapstorm.runtime.paths import clean_path
from snapstorm.targets.kopia.environment import inherited_environment

EXECUTABLE_VARIABLE = "KOPIA_EXE"
UNKNOWN_VERSION = "unknown"
OLDEST_VERSION = (0, 18, 0)
"""The first with PBKDF2 key derivation and with encoded hashes for `server users add` (by Kopia's history, and those
are the youngest of the features used here)."""

_OWN_BUILDS = Path(".tools/bin")
_OWN_BUILD_MODULES = Path("tools")
_OWN_BUILD_VERSION = "0.23.1"
_VERSION_SECONDS_MAX = 10.0

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
    if not path.is_file():
        raise HarnessError(f"there is no Kopia at {path} ({origin})")
    if not os.access(path, os.X_OK):
        raise HarnessError(f"{path} ({origin}) is not executable; run chmod +x on it if it is Kopia")
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
    usual = [_from_name(name) for name in names if name]
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
        return _from_name(str(named)), "from --program"
    if from_environment := os.environ.get(EXECUTABLE_VARIABLE):
        return _from_name(from_environment), f"from {EXECUTABLE_VARIABLE}"
    if on_path := shutil.which("kopia"):
        return clean_path(on_path), "from PATH"
    if own := next(_own_builds(_OWN_BUILD_VERSION), None):
        return own, "the project's own build"
    raise HarnessError(
        f"no Kopia was found: give --program PATH, set {EXECUTABLE_VARIABLE}, put kopia on PATH, "
        "or build the project's own (see tools/)"
    )


def _from_name(name: str) -> Path:
    """A path, or the bare name of a program on PATH."""
    on_path = None if Path(name).exists() else shutil.which(name)
    return clean_path(on_path or name)


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
    """What was built in the checkout that this package runs from, or in the one that the user stands in."""
    name = f"kopia-{version}"
    module = name.removesuffix(_TESTING_SUFFIX)
    starts = [Path(__file__)]
    with suppress(OSError):  # The current directory may have been removed.
        starts.append(Path.cwd() / "here")
    for start in starts:
        for project in start.absolute().parents:
            build = project / _OWN_BUILDS / name
            if (project / _OWN_BUILD_MODULES / module).is_dir() and build.is_file():
                yield build


def _identify(path: Path, origin: str) -> Program:
    question = VersionQuestion(path)
    with ThreadPoolExecutor(2) as pool:  # Each takes some 30 ms, before which nothing else can begin.
        try:
            reading, asking = pool.submit(_sha256_of, path), pool.submit(question.ask, _VERSION_SECONDS_MAX)
            answer, sha256 = asking.result(), reading.result()
        except BaseException:
            question.end()
            raise
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


def _sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HarnessError(f"{path} can't be read: {error.strerror or error}") from error


class VersionQuestion:
    """What a program answers to `--version`.

    Asked in a thread: a signal that comes while the program is being started would leave it behind, because Python
    raises then, in the main thread, before it knows the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._has_ended = False

    def ask(self, seconds_max: float) -> str:
        """All that it answers in this time, after which it is ended. Raises HarnessError if it can't be started."""
        with self._lock:
            if self._has_ended:
                return ""
            try:
                program = self._program = subprocess.Popen(
                    [self._path, "--version"],
                    env={**inherited_environment(), "KOPIA_CHECK_FOR_UPDATES": "false"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise HarnessError(f"{self._path} can't be started: {error.strerror or error}") from error
        try:
            output, _ = program.communicate(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            output, _ = program.communicate()
        return output.decode("utf-8", "replace")

    def end(self) -> None:
        """Kill the program, if it still runs, and start none any more."""
        with self._lock:
            self._has_ended = True
        if self._program is not None and self._program.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._program.pid, signal.SIGKILL)


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
