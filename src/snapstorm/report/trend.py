"""The trend of a testbed: its runs over time, read into plain values. Renderers see only these values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapstorm.errors import ConfigError
from snapstorm.ledger.history import SurvivalTables
from snapstorm.ledger.ledger import Ledger
from snapstorm.ledger.samples import Quantity
from snapstorm.model.actions import Family, keys_of
from snapstorm.report.figures import percentile
from snapstorm.report.run_data import NOT_ENDED, Proven, as_object, name_of_target, proven_by, scenario_name
from snapstorm.report.testbed_history import headline, survival_document
from snapstorm.testbed.testbed import read_testbed
from snapstorm.version import __version__

SCHEMA = 1
TIMED_FAMILIES = (Family.SNAPSHOT, Family.RESTORE)
"""The latency of these families is followed from run to run."""


@dataclass(frozen=True)
class TrendRun:
    """One of the runs."""

    number: int
    began_utc: str
    verdict: str
    target: str
    scenario: str
    seconds: float
    operations: int
    proven: Proven
    violations: int
    faults: int
    latency: Mapping[str, tuple[float, float]]
    """By family of actions: p50 and p99 in seconds. Actions that did nothing are left out."""
    repository_bytes: float | None
    """After clients had worked, if it was measured."""
    server_memory_bytes_max: float | None
    server_open_files_max: float | None


@dataclass(frozen=True)
class Trend:
    """All runs of a testbed, the oldest first."""

    testbed: Path
    testbed_id: str
    runs: Sequence[TrendRun]
    survival: SurvivalTables


def read_trend(testbed: Path) -> Trend:
    """Read a testbed's runs. Raises ConfigError or TestbedError, one line each."""
    with read_testbed(testbed) as ledger:
        runs = [_run(ledger, row) for row in ledger.runs()]
        if not runs:
            raise ConfigError(f"there has been no run on the testbed {testbed}")
        return Trend(testbed, ledger.fact("testbed_id") or "?", runs, ledger.history.survival())


def _run(ledger: Ledger, row: Mapping[str, Any]) -> TrendRun:
    number, summary = int(row["number"]), as_object(row["summary"])
    samples = ledger.samples(number)
    sizes = {quantity: [one.value for one in samples if one.name == quantity] for quantity in Quantity}
    return TrendRun(
        number=number,
        began_utc=row["began_utc"],
        verdict=row["verdict"] or NOT_ENDED,
        target=name_of_target(as_object(row["target"])),
        scenario=scenario_name(row["scenario"]),
        seconds=summary.get("seconds") or ledger.latest_seconds(number),
        operations=ledger.record.count_operations(number),
        proven=proven_by(ledger, number, summary),
        violations=len(ledger.violations_of(number)),
        faults=sum(summary["faults"].values()) if "faults" in summary else len(ledger.faults_of(number)),
        latency=_latency(ledger, number),
        repository_bytes=next(iter(sizes[Quantity.REPOSITORY_BYTES][::-1]), None),
        server_memory_bytes_max=max(sizes[Quantity.SERVER_MEMORY_BYTES], default=None),
        server_open_files_max=max(sizes[Quantity.SERVER_OPEN_FILES], default=None),
    )


def _latency(ledger: Ledger, number: int) -> dict[str, tuple[float, float]]:
    found = {family: ledger.durations_of(number, keys_of(family)) for family in TIMED_FAMILIES}
    return {family: (percentile(each, 50), percentile(each, 99)) for family, each in found.items() if each}


def trend_document(trend: Trend) -> dict[str, Any]:
    """The trend as one JSON object. Every key is present; missing values are null."""
    return {
        "schema": SCHEMA,
        "snapstorm": __version__,
        "testbed": str(trend.testbed),
        "testbed_id": trend.testbed_id,
        "runs": [_run_document(run) for run in trend.runs],
        "survival": {"proven": headline(trend.survival), **survival_document(trend.survival)},
    }


def _run_document(run: TrendRun) -> dict[str, Any]:
    latency = {
        family: {"p50": round(found[0], 6), "p99": round(found[1], 6)} if (found := run.latency.get(family)) else None
        for family in TIMED_FAMILIES
    }
    return {
        "run": run.number,
        "began_utc": run.began_utc,
        "verdict": None if run.verdict == NOT_ENDED else run.verdict,
        "target": run.target,
        "scenario": run.scenario,
        "seconds": round(run.seconds, 3),
        "operations": run.operations,
        "restores_verified": run.proven.restores,
        "restores_verified_earlier_runs": run.proven.restores_earlier_runs,
        "bytes_verified": run.proven.bytes_verified,
        "violations": run.violations,
        "faults": run.faults,
        "latency_seconds": latency,
        "repository_bytes": run.repository_bytes,
        "server": {"memory_bytes_max": run.server_memory_bytes_max, "open_files_max": run.server_open_files_max},
    }
