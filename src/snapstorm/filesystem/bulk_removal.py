"""Removes many files with a program of the system, outside of our own queue of work on files.

The program takes as long as Python does. But only one piece of our own work on files runs at a time (see
`runtime.threads`), and restores are compared there: 40,000 restored files waited for removal while as many were
compared (measured: 1 s of a run). If the program leaves something, because it may not enter a directory or is missing,
we remove the rest ourselves.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.filesystem.descriptors import explain_os_error
from snapstorm.filesystem.removal import remove_files_below, remove_tree
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.threads import Urgency, run_file_work

_SECONDS_MAX = 600.0
_ASIDE = ".discarded-"


def set_aside(path: Path) -> list[Path]:
    """Rename what is at `path`, so that nothing is there. Returns what is to be removed, including what a killed run
    has left of it.

    Raises HarnessError.
    """
    try:
        if path.exists():
            path.rename(path.with_name(f"{path.name}{_ASIDE}{secrets.token_hex(4)}"))
    except OSError as error:
        raise explain_os_error(os.fsencode(path), error) from error
    return left_aside(path)


def left_aside(path: Path) -> list[Path]:
    """What was set aside of `path` and still exists, because a run was killed."""
    return list(path.parent.glob(f"{path.name}{_ASIDE}*"))


async def remove_many_trees(runner: ProcessRunner, paths: Sequence[Path], urgency: Urgency = Urgency.NORMAL) -> None:
    """Remove what is at these paths, with everything below. Does nothing for a path where nothing exists.

    Raises HarnessError when something can't be removed.
    """
    there = [path for path in paths if path.is_symlink() or path.exists()]
    if there:
        await _run(runner, ["rm", "-rf", "--", *there])
    await _do_the_rest(remove_tree, there, urgency)


async def remove_many_files_below(runner: ProcessRunner, directories: Sequence[Path]) -> None:
    """Remove everything below these directories except directories: see `remove_files_below`."""
    there = [directory for directory in directories if directory.is_dir()]
    if there:
        await _run(runner, ["find", *there, "!", "-type", "d", "-delete"])
    await _do_the_rest(remove_files_below, there, Urgency.NORMAL)


async def _run(runner: ProcessRunner, argv: Sequence[str | Path]) -> None:
    """Run a program; whatever it can't do is left to us."""
    try:
        await runner.run(
            argv, env={"PATH": os.environ.get("PATH", os.defpath)}, seconds_max=_SECONDS_MAX, is_of_target=False
        )
    except HarnessError:
        return  # The program is missing.


async def _do_the_rest(remove: Callable[[Path], None], paths: Sequence[Path], urgency: Urgency) -> None:
    for path in paths:
        await run_file_work(remove, path, urgency=urgency)
