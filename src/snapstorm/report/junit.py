"""A run as JUnit XML, for programs that show test results: a test case for each guarantee, and for each kind of action.

A guarantee that was found broken is a failure with its violations. A run without a verdict on the guarantees (an error,
an interruption, a kill) has an error in the test case `verdict`, so that no reader takes it for a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from snapstorm.guarantees.panel import known_guarantees, sentence_of
from snapstorm.ledger.run_rows import ViolationRow
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.verdict import JUDGED
from snapstorm.report.figures import ActionFigures, figures_of
from snapstorm.report.kinds import by_kind
from snapstorm.report.run_data import FoundViolation, RunData
from snapstorm.report.text import printable
from snapstorm.version import __version__

VIOLATIONS_SHOWN_MAX = 20


def run_as_junit(run: RunData) -> str:
    """The whole file."""
    suite = ET.Element("testsuite", name="snapstorm", timestamp=run.began_utc.rstrip("Z"), hostname="localhost")
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(run).items():
        ET.SubElement(properties, "property", name=name, value=printable(str(value)))
    cases = [*_guarantees(run), *_actions(run), _verdict(run)]
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    for kind, words in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(sum(case.find(words) is not None for case in cases)))
    suite.set("time", f"{run.seconds:.3f}")
    lines = [*(_action_words(found) for found in figures_of(run).actions), *run.notes]
    ET.SubElement(suite, "system-out").text = printable("\n".join(lines))
    ET.SubElement(suite, "system-err")
    ET.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suite, encoding="unicode")}\n'


def _properties(run: RunData) -> dict[str, object]:
    return {
        "verdict": run.verdict,
        "reason": run.reason,
        "snapstorm": __version__,
        "target": run.target_name,
        "mode": run.mode,
        "scenario": run.scenario,
        "seed": run.seed,
        "run": run.number,
        "testbed": run.testbed,
        "restores_verified": run.proven.restores,
        "bytes_verified": run.proven.bytes_verified,
    }


def _case(kind: str, name: str, seconds: float = 0.0) -> ET.Element:
    return ET.Element("testcase", classname=f"snapstorm.{kind}", name=printable(name), time=f"{seconds:.3f}")


def _guarantees(run: RunData) -> Iterator[ET.Element]:
    """Guarantees that this run did not judge are included; they are skipped if the run came to no verdict."""
    broken = {Guarantee(one.row.guarantee): None for one in run.violations}
    for guarantee in {**known_guarantees(), **broken}:
        case = _case("guarantee", guarantee.value)
        found = [one for one in run.violations if one.row.guarantee == guarantee]
        counting = [one for one in found if one.row.accepted_reason is None]
        if counting:
            _fail(case, guarantee, counting)
        elif found:
            reasons = "; ".join(dict.fromkeys(one.row.accepted_reason or "" for one in found))
            ET.SubElement(case, "skipped", message=printable(f"{len(found)} violation(s), accepted: {reasons}"))
        elif run.verdict not in JUDGED:
            ET.SubElement(case, "skipped", message="the run came to no verdict on it")
        yield case


def _fail(case: ET.Element, guarantee: Guarantee, found: Sequence[FoundViolation]) -> None:
    failure = ET.SubElement(
        case, "failure", type=guarantee.value, message=printable(f"{len(found)} violation(s): {sentence_of(guarantee)}")
    )
    kinds = by_kind(one.row for one in found)
    lines = [_kind_words(kind) for kind in kinds[:VIOLATIONS_SHOWN_MAX]]
    if more := sum(map(len, kinds[VIOLATIONS_SHOWN_MAX:])):
        lines.append(f"and {more} more")
    failure.text = printable("\n\n".join(lines))


def _kind_words(kind: Sequence[ViolationRow]) -> str:
    """The first violation of a kind, and the numbers of the others."""
    row = kind[0]
    others = ", ".join(str(other.number) for other in kind[1:])
    more = f"\nthe same: {others}" if others else ""
    who = ", ".join(part for part in (row.client, row.snapshot, row.operation) if part)
    return f"{row.number}. {row.detail}\n({who})\nevidence: {row.evidence or 'none'}{more}"


def _actions(run: RunData) -> Iterator[ET.Element]:
    """One for each kind. A failure during a fault is excused, so it fails no test case of its own."""
    for found in figures_of(run).actions:
        yield _case("action", found.action, sum(found.seconds))


def _action_words(found: ActionFigures) -> str:
    """How the operations of a kind ended, and how long they took."""
    percentiles = ", ".join(f"{name} {value:.3f} s" for name, value in found.percentiles().items() if value is not None)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found.counts.items())
    return f"{found.action}: {counts}" + (f"; {percentiles}" if percentiles else "")


def _verdict(run: RunData) -> ET.Element:
    case = _case("run", "verdict", run.seconds)
    if run.verdict not in JUDGED:
        error = ET.SubElement(case, "error", type=run.verdict, message=printable(run.reason))
        error.text = printable(f"{run.verdict}: {run.reason}")
    return case
