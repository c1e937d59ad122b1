"""The command that provokes known bugs of a target, to show that a judge sees them in the versions that have them."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio

from snapstorm.cli.option_groups import JsonOutput, Programs
from snapstorm.cli.signals import Interrupted, until_signal
from snapstorm.errors import ConfigError
from snapstorm.model.protocols import Program
from snapstorm.report.text import dump_json
from snapstorm.run.options import check_paths
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.known_bug import KnownBug, KnownBugs, Row
from snapstorm.targets.registry import DEFAULT_TARGET, read_target

EXIT_DIFFERENT = 1
EXIT_NOT_JUDGED = 3
_LINE = "{:<18}  {:<8}  {:<19}  {:<19}  {:<15}  {:>7}"


def known_bugs(
    bug: str | None = None,
    /,
    *,
    target: str = DEFAULT_TARGET,
    program: Programs = None,
    json_output: JsonOutput = False,
) -> int:
    """Provoke known bugs of a target on the real program, and hold what is seen against what each version has.

    Exit status: 0 all as expected, 1 something is not, 3 something could not be found out. On a version of which
    nothing is known, 1 says that a guarantee was broken.

    Parameters
    ----------
    bug
        The number of the target's own issue, or a name such as positive-control. Default: all that are known.
    target
        The target that has them.
    program
        The program, may be repeated. Default: the versions that were measured; of Kopia 0.19.0, 0.22.3 and 0.23.1, as
        `make tools-all` builds them.
    """
    plugin, _ = read_target(target)
    table = plugin.known_bugs
    if table is None:
        raise ConfigError(f"no bugs of the target {plugin.name} are known that could be provoked")
    check_paths(plugin, {"TMPDIR": Path(tempfile.gettempdir())})
    bugs = table.choose(bug)
    programs = table.find_programs(program or ())
    show = _ignore if json_output else functools.partial(_show, has_details=bug is not None)
    if not json_output:
        print(_LINE.format("bug", "version", "expected", "seen", "", "seconds"), flush=True)
    rows = anyio.run(_try_all, table, bugs, programs, show)
    if json_output:
        print(dump_json({"rows": [row.as_json() for row in rows]}), flush=True)
    return exit_status(rows)


def exit_status(rows: Sequence[Row]) -> int:
    """A difference outweighs what could not be found out."""
    if any(row.is_different for row in rows):
        return EXIT_DIFFERENT
    return EXIT_NOT_JUDGED if any(row.problem for row in rows) else 0


async def _try_all(
    table: KnownBugs[Any], bugs: Sequence[KnownBug[Any]], programs: Sequence[Program], show: Callable[[Row], None]
) -> list[Row]:
    rows: list[Row] = []

    async def try_each() -> None:
        async with ProcessRunner("known-bugs") as runner:
            for bug in bugs:
                for program in programs:
                    rows.append(await table.try_out(bug, program, runner))
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
