"""`snapstorm report`: what a run has shown, or all runs of a testbed, as files for people and for programs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from snapstorm.cli.which import find_run
from snapstorm.cli.words import TypedPath
from snapstorm.errors import ConfigError


def report(
    run: str | None = None,
    /,
    *,
    testbed: TypedPath | None = None,
    html: TypedPath | None = None,
    junit: TypedPath | None = None,
    json_file: Annotated[TypedPath | None, Parameter(name="--json")] = None,
    markdown: TypedPath | None = None,
) -> int:
    """Write a report of a run, or with --testbed of all runs on a testbed over time. Changes nothing there.

    The HTML file needs no network and no other file. A run that was killed is reported on as far as it came.

    Parameters
    ----------
    run
        TESTBED or TESTBED:NUMBER. Without a number: the latest run that found a violation, else the latest run.
    testbed
        Instead of a run: the trend over all runs on this testbed.
    html
        A page for people: verdict, timeline of all clients, latency, sizes, survival, violations with what differs.
    junit
        For what shows test results: a test case for each guarantee. Of a run only.
    json_file
        The same figures for programs.
    markdown
        A few lines for the summary of a job.
    """
    # Only what writes reports loads what that needs.
    from snapstorm.report.writing import is_written_as_it_is, write_run_report, write_trend_report  # noqa: PLC0415

    given = {"html": html, "junit": junit, "json": json_file, "markdown": markdown}
    files = {name: path for name, path in given.items() if path is not None}
    if not files:
        raise ConfigError("say what to write: --html FILE, --junit FILE, --json FILE or --markdown FILE")
    if (run is None) == (testbed is None):
        raise ConfigError("give a run, as TESTBED or TESTBED:NUMBER, or --testbed DIR for all of its runs")
    if testbed is not None:
        if junit is not None:
            raise ConfigError("--junit is the report of a run: give one, as TESTBED or TESTBED:NUMBER")
        write_trend_report(testbed, files)
    else:
        assert run is not None
        which = find_run(run)
        write_run_report(which.testbed, which.number, files)
    for path in files.values():
        if not is_written_as_it_is(path):  # It may be this very output, which a line more would spoil.
            print(path)
    return 0
