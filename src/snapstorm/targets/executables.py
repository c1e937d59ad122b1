"""Programs of targets on this machine: where they are, what they answer, and which file exactly it is."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.runtime.paths import clean_path

_OWN_BUILDS = Path(".tools/bin")
_OWN_BUILD_MODULES = Path("tools")
_VERSION_SECONDS_MAX = 10.0


def path_of(name: str) -> Path:
    """A path, or the bare name of a program on PATH."""
    on_path = None if Path(name).exists() else shutil.which(name)
    return clean_path(on_path or name)


def check_executable(path: Path, origin: str, title: str) -> None:
    """Raise HarnessError, one line, where there is no program at this path; `title`: what it should be."""
    if not path.is_file():
        raise HarnessError(f"there is no {title} at {path} ({origin})")
    if not os.access(path, os.X_OK):
        raise HarnessError(f"{path} ({origin}) is not executable; run chmod +x on it if it is {title}")


def own_builds(name: str, module: str | None = None) -> Iterator[Path]:
    """The program of this name, as it was built in the checkout that this package runs from, or in the one that the
    user stands in. `module`: the directory below `tools` that says how; None for one of the same name."""
    starts = [Path(__file__)]
    with suppress(OSError):  # The current directory may have been removed.
        starts.append(Path.cwd() / "here")
    for start in starts:
        for project in start.absolute().parents:
            build = project / _OWN_BUILDS / name
            if (project / _OWN_BUILD_MODULES / (module or name)).is_dir() and build.is_file():
                yield build


def ask_version(path: Path, words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """What the program answers to these words, and the SHA-256 of its file. Raises HarnessError where it can't be
    started or read."""
    question = VersionQuestion(path, words, environment)
    with ThreadPoolExecutor(2) as pool:  # Each takes some 30 ms, before which nothing else can begin.
        try:
            reading, asking = pool.submit(_sha256_of, path), pool.submit(question.ask, _VERSION_SECONDS_MAX)
            return asking.result(), reading.result()
        except BaseException:
            question.end()
            raise


def _sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HarnessError(f"{path} can't be read: {error.strerror or error}") from error


class VersionQuestion:
    """What a program answers when it is asked for its version with these words.

    Asked in a thread: a signal that comes while the program is being started would leave it behind, because Python
    raises then, in the main thread, before it knows the process.
    """

    def __init__(self, path: Path, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._path = path
        self._words = words
        self._environment = environment
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
                    [self._path, *self._words],
                    env=self._environment,
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
