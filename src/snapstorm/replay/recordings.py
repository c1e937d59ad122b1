"""From the ledger to a recording: what a run's clients did, as a scenario that does it again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from snapstorm.errors import ConfigError, TestbedError
from snapstorm.ledger.findings import RecordedViolation
from snapstorm.ledger.ledger import Ledger
from snapstorm.ledger.record import RecordedOperation
from snapstorm.model.lived_time import LivedTime
from snapstorm.model.location import GatewayStorage
from snapstorm.model.protocols import Mode
from snapstorm.persistence.persistence import REPOSITORY_FACT
from snapstorm.run.set_up import PARAMETERS_FACT
from snapstorm.runtime.clock import NS_PER_SECOND, utc_of
from snapstorm.scenario.problems import named, problems_of
from snapstorm.scenario.recording import RecordedFault, RecordedStep, Recording
from snapstorm.scenario.scenarios import Scenario
from snapstorm.testbed.identity import OUR_HOST

_KEPT = ("data_bytes_max", "parameters")
"""Of the run's scenario. Its parameters hold only if the testbed was made in that run."""
_RUN_PREFIX = re.compile(r"r(\d+)-")


@dataclass(frozen=True)
class Recorded:
    """A run as it can be repeated."""

    scenario: Scenario
    """Holds the recording."""
    target: str | None
    """As for `--target`; None if that was not recorded."""
    executables: tuple[str, ...]
    """The programs that it ran against."""
    guarantees: tuple[str, ...]
    """The guarantees that it found violated, in the order in which it found them."""
    is_behind_gateway: bool
    """The gateway was between the target and its storage."""
    restores: int
    """How many restores it made, snapstorm's own included."""
    cut: str | None
    """The last step that may matter to the violation; None if all may."""
    notes: tuple[str, ...]
    """How a repetition differs from the run."""

    @property
    def recording(self) -> Recording:
        """What its clients did."""
        assert self.scenario.recorded is not None, "it was made with one"
        return self.scenario.recorded


@dataclass
class _StepSpan:
    """A step of a client, from the begin of its first operation to the end of its last."""

    first: RecordedOperation
    ended: int | None
    """None if one of its operations has not ended."""
    of: str | None = None
    part: str | None = None

    @property
    def client(self) -> str:
        return self.first.client

    @property
    def name(self) -> str:
        return _step_name(self.first.id)

    def add(self, operation: RecordedOperation) -> None:
        self.ended = None if None in (self.ended, operation.ended_tick) else operation.ended_tick
        creator = operation.resolved.get("of")
        if self.of is None and creator is not None:
            self.of, self.part = creator, operation.resolved.get("sub_path") or None


def _spans(operations: Iterable[RecordedOperation]) -> list[_StepSpan]:
    spans: dict[tuple[str, int], _StepSpan] = {}
    for operation in operations:
        key = (operation.client, operation.step)
        spans.setdefault(key, _StepSpan(operation, operation.ended_tick)).add(operation)
    return list(spans.values())


def _steps(spans: Sequence[_StepSpan], ended: _Ended) -> Iterator[RecordedStep]:
    clients = list(ended.by_client)
    for span in spans:
        yield RecordedStep(
            name=span.name,
            client=clients.index(span.client) + 1,
            action=span.first.action,
            of=_step_name(span.of) if span.of else None,
            part=span.part,
            after=ended.before(span.first.began_tick, but=span.client),
            draws=(span.client, span.first.step),
            **span.first.options,
        )


class _Ended:
    """When the steps of each client ended. Clients are in the order of their numbers."""

    def __init__(self, spans: Sequence[_StepSpan]) -> None:
        clients = sorted({span.client for span in spans}, key=lambda name: (len(name), name))
        self.by_client: dict[str, list[tuple[int, str]]] = {client: [] for client in clients}
        for span in spans:
            if span.ended is not None:
                self.by_client[span.client].append((span.ended, span.name))

    def before(self, tick: int, but: str = "") -> tuple[str, ...]:
        """The last step of each client, except one, that had ended at this tick."""
        found = (
            max((one for one in ended if one[0] < tick), default=None)
            for client, ended in self.by_client.items()
            if client != but
        )
        return tuple(one[1] for one in found if one is not None)


def _step_name(operation: str) -> str:
    """The id of an operation's step, without its run: `r3-client-1-7.2` is of `client-1-7`."""
    return _RUN_PREFIX.sub("", operation, count=1).partition(".")[0]


