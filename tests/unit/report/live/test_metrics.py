"""What Prometheus reads says what happened, and is what Prometheus takes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from snapstorm.ledger.samples import Quantity
from snapstorm.model.events import (
    ActionBegan,
    ActionEnded,
    DaysLived,
    Event,
    FaultBegan,
    FaultEnded,
    Measured,
    Noted,
    PhaseBegan,
    RestoreVerified,
    RunBegan,
    RunEnded,
    SweepAdvanced,
    ViolationFound,
)
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.report.live.metrics import Metrics

VIOLATION = Violation(Guarantee.RESTORED_EXACTLY, "it differs", "client-1", "abc")
EVENTS: tuple[Event, ...] = (
    RunBegan(Path("/bed"), 3, 7, "kopia 0.23.1"),
    PhaseBegan("at work"),
    ActionBegan("client-1", "snapshot-root"),
    ActionBegan("client-2", "restore-snapshot"),
    ActionEnded("client-1", "snapshot-root", "ok", 0.3),
    RestoreVerified("client-2", "abc", 4096),
    ViolationFound(VIOLATION),
    FaultBegan("kill-server"),
    FaultBegan("pause-server"),
    FaultEnded("kill-server", "healed"),
    Measured("server-memory-bytes", 1e6),
    DaysLived(120.0, 365.0),
    SweepAdvanced(2, 9),
    Noted("something"),
    RunEnded("violated", "one was lost"),
)


def shown(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, tuple(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_there_is_a_rule_for_each_event_and_each_quantity() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))
    metrics = Metrics()
    for quantity in Quantity:
        metrics(Measured(quantity.value, 5.0))
    assert sum(1 for value in shown(metrics).values() if value == 5.0) == len(Quantity)


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("snapstorm_run", (), 3),
        ("snapstorm_virtual_days", (), 120),
        ("snapstorm_runs_total", ("violated",), 1),
        ("snapstorm_runs_total", ("pass",), 0),
        ("snapstorm_actions_total", ("snapshot-root", "ok"), 1),
        ("snapstorm_action_seconds_count", ("snapshot-root",), 1),
        ("snapstorm_action_seconds_bucket", ("snapshot-root", "0.25"), 0),
        ("snapstorm_action_seconds_bucket", ("snapshot-root", "0.5"), 1),
        ("snapstorm_clients_working", (), 1),
        ("snapstorm_restores_verified_total", (), 1),
        ("snapstorm_verified_bytes_total", (), 4096),
        ("snapstorm_violations_total", ("restored-exactly",), 1),
        ("snapstorm_violations_total", ("no-leak",), 0),
        ("snapstorm_faults_total", ("kill-server",), 1),
        ("snapstorm_fault_active", ("kill-server",), 0),
        ("snapstorm_fault_active", ("pause-server",), 1),
        ("snapstorm_server_memory_bytes", (), 1e6),
        ("snapstorm_sweep_restored", (), 2),
        ("snapstorm_sweep_snapshots", (), 9),
        ("snapstorm_notes_total", (), 1),
    ],
)
def test_what_happened_is_counted(name: str, labels: tuple[str, ...], value: float) -> None:
    metrics = Metrics()
    for event in EVENTS:
        metrics(event)
    assert shown(metrics)[name, labels] == value


def test_what_did_nothing_is_no_duration() -> None:
    metrics = Metrics()
    metrics(ActionEnded("client-1", "run-gc", "no_op", 0.0))
    found = shown(metrics)
    assert found["snapstorm_actions_total", ("run-gc", "no_op")] == 1
    assert ("snapstorm_action_seconds_count", ("run-gc",)) not in found
