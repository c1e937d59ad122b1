"""Whether judging a recorded run again comes to what the run itself has found."""

from __future__ import annotations

from pathlib import Path

from snapstorm.guarantees.rejudging import Recheck, Today, recheck
from snapstorm.model.verdict import Verdict
from snapstorm.run.result import RunResult
from snapstorm.testbed.testbed import read_testbed


def check_rechecked(testbed: Path, result: RunResult, *, unrecorded_max: int = 0) -> Recheck:
    """The same violations by the same rules, no other ones, and the same expectations at the end."""
    with read_testbed(testbed) as ledger:
        again = recheck(ledger, result.run)
        assert {violation.number for violation in again.violations} == {
            row.number for row in ledger.recorded_violations(result.run)
        }
    assert {violation.today for violation in again.violations} <= {Today.STILL, Today.STANDS}, again.as_json()
    assert again.notes == []
    assert again.unrecorded <= unrecorded_max
    if result.verdict in (Verdict.PASS, Verdict.VIOLATED) and again.judged["restore"]:
        assert again.verdict[0] is result.verdict
    return again
