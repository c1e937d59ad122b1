"""One exploration of a recorded run, from its options to its verdict."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snapstorm.errors import ConfigError, TestbedError
from snapstorm.exploration.explorer import Explorer
from snapstorm.exploration.found_losses import FoundLoss, FoundLosses
from snapstorm.exploration.losses import LookCounts, LossFinder
from snapstorm.exploration.plan import Plan, RunEvents, make_plan
from snapstorm.exploration.states import Depth, ExploredTestbed, Tried
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.temporaries import temporaries_in
from snapstorm.gateway.kept_history import has_history, opened_history
from snapstorm.gateway.views import serving_views
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.abilities import OpensStored, StoredPlace
from snapstorm.model.location import GATEWAY, FileStorage
from snapstorm.model.verdict import Verdict
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import ProcessRunner, end_processes_of
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.plugin import MakeTarget
from snapstorm.testbed.testbed import (
    SECRETS_NAME,
    check_testbed_path,
    locked,
    read_testbed,
    run_directory_of,
)

FINDINGS_NAME = "explored.json"
"""In the directory of a run: what explorations of it have found."""
_DIRECTORY = "explore"
"""In a testbed: where an exploration works."""


@dataclass(frozen=True)
class ExploreOptions:
    """How a run is explored."""

    testbed: Path
    run: int
    depth: Depth
    every: int | None = None
    """One of so many writes is a point; None for what takes minutes."""
    operation_seconds_max: float = 300.0
    workers: int = field(default_factory=lambda: max(1, os.cpu_count() or 1))


@dataclass
class ExploreResult:
    """What an exploration has shown."""

    options: ExploreOptions
    plan: Plan
    tried: Tried
    counts: LookCounts
    found: list[FoundLoss]
    began_utc: str
    seconds: float = 0.0
    is_interrupted: bool = False

    @property
    def verdict(self) -> tuple[Verdict, str]:
        """The verdict, and the reason in words. Nothing looked at is never a pass."""
        if self.found:
            return Verdict.VIOLATED, f"{len(self.found)} loss(es): what was promised is not there after a crash"
        if self.is_interrupted:
            return Verdict.INTERRUPTED, "ended by a signal before it was done; nothing lost until then"
        if not self.counts.snapshots_read:
            return Verdict.INCONCLUSIVE, "no snapshot was promised in what could be tried, so nothing is known"
        rest = "" if not self.points_left else f"; {self.points_left} point(s) were not tried"
        return Verdict.PASS, f"nothing lost in {self.tried.states} states of the storage{rest}"

    @property
    def points_left(self) -> int:
        """Points of the plan that were not tried."""
        return len(self.plan.points) - self.tried.points

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints. Every key is present; what is absent is null."""
        verdict, reason = self.verdict
        return {
            "schema": 1,
            "run": self.options.run,
            "seed": self.options.depth.seed,
            "began_utc": self.began_utc,
            "seconds": round(self.seconds, 3),
            "verdict": verdict.value,
            "reason": reason,
            "every": self.plan.every,
            "points": {
                "tried": self.tried.points,
                "not_tried": self.points_left,
                "without_promise": self.plan.without_promise,
                "dropped": self.plan.dropped,
                "after_lies": self.plan.after_lies,
            },
            "states": {
                "tried": self.tried.states,
                "in_flight": self.tried.in_flight_states,
                "gone_on": self.tried.went_on,
            },
            "points_per_minute": round(self.tried.points * 60 / self.seconds, 1) if self.seconds else None,
            "snapshots_read": self.counts.snapshots_read,
            "restores_compared": self.counts.restores,
            "bytes_compared": self.counts.bytes_compared,
            "accepted_losses": self.counts.accepted_losses,
            "losses": [finding.as_json() for finding in self.found],
        }


@dataclass(frozen=True)
class ExploreListener:
    """Is told how an exploration goes on."""

    on_begin: Callable[[Plan], None]
    on_state: Callable[[Tried], None]
    on_finding: Callable[[FoundLoss], None]


@dataclass
class Exploration:
    """An opened exploration. Made by `open_exploration`."""

    explorer: Explorer
    result: ExploreResult
    clock: Clock
    workers: int

    async def explore(self) -> None:
        """Try the plan. `result` is what was found until now, also if this is cancelled."""
        began = self.clock.monotonic_seconds()
        self.result.is_interrupted = True
        try:
            await self.explorer.explore(self.workers)
            self.result.is_interrupted = False
        finally:
            self.result.seconds = self.clock.monotonic_seconds() - began


