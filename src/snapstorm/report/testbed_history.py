"""The output of `snapstorm history`: a testbed's runs, what has been proven of its snapshots, and what has not."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snapstorm.ledger.history import AgeBucket, LiveSnapshot, Survival, SurvivalTables
from snapstorm.ledger.ledger import Ledger
from snapstorm.report.run_data import as_object, name_of_target
from snapstorm.report.text import dump_json

_SECONDS_PER_DAY = 86_400


def history_lines(directory: Path, ledger: Ledger, now_utc: str, limit: int, *, as_json: bool) -> Iterator[str]:
    """The history of a testbed. At most `limit` runs, the newest, and `limit` snapshots, those with the greatest
    debt."""
    tables = ledger.history.survival()
    runs = [_run(run) for run in ledger.runs(limit)]
    snapshots = heapq.nlargest(limit, ledger.history.live_snapshots(now_utc), key=lambda live: live.unproven.debt)
    if as_json:
        yield dump_json(
            {
                "testbed": str(directory),
                "proven": headline(tables),
                **{f"survival_{name}": found for name, found in survival_document(tables).items()},
                "runs_total": ledger.count_runs(),
                "runs": runs,
                "snapshots": [_snapshot(live) for live in snapshots],
            }
        )
        return
    yield from proven_lines(tables)
    yield ""
    yield f"{'run':>5}  {'began':20}  {'verdict':12}  {'target':24}  {'restores':>8}  {'seed':>10}"
    for run in runs:
        restores = "-" if run["restores_verified"] is None else run["restores_verified"]
        yield (
            f"{run['number']:5}  {run['began_utc']:20}  {run['verdict'] or 'killed':12}  {run['target']:24}  "
            f"{restores:>8}  {run['seed']:>10}"
        )
    yield ""
    columns = f"{'snapshot':34}  {'client':22}  {'taken':10}  {'last restored exactly':28}"
    yield f"{columns}  {'collections':>11}  {'debt':>6}"
    for live in snapshots:
        taken = datetime.fromtimestamp(live.taken_days * _SECONDS_PER_DAY, UTC).date().isoformat()
        yield (
            f"{live.snapshot or '?':34}  {live.client:22}  {taken:10}  {_last_proof(live):28}  "
            f"{live.unproven.collections:>11}  {live.unproven.debt:6.1f}"
        )


def ages(tables: SurvivalTables) -> Iterator[tuple[str, Survival]]:
    """What has been proven by age, in words."""
    for age in AgeBucket:
        if age in tables.by_age:
            yield f"{age.value}{'' if age is AgeBucket.OLDER else ' old'}", tables.by_age[age]


def version_pairs(tables: SurvivalTables) -> Iterator[tuple[str, str, Survival]]:
    """What has been proven by versions: those that took the snapshots, and those that restored them."""
    for (taken, restored), found in sorted(tables.by_versions.items()):
        yield taken, restored, found


def survival_document(tables: SurvivalTables) -> dict[str, Any]:
    """Both tables as plain values."""
    return {
        "by_age": {age.value: _survival_row(tables.by_age[age]) for age in AgeBucket if age in tables.by_age},
        "by_version": [
            {"taken_by": taken, "restored_by": restored, **_survival_row(found)}
            for taken, restored, found in version_pairs(tables)
        ],
    }


def headline(tables: SurvivalTables) -> str:
    """What has been proven, in one sentence."""
    total, versions = tables.total, tables.versions
    if total.snapshots == 0:
        return "no snapshot has been restored and found equal yet"
    return (
        f"{total.snapshots:,} snapshot(s) up to {show_age(total.days_max)} old, {len(versions)} version(s), "
        f"last restored on {total.last_utc}"
    )


def proven_lines(tables: SurvivalTables) -> Iterator[str]:
    """What has been proven, in one sentence and in two tables: by age and by version."""
    yield headline(tables)
    if not tables.by_age:
        return
    yield ""
    yield f"{'restored exactly when it was':46}  {'snapshots':>9}  {'oldest':>9}  last on"
    for name, found in ages(tables):
        yield _survival_line(name, found)
    yield ""
    yield f"{'taken by -> restored by':46}  {'snapshots':>9}  {'oldest':>9}  last on"
    for taken, restored, found in version_pairs(tables):
        yield _survival_line(f"{taken} -> {restored}", found)


def _survival_line(name: str, found: Survival) -> str:
    return f"{name:46}  {found.snapshots:9,}  {show_age(found.days_max):>9}  {found.last_utc}"


def _survival_row(found: Survival) -> dict[str, Any]:
    """One row of the tables as plain values."""
    return {"snapshots": found.snapshots, "days_max": round(found.days_max, 3), "last_utc": found.last_utc}


def _run(run: dict[str, Any]) -> dict[str, Any]:
    summary = as_object(run["summary"])
    return {
        **{name: run[name] for name in ("number", "seed", "began_utc", "ended_utc", "verdict")},
        "target": name_of_target(as_object(run["target"])),
        **{name: summary.get(name) for name in ("restores_verified", "snapshots", "seconds")},
    }


def _snapshot(live: LiveSnapshot) -> dict[str, Any]:
    verified = {
        "at_utc": live.verified_utc,
        "run": live.verified_run,
        "by": live.verified_versions,
        "through": live.verified_through,
    }
    return {
        **{name: getattr(live, name) for name in ("snapshot", "operation", "client", "source", "taken_run")},
        "age_days": round(live.unproven.age_days, 3),
        "last_verified": None if live.verified_utc is None else verified,
        "collections_since": live.unproven.collections,
        "versions_since": live.unproven.versions,
        "restore_debt": round(live.unproven.debt, 2),
    }


def _last_proof(live: LiveSnapshot) -> str:
    return "never" if live.verified_utc is None else f"{live.verified_utc[:10]} by {live.verified_versions}"


def show_age(days: float) -> str:
    """An age for people: `37 min`, `5 hours`, `12 days`."""
    if days >= 2:
        return f"{days:.0f} days"
    minutes = days * 24 * 60
    return f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} min"
