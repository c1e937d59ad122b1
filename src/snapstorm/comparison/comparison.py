"""Targets side by side: the same trees, the same faults, and what came of them.

Every fact comes from a run that anybody can repeat with one command, which stands beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from snapstorm.errors import FaultNotPossible, HarnessError, TargetError
from snapstorm.faults.catalogue import FAULTS
from snapstorm.model.actions import RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.events import ActionEnded, Event, Listener, ignore
from snapstorm.model.location import GatewayStorage
from snapstorm.model.manifest import EntryType, Manifest
from snapstorm.model.protocols import Mode, Program
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.run.result import RunResult
from snapstorm.run.set_up import check_offered
from snapstorm.runtime.process import ProcessRunner
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.shipped_scenarios import shipped
from snapstorm.targets.registry import find_target, read_target
from snapstorm.testbed.testbed import read_testbed

TIMED_SCENARIOS = ("many-small-files", "one-large-file")
"""One client runs these, and its snapshots and restores are timed."""
_CLIENTS, _ACTIONS = 2, 16
_WRITE = {"size_bytes": "0..100000", "count": "1..10"}


_FAULTY_SECONDS_MAX = 100.0
"""For an operation, as `snapstorm run` has it with faults."""


@dataclass(frozen=True)
class Contender:
    """A target, and the settings of its own that it is run with."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        return ", ".join([self.name, *(f"{name}={value}" for name, value in self.parameters.items())])

    @property
    def options(self) -> str:
        """The options of `snapstorm run` that choose this target."""
        return " ".join([f"--target {self.name}", *(f"--parameter {n}={v}" for n, v in self.parameters.items())])


@dataclass(frozen=True)
class Timing:
    """How long a target took for the trees of one scenario, with one client at work."""

    scenario: str
    snapshot_seconds: Sequence[float]
    """How long the target took for each snapshot. What snapstorm does itself is not counted."""
    restore_seconds: Sequence[float]
    files: int
    size_bytes: int
    trees: str
    """A digest of the files' paths and contents. Two targets with the same digest had the same files."""
    verdict: Verdict
    reason: str = ""
    """Why the verdict is what it is."""

    @property
    def snapshot_median_seconds(self) -> float | None:
        return median(self.snapshot_seconds) if self.snapshot_seconds else None

    @property
    def restore_median_seconds(self) -> float | None:
        return median(self.restore_seconds) if self.restore_seconds else None


@dataclass(frozen=True)
class Weathered:
    """The result of a run in which one kind of fault struck."""

    fault: str
    verdict: Verdict | None
    """None where the fault is not possible."""
    struck: int = 0
    failed: int = 0
    """Operations that failed, or whose outcome was unknown."""
    first_failure: str = ""
    """Why the first of them did, in the target's words."""
    violated: Sequence[str] = ()
    """The guarantees that did not hold."""
    reason: str = ""
    """Why the verdict is what it is, or why the fault is not possible."""


@dataclass(frozen=True)
class Compared:
    """All that was found out of one target."""

    contender: Contender
    programs: Sequence[Program]
    capabilities: Capabilities
    timings: Sequence[Timing] = ()
    weathered: Sequence[Weathered] = ()


@dataclass(frozen=True)
class TargetComparison:
    """Several targets, and with which seed they were run."""

    seed: int
    targets: list[Compared] = field(default_factory=list[Compared])

    @property
    def is_good(self) -> bool:
        """Nothing was violated on any of them."""
        verdicts = {one.verdict for target in self.targets for one in target.weathered}
        verdicts |= {one.verdict for target in self.targets for one in target.timings}
        return Verdict.VIOLATED not in verdicts


def timing_command(target: Contender, scenario: str, seed: int) -> str:
    """The command line that does the same again."""
    return f"snapstorm run {scenario} {target.options} --clients 1 --seed {seed}"


def fault_command(target: Contender, fault: str, seed: int) -> str:
    """The command line that does the same again."""
    options = " ".join(f"--option write-random-files.{name}={value}" for name, value in _WRITE.items())
    mode, clients = _crowd(target.name, fault)
    how = f"--clients {clients} --actions {_ACTIONS}" + (f" --mode {mode}" if mode is not Mode.SERVER else "")
    where = " --repository gateway" if FAULTS[fault].needs_gateway else ""
    return f"snapstorm run {target.options} {how} {options} --keep-going --faults {fault}{where} --seed {seed}"


