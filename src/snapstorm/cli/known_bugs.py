"""The command that provokes known bugs of a target, to show that the judge finds them where they are."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

from snapstorm.cli.option_groups import JsonOutput, Programs
from snapstorm.cli.signals import Interrupted, until_signal
from snapstorm.errors import ConfigError
from snapstorm.report.text import dump_json
from snapstorm.run.options import check_paths
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.known_bug import Row
from snapstorm.targets.registry import DEFAULT_TARGET, read_target

EXIT_DIFFERENT = 1
EXIT_NOT_JUDGED = 3
_LINE = "{:<18}  {:<8}  {:<25}  {:<25}  {:<15}  {:>7}"


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
    rows: list[Row] = []

    async def try_each() -> None:
        async with ProcessRunner("known-bugs") as runner:
            for one, tried in itertools.product(bugs, programs):
                rows.append(await table.try_out(one, tried, runner))
                if not json_output:
                    _show(rows[-1], has_details=bug is not None)

    if not json_output:
        print(_LINE.format("bug", "version", "expected", "seen", "", "seconds"), flush=True)
    if anyio.run(until_signal, try_each):
        raise Interrupted
    if json_output:
        print(dump_json({"rows": [row.as_json() for row in rows]}), flush=True)
    return exit_status(rows)


def exit_status(rows: Sequence[Row]) -> int:
    """A difference comes before what could not be found out."""
    if any(row.is_different for row in rows):
        return EXIT_DIFFERENT
    return EXIT_NOT_JUDGED if any(row.problem for row in rows) else 0


def _show(row: Row, *, has_details: bool) -> None:
    verdict = {True: "ok", False: "NOT AS EXPECTED", None: "NOT JUDGED" if row.problem else ""}[row.is_as_expected]
    words = (row.bug.key, row.version, row.expected or "", row.seen or "", verdict, f"{row.seconds:.1f}")
    print(_LINE.format(*words), flush=True)
    if row.detail and (has_details or row.is_as_expected is not True):
        print(f"    {row.detail}", flush=True)