def read_recorded(ledger: Ledger, number: int) -> Recorded:
    """What a run did, as a scenario. Raises TestbedError if there is no such run, ConfigError if nothing of it can be
    repeated."""
    run = ledger.record.run(number)
    if run is None:
        raise TestbedError(f"the testbed has no run {number}; `snapstorm history` lists them")
    operations = {operation.id: operation for operation in ledger.record.operations(number)}
    there_are = _spans(operation for operation in operations.values() if not operation.is_own)
    spans = [span for span in there_are if span.of is None or span.of.startswith(f"r{number}-")]
    if not spans:
        raise ConfigError(f"run {number} has no recorded steps that could be done again")
    ended = _Ended(spans)
    steps = tuple(_steps(spans, ended))
    faults = tuple(
        RecordedFault(key=fault.key, number=nth, after=ended.before(fault.began_tick))
        for nth, fault in enumerate(ledger.faults_of(number), start=1)
    )
    violated = _violated(ledger.recorded_violations(number), operations)
    lived = ledger.lived_time(number)
    skews = () if lived is None else _skews(lived, list(ended.by_client))
    recording = Recording(seed=run["seed"], run=number, steps=steps, faults=faults, clock_skews=skews)
    target = run["target"]
    return Recorded(
        scenario=_scenario(number, run["scenario"], recording, ledger),
        target=target.get("asked") or ledger.fact("target"),
        executables=tuple(found["path"] for found in target.get("executables", ()) if found.get("path")),
        guarantees=tuple(violated),
        is_behind_gateway=ledger.fact(REPOSITORY_FACT) == str(GatewayStorage()),
        restores=sum(operation.action.startswith("restore-") for operation in operations.values()),
        cut=_cut(spans, next(iter(violated.values()), None)),
        notes=tuple(_notes(ledger, number, len(there_are) - len(spans), steps)),
    )


def _skews(lived: LivedTime, clients: Sequence[str]) -> tuple[str, ...]:
    """As a scenario has them."""
    if not lived.ahead_ns_by_client:
        return ()
    return tuple(f"{lived.ahead_ns_by_client.get(client, 0) / NS_PER_SECOND:g}s" for client in clients)


def _violated(
    violations: Iterable[RecordedViolation], operations: Mapping[str, RecordedOperation]
) -> dict[str, int | None]:
    """The guarantees that were violated, each with the tick at which the first operation began that showed it; None
    unless only operations of clients showed it."""
    found: dict[str, list[int | None]] = {}
    rows = list(violations)
    # Accepted violations come back as well; they are looked for if there are no others.
    for row in [row for row in rows if row.accepted_reason is None] or rows:
        showing = operations.get(row.violation.operation or "")
        tick = None if showing is None or showing.is_own else showing.began_tick
        found.setdefault(row.violation.guarantee.value, []).append(tick)
    return {
        guarantee: None if None in ticks else min(tick for tick in ticks if tick is not None)
        for guarantee, ticks in found.items()
    }


def _scenario(number: int, was: Any, recording: Recording, ledger: Ledger) -> Scenario:
    """The recording with the settings of the run's scenario that matter. A run of the library has a name only."""
    kept = {name: was[name] for name in _KEPT if isinstance(was, dict) and name in was}
    if (parameters := ledger.fact(PARAMETERS_FACT)) is not None:
        kept["parameters"] = json.loads(parameters)
    if (lived := ledger.lived_time(number)) is not None:
        kept["virtual_start"] = utc_of(lived.began_ns)
    if (retention := ledger.expiries.retention) is not None:
        kept["retention"] = retention.policy.model_dump()
    try:
        return Scenario.model_validate(
            {
                "name": f"replay of run {number}",
                "clients": recording.clients,
                "mode": ledger.fact("mode") or Mode.SERVER,
                "recorded": recording,
                "faults": recording.fault_keys,
                **kept,
            }
        )
    except ValidationError as error:
        problems = "; ".join(named(place, words) for place, words in problems_of(error, Scenario))
        raise ConfigError(f"the recording of run {number} can't be used: {problems}") from error


def _cut(spans: Sequence[_StepSpan], tick: int | None) -> str | None:
    """The last step that had begun when the first violation was found; None if it was not found at a client's step."""
    began = [span for span in spans if tick is not None and span.first.began_tick <= tick]
    return max(began, key=lambda span: span.first.began_tick).name if began else None


def _notes(ledger: Ledger, number: int, left_out: int, steps: Sequence[RecordedStep]) -> Iterator[str]:
    if dropped := ledger.dropped_operations_of(number):
        yield f"{dropped} of its operations were dropped by `snapstorm compact`, and can't be done again"
    violations = ledger.recorded_violations(number)
    if violations and all(row.accepted_reason is not None for row in violations):
        yield "all that it found violated has been accepted since"
    if number > 1:
        yield "it went on from earlier runs, and is done again on an empty testbed"
    if left_out:
        yield f"{left_out} of its steps act on snapshots of earlier runs, and are left out"
    if any(not step.draws or not step.draws[0].endswith(OUR_HOST) for step in steps):
        yield "its clients were users of an operator's server; they are ours now"
