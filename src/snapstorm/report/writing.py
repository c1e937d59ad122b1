"""Writes reports: files that can't be written are reported before anything is read, and no file is left half
written."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from snapstorm.errors import ConfigError, HarnessError, NoSpaceError
from snapstorm.model.readable import readable
from snapstorm.report.document import run_document
from snapstorm.report.html import run_page
from snapstorm.report.junit import run_as_junit
from snapstorm.report.markdown import run_as_markdown
from snapstorm.report.run_data import RunData, read_run
from snapstorm.report.text import dump_json
from snapstorm.report.trend import Trend, read_trend, trend_document
from snapstorm.report.trend_pages import trend_as_markdown, trend_page
from snapstorm.testbed.testbed import testbed_around

RUN_FORMATS: dict[str, Callable[[RunData], str]] = {
    "html": run_page,
    "junit": run_as_junit,
    "json": lambda run: _json_text(run_document(run)),
    "markdown": run_as_markdown,
}
TREND_FORMATS: dict[str, Callable[[Trend], str]] = {
    "html": trend_page,
    "json": lambda trend: _json_text(trend_document(trend)),
    "markdown": trend_as_markdown,
}
_OF_PROCESS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")
"""Names of files that are already open: they are written to, not replaced."""
FILE_NAMES = {"html": "report.html", "junit": "junit.xml", "json": "report.json", "markdown": "report.md"}
"""The files in a directory of reports."""


def _json_text(document: dict[str, Any]) -> str:
    return dump_json(document, indent=1) + "\n"


def write_run_report(testbed: Path, number: int, files: Mapping[str, Path]) -> None:
    """Write reports of a run, each format to its file.

    Raises ConfigError if a file can't be written, TestbedError if the testbed can't be read.
    """
    with opened(files) as write:
        run = read_run(testbed, number)
        write({name: RUN_FORMATS[name](run) for name in files})


def write_trend_report(testbed: Path, files: Mapping[str, Path]) -> None:
    """Write the trend of a testbed, each format to its file. Raises like `write_run_report`."""
    with opened(files) as write:
        trend = read_trend(testbed)
        write({name: TREND_FORMATS[name](trend) for name in files})


@contextmanager
def opened(files: Mapping[str, Path]) -> Iterator[Callable[[Mapping[str, str]], None]]:
    """Check that all of these files can be written, and yield a function that writes them all, each atomically."""
    if len(set(files.values())) < len(files):
        raise ConfigError("two reports can't be written to the same file")
    drafts: dict[str, tuple[Path, Path]] = {}

    def write(texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            _write(drafts[name][0] if name in drafts else files[name], text)
        for draft, place in drafts.values():
            os.replace(draft, place)

    try:
        for name, path in files.items():
            refuse_inside_testbed(path)
            if not is_written_as_it_is(path):
                place = path.resolve()  # A link keeps pointing to its target.
                drafts[name] = _draft_beside(place), place
        yield write
    finally:
        for draft, _ in drafts.values():
            with suppress(OSError):
                draft.unlink()


def refuse_inside_testbed(path: Path) -> None:
    """Raise ConfigError for a file inside a testbed: it may be the ledger itself."""
    try:
        testbed = testbed_around(path)
    except (OSError, RuntimeError) as error:  # A link that leads to itself.
        raise ConfigError(f"{path} can't be written: {error}") from error
    if testbed is not None:
        raise ConfigError(f"{path} can't be written: it is inside the testbed {testbed}, which is snapstorm's own")


def is_written_as_it_is(path: Path) -> bool:
    """Whether the path can't be replaced: a pipe, a device, or a file that this process has open already."""
    try:
        is_of_its_own_kind = path.exists() and not path.is_file() and not path.is_dir()
    except OSError as error:
        raise ConfigError(f"the report {path} can't be written: {error.strerror}") from error
    return is_of_its_own_kind or str(path).startswith(_OF_PROCESS)


def _draft_beside(path: Path) -> Path:
    """An empty file that will replace this one."""
    try:
        if path.is_dir():
            raise ConfigError(f"the report {path} can't be written: it is a directory")
        if not path.parent.is_dir():
            raise ConfigError(f"the report {path} can't be written: {path.parent} is not a directory")
        if path.exists() and not os.access(path, os.W_OK):
            raise ConfigError(f"the report {path} can't be written: it is write-protected")
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}-", dir=path.parent)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"the report {path} can't be written: {reason}") from error
    os.fchmod(handle, 0o666 & ~_umask())
    os.close(handle)
    return Path(name)


def _umask() -> int:
    """The rights that new files don't get. They can only be read by setting them."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(readable(text), encoding="utf-8")
    except OSError as error:
        kind = NoSpaceError if error.errno in (errno.ENOSPC, errno.EDQUOT) else HarnessError
        raise kind(f"a report could not be written to {path.parent}: {error.strerror}") from error


def files_in(directory: Path) -> dict[str, Path]:
    """The path of each format in a directory of reports."""
    return {name: directory / file_name for name, file_name in FILE_NAMES.items()}


class ReportDirectory:
    """The directory for the reports of a run that is about to begin. Made by `report_directory`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, testbed: Path, number: int, part: str = "") -> None:
        """Write every format of a run's report. With `part`, below a directory of that name, for one run of several.

        Raises like `write_run_report`.
        """
        directory = self.path / part
        try:
            directory.mkdir(exist_ok=True)
        except OSError as error:
            raise HarnessError(f"the reports could not be written to {directory}: {error.strerror}") from error
        write_run_report(testbed, number, files_in(directory))


@contextmanager
def report_directory(path: Path) -> Iterator[ReportDirectory]:
    """Check that reports can be written there, and make the directory, before a run begins.

    A directory that was made and stays empty is removed again. Raises ConfigError.
    """
    made = [parent for parent in (path, *path.parents) if not os.path.lexists(parent)]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with opened(files_in(path)):
            pass
    except OSError as error:
        _remove_empty(made)
        raise ConfigError(f"the reports can't be written to {path}: {error.strerror}") from error
    try:
        yield ReportDirectory(path)
    finally:
        _remove_empty(made)


def _remove_empty(directories: list[Path]) -> None:
    for directory in directories:
        with suppress(OSError):  # Not empty.
            directory.rmdir()