@asynccontextmanager
async def open_exploration(
    options: ExploreOptions, make_target: MakeTarget, listener: ExploreListener, clock: Clock
) -> AsyncIterator[Exploration]:
    """Open a testbed to explore one of its runs; nobody else may use it meanwhile. What it leaves is in the directory
    of the run.

    Raises ConfigError for a run without a history or a target that can't be explored, TestbedError for a history that
    is damaged or gone; one line each.
    """
    testbed = options.testbed
    check_testbed_path(testbed, must_exist=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(testbed))
        ledger = stack.enter_context(read_testbed(testbed))
        events = _events_of(ledger, testbed, options.run)
        testbed_id = ledger.fact("testbed_id") or ""
        await end_processes_of(testbed_id)
        directory = stack.enter_context(_working_in(testbed / _DIRECTORY))
        history = stack.enter_context(opened_history(testbed / GATEWAY))
        temporaries = stack.enter_context(temporaries_in(directory / "tmp"))
        target = make_target(await stack.enter_async_context(ProcessRunner(testbed_id, temporaries=temporaries)))
        if not isinstance(target, OpensStored):
            raise ConfigError("this target can't open its storage as it was, so there is nothing to explore")
        accepted = ledger.accepted_losses()
        spans = [span for span in ledger.promise_spans() if span.expectation.operation not in accepted]
        plan = make_plan(history, spans, events, options.every)
        if not plan.points and plan.dropped:
            raise TestbedError(
                f"the history of run {options.run} was dropped to make room (--history-bytes-max), so it can't be "
                "explored any more"
            )
        kept_in = run_directory_of(testbed, options.run)
        findings = FoundLosses(ledger, history, target, _evidence_in(kept_in), listener.on_finding)
        finder = LossFinder(ledger, target.capabilities, LookCounts(accepted_losses=len(accepted)))
        views = None
        if options.depth.goes_on or ledger.is_virtual:
            views = stack.enter_context(serving_views())
        place = _place_in(directory, options)
        scene = ExploredTestbed(history, spans, target, place, clock, views, is_virtual=ledger.is_virtual)
        explorer = Explorer(scene, plan, options.depth, finder, findings, listener.on_state)
        result = ExploreResult(options, plan, explorer.tried, finder.counts, findings.found, clock.utc())
        listener.on_begin(plan)
        try:
            yield Exploration(explorer, result, clock, options.workers)
        finally:
            _keep_result(kept_in, result)


def _place_in(directory: Path, options: ExploreOptions) -> StoredPlace:
    return StoredPlace(
        storage=FileStorage(directory),
        directory=directory,
        secret=FileSecretStore(options.testbed / SECRETS_NAME).get,
        storage_secrets={},
        operation_seconds_max=options.operation_seconds_max,
    )


def _events_of(ledger: Ledger, testbed: Path, run_number: int) -> RunEvents:
    events = ledger.events_of_run(run_number)
    if events is None:
        raise ConfigError(
            f"run {run_number} of {testbed} has no history of its storage: make one with --repository gateway"
        )
    if not has_history(testbed / GATEWAY):
        raise TestbedError(f"the history of {testbed} is gone: there is no log in {testbed / GATEWAY}")
    return RunEvents(*events)


@contextmanager
def _working_in(directory: Path) -> Iterator[Path]:
    """An empty directory, which is removed at the end. What a killed exploration has left goes first."""
    remove_tree(directory)
    directory.mkdir(mode=0o700)
    try:
        yield directory
    finally:
        remove_tree(directory)


def _evidence_in(run_directory: Path) -> Path:
    """A directory for the evidence of one exploration that is not there yet."""
    number = 1
    while (path := run_directory / f"explored-{number:03}").exists():
        number += 1
    return path


def _keep_result(run_directory: Path, result: ExploreResult) -> None:
    """Add what an exploration has shown to what earlier ones have."""
    path = run_directory / FINDINGS_NAME
    new = path.with_suffix(".new")
    try:
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(json.dumps([*before, result.as_json()], indent=1), encoding="utf-8")
        new.replace(path)
    except (OSError, ValueError) as error:
        raise TestbedError(f"what was found can't be kept in {path}: {error}") from error
