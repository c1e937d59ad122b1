"""A run as one JSON object: the content of the page, for programs. Fields are only ever added to the schema."""

from __future__ import annotations

from typing import Any

from snapstorm.report.figures import figures_of
from snapstorm.report.run_data import FoundViolation, RunData
from snapstorm.report.testbed_history import headline, survival_document
from snapstorm.run.result import virtual_document
from snapstorm.version import __version__

SCHEMA = 1


def run_document(run: RunData) -> dict[str, Any]:
    """The object. Every key is present; missing values are null."""
    figures = figures_of(run)
    return {
        "schema": SCHEMA,
        "snapstorm": __version__,
        "testbed": str(run.testbed),
        "testbed_id": run.testbed_id,
        "run": run.number,
        "seed": run.seed,
        "scenario": run.scenario,
        "target": {**run.target, "mode": run.mode},
        "began_utc": run.began_utc,
        "ended_utc": run.ended_utc,
        "verdict": run.verdict if run.has_ended else None,
        "reason": run.reason,
        "seconds": round(run.seconds, 3),
        "virtual": virtual_document(run.lived, run.seconds),
        "clients": list(run.clients),
        "proven": {
            "restores_verified": run.proven.restores,
            "restores_verified_earlier_runs": run.proven.restores_earlier_runs,
            "bytes_verified": run.proven.bytes_verified,
            "sweep": {"verified": run.proven.sweep_verified, "left": run.proven.sweep_left},
            "snapshots": {
                "live": run.proven.snapshots_live,
                "deleted": run.proven.snapshots_deleted,
                "in_doubt": run.proven.snapshots_in_doubt,
            },
        },
        "operations": {"recorded": len(run.operations), "dropped": run.operations_dropped},
        "actions": {
            found.action: {**found.counts, "seconds": _rounded(found.percentiles())} for found in figures.actions
        },
        "throughput": {"bin_seconds": figures.bin_seconds, "ended": figures.ended_by_bin},
        "faults": [
            {
                "key": fault.key,
                "began_seconds": round(fault.began_seconds, 3),
                "ended_seconds": None if fault.ended_seconds is None else round(fault.ended_seconds, 3),
                "outcome": fault.outcome,
                "details": fault.details,
            }
            for fault in run.faults
        ],
        "samples": {
            name: [[round(sample.at_seconds, 3), sample.value] for sample in samples]
            for name, samples in run.samples.items()
        },
        "violations": [_violation(found) for found in run.violations],
        "survival": {"proven": headline(run.survival), **survival_document(run.survival)},
        "notes": list(run.notes),
    }


def _rounded(values: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 6) for name, value in values.items()}


def _violation(found: FoundViolation) -> dict[str, Any]:
    row, evidence = found.row, found.evidence
    return {
        **row._asdict(),
        "evidence": None if row.evidence is None else str(evidence.directory if evidence else row.evidence),
        "evidence_is_there": None if evidence is None else evidence.is_there,
        "differences_total": None if evidence is None else evidence.differences_total,
    }
