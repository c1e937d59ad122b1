"""The command that judges a recorded run again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from snapstorm.cli.option_groups import JsonOutput
from snapstorm.cli.which import find_run
from snapstorm.guarantees.rejudging import Recheck, Rejudged, Today, recheck
from snapstorm.model.observations import ObservationKind
from snapstorm.model.verdict import EXIT_STATUS
from snapstorm.report.text import dump_json
from snapstorm.targets.registry import DEFAULT_TARGET, find_known_bugs
from snapstorm.testbed.testbed import read_testbed

_WORDS = {
    Today.STILL: "violated, today as then",
    Today.NO_LONGER: "no longer found: today's rules see nothing wrong",
    Today.NEW: "NEW: found by today's rules, and not then",
    Today.STANDS: "stands as it was found: it rests on what is not recorded",
}


def recheck_run(
    run: str, /, *, known: Annotated[list[str] | None, Parameter(negative="")] = None, json_output: JsonOutput = False
) -> int:
    """Judge a recorded run again with today's guarantees, without Kopia and without its files. Changes nothing.

    Listings, receipts and restores are judged as the run has seen them. What rests on failures, time or measurements
    stands as it was found. Exit status: as of a run.

    Parameters
    ----------
    run
        TESTBED, for its latest run that found a violation, or TESTBED:NUMBER.
    known
        A known bug of the target, may be repeated: what it predicts exactly is not counted.
    """
    testbed, number = find_run(run)
    with read_testbed(testbed) as ledger:
        bugs = find_known_bugs(ledger.fact("target") or DEFAULT_TARGET, known or ())
        found = recheck(ledger, number, bugs)
    if json_output:
        print(dump_json(found.as_json()))
    else:
        for line in recheck_lines(found):
            print(line)
    return EXIT_STATUS[found.verdict[0]]


def recheck_lines(found: Recheck) -> Iterator[str]:
    """The lines that the command prints. The last one is the verdict."""
    shown = (kind for kind, count in found.judged.items() if count or kind != ObservationKind.SIZE)
    counts = ", ".join(f"{found.judged[kind]} {kind}(s)" for kind in shown)
    yield f"run {found.run}: judged again: {counts}"
    if found.unrecorded:
        yield f"not recorded, and so not judged again: {found.unrecorded} listing(s) or restore(s)"
    if found.without_manifest:
        yield (
            f"restores of snapshots that are deleted by now, whose trees are not known any more: "
            f"{found.without_manifest}"
        )
    for note in found.notes:
        yield f"note: {note}"
    for rejudged in found.violations:
        yield from _violation_lines(rejudged)
    verdict, reason = found.verdict
    yield f"{verdict.value.upper()}: {reason}"


def _violation_lines(rejudged: Rejudged) -> Iterator[str]:
    violation = rejudged.violation
    number = "" if rejudged.number is None else f"violation {rejudged.number}, "
    who = ", ".join(part for part in (violation.client, violation.snapshot, violation.operation) if part)
    accepted = " (accepted)" if rejudged.is_accepted else ""
    yield f"{number}{violation.guarantee.value} ({who}){accepted}: {_WORDS[rejudged.today]}"
    yield f"    {violation.detail.splitlines()[0]}"