def _crowd(target: str, fault: str) -> tuple[Mode, int]:
    """In which mode a fault strikes, and how many clients: one directly, where no server stores in the gateway."""
    if FAULTS[fault].needs_gateway and Mode.SERVER not in read_target(target)[0].bucket_modes:
        return Mode.DIRECT, 1
    return Mode.SERVER, _CLIENTS


async def describe(target: Contender) -> Compared:
    """Find a target, without changing anything. Raises ConfigError, HarnessError."""
    make_target = find_target(target.name, ())
    check_offered(target.name, read_target(target.name)[0].parameters, target.parameters)
    async with ProcessRunner("none") as runner:
        found = make_target(runner)
        return Compared(target, found.description.programs, found.capabilities)


async def time_it(target: Contender, scenario: str, seed: int, testbed: Path) -> Timing:
    """Run one of `TIMED_SCENARIOS`, and read from the ledger how long the target took."""
    plan = shipped(scenario).model_copy(update={"clients": 1})
    result = await _run(plan, _options(target, testbed, seed), ignore)
    with read_testbed(testbed) as ledger:
        manifests = [ledger.manifest(one.manifest) for one in ledger.expectations()]
        return Timing(
            scenario,
            ledger.durations_of(1, [SnapshotRoot.key]),
            ledger.durations_of(1, [RestoreSnapshot.key]),
            files=sum(one.counts.files for one in manifests),
            size_bytes=sum(one.counts.size_bytes for one in manifests),
            trees=_digest_of(manifests),
            verdict=result.verdict,
            reason=result.reason,
        )


async def weather(target: Contender, fault: str, seed: int, testbed: Path) -> Weathered:
    """Let one fault strike while two clients work, or one where only one can."""
    randomized = shipped("randomized")
    plugin, _ = read_target(target.name)
    if FAULTS[fault].needs_gateway and not (plugin.has_bucket_storage or plugin.has_gateway_storage):
        return Weathered(fault, None, reason=f"the target {target.name} has no storage behind the gateway")
    options = {**randomized.options, WriteRandomFiles.key: {**randomized.options[WriteRandomFiles.key], **_WRITE}}
    mode, clients = _crowd(target.name, fault)
    changed = {
        "clients": clients,
        "actions": _ACTIONS,
        "duration_seconds": None,
        "options": options,
        "mode": mode,
    }
    failures: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, ActionEnded) and event.outcome in {"failed", "unknown"}:
            failures.append(f"{event.key}: {event.reason}")

    asked = replace(
        _options(target, testbed, seed),
        mode=mode,
        faults=(fault,),
        is_each_fault_awaited=True,
        keep_going=True,
        repository=GatewayStorage() if FAULTS[fault].needs_gateway else None,
        operation_seconds_max=_FAULTY_SECONDS_MAX,
    )
    try:
        result = await _run(randomized.model_copy(update=changed), asked, note)
    except FaultNotPossible as error:
        return Weathered(fault, None, reason=error.why)
    return Weathered(
        fault,
        result.verdict,
        struck=sum(result.tally.faults.values()),
        failed=len(failures),
        first_failure=failures[0] if failures else "",
        violated=sorted({violation.guarantee.value for violation in result.tally.violations}),
        reason=result.reason,
    )


def _options(target: Contender, testbed: Path, seed: int) -> HarnessOptions:
    return HarnessOptions(testbed=testbed, target=target.name, seed=seed, parameters=target.parameters)


async def _run(scenario: Scenario, options: HarnessOptions, listener: Listener) -> RunResult:
    """One run, as far as it comes; its result says why it ended. Raises what a run raises that can't be begun."""
    harness: Harness | None = None
    try:
        async with open_harness(options, listener) as harness:
            await harness.run_scenario(scenario)
            await harness.finish()
    except (HarnessError, TargetError):
        if harness is None:
            raise
    return harness.result


def _digest_of(manifests: Sequence[Manifest]) -> str:
    """Modes and owners are left out, because they depend on what a target keeps."""
    digest = hashlib.sha256()
    for manifest in manifests:
        for entry in manifest.entries:
            if entry.type is EntryType.FILE:
                digest.update(b"%d %s %s" % (len(entry.path), entry.path, entry.digest))
    return digest.hexdigest()
