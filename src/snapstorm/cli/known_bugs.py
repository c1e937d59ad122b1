"""The command that provokes known bugs of Kopia, to show that a judge sees them in the versions that have them."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from snapstorm.cli.signals import until_signal
from snapstorm.cli.stages import Interrupted
from snapstorm.model.protocols import Program
from snapstorm.report.text import dump_json
from snapstorm.run.options import check_paths
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.kopia.discovery import find_kopia, find_version
from snapstorm.targets.kopia.known_bugs.known_bug import MEASURED, KnownBug
from snapstorm.targets.kopia.known_bugs.table import Row, choose, is_different, try_out

EXIT_DIFFERENT = 1
EXIT_NOT_JUDGED = 3
_LINE = "{:<18}  {:<8}  {:<19}  {:<19}  {:<15}  {:>7}"


def known_bugs(
    bug: str | None = None,
    /,
    *,
    kopia: Annotated[list[Path] | None, Parameter(negative="")] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Provoke known bugs of Kopia on the real program, and hold what is seen against what each version has.

    Exit status: 0 all as expected, 1 something is not, 3 something could not be found out. On a version of which
    nothing is known, 1 says that a guarantee was broken.

    Parameters
    ----------
    bug
        The issue's number at Kopia, or a name such as positive-control. Default: all that are known.
    kopia
        The program, may be repeated. Default: the versions 0.19.0, 0.22.3 and 0.23.1, as `make tools-all` builds them.
    json_output
        Print one JSON object on stdout, and nothing else there.
    """
    check_paths("kopia", {"TMPDIR": Path(tempfile.gettempdir())})
    bugs = choose(bug)
    programs = [find_kopia(path) for path in kopia or map(find_version, MEASURED)]
    show = _ignore if json_output else functools.partial(_show, has_details=bug is not None)
    if not json_output:
        print(_LINE.format("bug", "version", "expected", "seen", "", "seconds"), flush=True)
    rows = anyio.run(_try_all, bugs, programs, show)
    if json_output:
        print(dump_json({"rows": [row.as_json() for row in rows]}), flush=True)
    return exit_status(rows)


def exit_status(rows: Sequence[Row]) -> int:
    """A difference outweighs what could not be found out."""
    if any(map(is_different, rows)):
        return EXIT_DIFFERENT
    return EXIT_NOT_JUDGED if any(row.problem for row in rows) else 0


async def _try_all(bugs: Sequence[KnownBug], programs: Sequence[Program], show: Callable[[Row], None]) -> list[Row]:
    rows: list[Row] = []

    async def try_each() -> None:
        async with ProcessRunner("known-bugs") as runner:
            for bug in bugs:
                for program in programs:
                    rows.append(await try_out(bug, program, runner))
                    show(rows[-1])

    if await until_signal(try_each):
        raise Interrupted
    return rows


def _ignore(row: Row) -> None:
    """Show nothing."""


def _show(row: Row, *, has_details: bool) -> None:
    verdict = {True: "ok", False: "NOT AS EXPECTED", None: "NOT JUDGED" if row.problem else ""}[row.is_as_expected]
    words = (row.bug.key, row.version, row.expected or "", row.seen or "", verdict, f"{row.seconds:.1f}")
    print(_LINE.format(*words), flush=True)
    if row.detail and (has_details or row.is_as_expected is not True):
        print(f"    {row.detail}", flush=True)
