"""Runs as Prometheus metrics: `/metrics` covers all runs of one command.

Names follow https://prometheus.io/docs/practices/naming/: base units, totals end in `_total`. Labels are closed sets
(actions, outcomes, guarantees, faults), so a run of months has no more series than one of minutes.
"""

from __future__ import annotations

from typing import assert_never

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from snapstorm.guarantees.panel import known_guarantees
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
from snapstorm.model.verdict import Verdict
from snapstorm.version import __version__

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

ACTION_SECONDS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 300)
"""A command of Kopia takes from some tenths of a second to minutes, a file action milliseconds."""

_MEASURED = {
    "server-open-files": ("server_open_files", "Files that the server's process holds open."),
    "server-memory-bytes": ("server_memory_bytes", "Resident memory of the server's process."),
    "own-memory-bytes": ("own_memory_bytes", "Resident memory of snapstorm itself."),
    "repository-bytes": ("repository_bytes", "Size of the files in which the repository is stored."),
    "cache-bytes": ("cache_bytes", "Size of the caches of the server and of all clients."),
    "log-bytes": ("log_bytes", "Size of the target's own logs."),
}
"""By quantity of the ledger: the metric's name and meaning."""


class Metrics:
    """A listener that counts. Other threads may read it."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # The time of creation of a counter says nothing here.
        self.registry = CollectorRegistry()
        info = Info("snapstorm", "The program that watches.", registry=self.registry)
        info.info({"version": __version__})
        self._run = self._gauge("run", "Number of the current run on its testbed, 0 before there is one.")
        self._runs = self._counter("runs", "Runs that ended, by verdict.", "verdict")
        self._actions = self._counter("actions", "Actions that ended, by kind and outcome.", "action", "outcome")
        self._seconds = Histogram(
            "snapstorm_action_seconds",
            "How long actions took that were not no-ops.",
            ["action"],
            buckets=ACTION_SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._working = self._gauge("clients_working", "Clients that are performing an action.")
        self._restores = self._counter("restores_verified", "Restored trees that equal what had been written.")
        self._bytes = self._counter("verified_bytes", "Bytes of these trees.")
        self._violations = self._counter("violations", "Violations that were found, by guarantee.", "guarantee")
        self._faults = self._counter("faults", "Faults that struck, by kind.", "fault")
        self._active = self._gauge("fault_active", "1 while this fault is active.", "fault")
        self._sweep_restored = self._gauge("sweep_restored", "Snapshots that the current sweep has restored.")
        self._sweep_total = self._gauge("sweep_snapshots", "Snapshots that the current sweep is to restore.")
        self._days = self._gauge("virtual_days", "Virtual days that the rounds of the scenario have taken.")
        self._notes = self._counter("notes", "Notes that are worth reading.")
        self._measured = {quantity: self._gauge(*words) for quantity, words in _MEASURED.items()}
        for guarantee in known_guarantees():
            self._violations.labels(guarantee.value)
        for verdict in Verdict:
            self._runs.labels(verdict.value)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"snapstorm_{name}", words, labels, registry=self.registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"snapstorm_{name}", words, labels, registry=self.registry)

    def __call__(self, event: Event) -> None:  # noqa: PLR0912 - a case for each kind of event
        """Count an event."""
        match event:
            case RunBegan(run=run):
                self._run.set(run)
                self._working.set(0)
            case RunEnded(verdict):
                self._runs.labels(verdict).inc()
            case PhaseBegan():
                self._set_sweep(0, 0)
            case ActionBegan():
                self._working.inc()
            case ActionEnded(_, key, outcome, seconds):
                self._working.dec()
                self._actions.labels(key, outcome).inc()
                if outcome != "no_op":
                    self._seconds.labels(key).observe(seconds)
            case RestoreVerified(bytes_verified=bytes_verified):
                self._restores.inc()
                self._bytes.inc(bytes_verified)
            case ViolationFound(violation):
                self._violations.labels(violation.guarantee.value).inc()
            case SweepAdvanced(restored, total):
                self._set_sweep(restored, total)
            case DaysLived(days):
                self._days.set(days)
            case FaultBegan(key):
                self._faults.labels(key).inc()
                self._active.labels(key).set(1)
            case FaultEnded(key):
                self._active.labels(key).set(0)
            case Measured(quantity, value):
                self._measured[quantity].set(value)
            case Noted(_, is_warning):
                self._notes.inc(int(is_warning))
            case _:
                assert_never(event)

    def _set_sweep(self, restored: int, total: int) -> None:
        self._sweep_restored.set(restored)
        self._sweep_total.set(total)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
