"""What a run has shown, as a value: for the summary, the JSON object and the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapstorm.model.actions import ACTIONS
from snapstorm.model.expectations import IN_DOUBT, State
from snapstorm.model.guarantees import Violation
from snapstorm.model.lived_time import LivedTime
from snapstorm.model.outcomes import OUTCOME_KEYS
from snapstorm.model.protocols import Mode, TargetDescription
from snapstorm.model.verdict import Tally, Verdict
from snapstorm.runtime.clock import NS_PER_SECOND, utc_of

SCHEMA = 1
"""The version of the JSON object; fields are only ever added to one."""


@dataclass(frozen=True)
class RunResult:
    """One run's result."""

    run: int
    seed: int
    verdict: Verdict
    reason: str
    target: TargetDescription
    mode: Mode
    clients: int
    seconds: float
    seconds_by_part: dict[str, float]
    """By part of the run, one after the other."""
    seconds_by_work: dict[str, float]
    """By what was done, see `Meter`: the target's own seconds apart from snapstorm's."""
    own_cpu_seconds: float
    own_memory_bytes_max: int
    """Of snapstorm's own process, without the target's."""
    tally: Tally
    states: dict[State, int]
    testbed: Path
    lived: LivedTime | None = None
    """The run's virtual time; None for a run in real time."""
    expired: int = 0
    """How many of the deleted snapshots the target's retention has ended."""

    @property
    def snapshots_in_doubt(self) -> int:
        return sum(self.states[state] for state in IN_DOUBT)

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints. Every key is present; what is absent is null."""
        tally, none = self.tally, dict.fromkeys(OUTCOME_KEYS, 0)
        return {
            "schema": SCHEMA,
            "run": self.run,
            "seed": self.seed,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "target": {**self.target.as_json(), "mode": self.mode.value},
            "testbed": str(self.testbed),
            "clients": self.clients,
            "seconds": round(self.seconds, 3),
            "seconds_by_part": {part: round(seconds, 3) for part, seconds in self.seconds_by_part.items()},
            "seconds_by_work": {work: round(seconds, 3) for work, seconds in self.seconds_by_work.items()},
            "own": {"cpu_seconds": round(self.own_cpu_seconds, 3), "memory_bytes_max": self.own_memory_bytes_max},
            "actions": {key: dict(tally.actions.get(key, none)) for key in ACTIONS},
            "snapshots": {
                "live": self.states[State.LIVE],
                "deleted": self.states[State.DELETED] - self.expired,
                "expired": self.expired,
                "in_doubt": self.snapshots_in_doubt,
            },
            "restores_verified": tally.restores_verified,
            "restores_verified_earlier_runs": tally.restores_verified_earlier_runs,
            "restores_narrowed": tally.restores_narrowed,
            "bytes_verified": tally.bytes_verified,
            "sweep": {"verified": tally.sweep_verified, "left": tally.sweep_left},
            "unaccounted": tally.unaccounted,
            "settings_unjudged": tally.settings_unjudged,
            "refused_by_design": tally.refused_by_design,
            "locked_out": tally.locked_out,
            "faults": dict(tally.faults),
            "failed_under_faults": tally.failed_under_faults,
            "tainted_lost": tally.tainted_lost,
            "server": {
                "open_files_max": tally.server_max[0] or None,
                "memory_bytes_max": tally.server_max[1] or None,
            },
            "violations": [_violation(violation) for violation in tally.violations],
            "known_bugs": dict(tally.known_bugs),
            "known_violations": [_violation(violation) for violation in tally.known_violations],
            "notes": list(tally.notes),
            "error": tally.error,
            "virtual": virtual_document(self.lived, self.seconds),
        }


def virtual_document(lived: LivedTime | None, seconds: float) -> dict[str, Any] | None:
    """The virtual time of a run that lasted so long, as plain values; None for a run in real time."""
    if lived is None:
        return None
    return {
        "began_utc": utc_of(lived.began_ns),
        "ended_utc": utc_of(lived.at_ns(seconds)),
        "days": round(lived.lived_days(seconds), 3),
        "jumps": len(lived.jumps),
        "clocks_ahead_seconds": {
            client: ahead_ns / NS_PER_SECOND for client, ahead_ns in sorted(lived.ahead_ns_by_client.items())
        },
    }


def _violation(violation: Violation) -> dict[str, str | None]:
    return {
        "guarantee": violation.guarantee.value,
        "client": violation.client,
        "snapshot": violation.snapshot,
        "path": violation.path,
        "detail": violation.detail,
        "evidence": violation.evidence,
    }
