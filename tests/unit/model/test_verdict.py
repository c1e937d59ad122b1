"""Verdicts: a violation outweighs all else, and nothing judged is never a pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.model.verdict import EXIT_STATUS, Tally, Verdict, decide

GOOD = Tally(snapshots_acknowledged=1, restores_verified=1, entries_verified=3, bytes_verified=10)
BROKEN = [Violation(Guarantee.RESTORED_EXACTLY, "differs")]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.PASS),
        ({"violations": BROKEN}, Verdict.VIOLATED),
        ({"violations": BROKEN, "is_interrupted": True, "error": "x"}, Verdict.VIOLATED),
        ({"is_interrupted": True, "error": "x"}, Verdict.INTERRUPTED),
        ({"error": "disk full"}, Verdict.ERROR),
        ({"restores_verified": 0}, Verdict.INCONCLUSIVE),
        ({"entries_verified": 0}, Verdict.INCONCLUSIVE),
        ({"snapshots_acknowledged": 0}, Verdict.INCONCLUSIVE),
        ({"snapshots_acknowledged": 0, "is_sweep_only": True}, Verdict.PASS),
        ({"known_violations": BROKEN}, Verdict.PASS),
        ({"sweep_unverified": 1}, Verdict.INCONCLUSIVE),
        ({"sweep_unverified": 1, "known_violations": BROKEN}, Verdict.INCONCLUSIVE),
        ({"timed_out_unconfirmed": 1}, Verdict.INCONCLUSIVE),
        ({"refusals_unjudged": ["a removed client"]}, Verdict.INCONCLUSIVE),
        ({"refusals_unjudged": ["a removed client"], "violations": BROKEN}, Verdict.VIOLATED),
        ({"faults_asked": True}, Verdict.INCONCLUSIVE),
        ({"faults_asked": True, "faults": {"kill-server": 1}}, Verdict.PASS),
        ({"timed_out_unconfirmed": 1, "violations": BROKEN}, Verdict.VIOLATED),
    ],
)
def test_the_verdict_follows_from_what_was_counted(changes: dict[str, object], verdict: Verdict) -> None:
    """Each tally has exactly one verdict, by precedence."""
    assert decide(replace(GOOD, **changes))[0] is verdict


def test_exit_statuses_are_those_that_are_documented() -> None:
    """Scripts rely on these numbers."""
    assert {verdict.value: status for verdict, status in EXIT_STATUS.items()} == {
        "pass": 0,
        "violated": 1,
        "error": 3,
        "inconclusive": 4,
        "interrupted": 130,
    }
