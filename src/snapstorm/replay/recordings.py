"""From the ledger to a recording: what a run's clients did, as a scenario that does it again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from snapstorm.errors import ConfigError, TestbedError
from snapstorm.ledger.findings import RecordedViolation
from snapstorm.ledger.ledger import Ledger
from snapstorm.ledger.record import RecordedOperation
from snapstorm.model.protocols import Mode
from snapstorm.scenario.problems import named, problems_of
from snapstorm.scenario.recording import RecordedFault, RecordedStep, Recording
from snapstorm.scenario.scenarios import Scenario
from snapstorm.testbed.identity import OUR_HOST

_KEPT = ("data_bytes_max", "parameters")
_RUN_PREFIX = re.compile(r"r(\d+)-")


@dataclass(frozen=True)
class Recorded:
    """A run as it can be done again."""

    scenario: Scenario
    """Holds the recording."""
    target: str | None
    """As for `--target`; None where that was not recorded."""
    executables: tuple[str, ...]
    """The programs that it ran against."""
    guarantees: tuple[str, ...]
    """What it found violated, the first first."""
    restores: int
    """How many it made, snapstorm's own included."""
    cut: str | None
    """The last step that may have to do with the violation; None for all of them."""
    notes: tuple[str, ...]
    """In what it can't be done again as it was."""

    @property
    def recording(self) -> Recording:
        """What its clients did."""
        assert self.scenario.recorded is not None, "it was made with one"
        return self.scenario.recorded


@dataclass
class _Span:
    """A client's step, from its first operation to the end of its last."""

    first: RecordedOperation
    began: int
    ended: int | None
    of: str | None = None
    part: str | None = None
    is_of_earlier_run: bool = False


@dataclass
class _OperationsReader:
    """Puts the operations of one run together to steps."""

    run: int
    spans: dict[tuple[str, int], _Span] = field(default_factory=dict)

    def read(self, operations: Iterable[RecordedOperation]) -> None:
        for operation in operations:
            span = self.spans.get((operation.client, operation.step))
            if span is None:
                span = self.spans[operation.client, operation.step] = _Span(
                    operation, operation.began_tick, operation.ended_tick
                )
            else:
                span.ended = None if None in (span.ended, operation.ended_tick) else operation.ended_tick
            creator = operation.resolved.get("of")
            if creator is not None and span.of is None:
                span.of, span.part = creator, operation.resolved.get("sub_path") or None
                span.is_of_earlier_run = not creator.startswith(f"r{self.run}-")

    def steps(self) -> tuple[list[RecordedStep], int]:
        """The steps in order, and how many act on snapshots of earlier runs, which are left out."""
        spans = [span for span in self.spans.values() if not span.is_of_earlier_run]
        clients = sorted({span.first.client for span in spans}, key=lambda name: (len(name), name))
        ended: dict[str, list[tuple[int, str]]] = {client: [] for client in clients}
        for span in spans:
            if span.ended is not None:
                ended[span.first.client].append((span.ended, _step_name(span.first.id)))
        steps = [
            RecordedStep(
                name=_step_name(span.first.id),
                client=clients.index(span.first.client) + 1,
                action=span.first.action,
                of=_step_name(span.of) if span.of else None,
                part=span.part,
                after=tuple(_last_before(span.began, ended, span.first.client)),
                draws=(span.first.client, span.first.step),
                **span.first.options,
            )
            for span in spans
        ]
        return steps, len(self.spans) - len(spans)

    def ended_before(self, tick: int) -> tuple[str, ...]:
        """The last step of each client that had ended then."""
        ended: dict[str, list[tuple[int, str]]] = {}
        for span in self.spans.values():
            if span.ended is not None and not span.is_of_earlier_run:
                ended.setdefault(span.first.client, []).append((span.ended, _step_name(span.first.id)))
        return tuple(_last_before(tick, ended, ""))


def _last_before(tick: int, ended: dict[str, list[tuple[int, str]]], but: str) -> list[str]:
    """Of each other client the last step that had ended before."""
    found = [max((one for one in those if one[0] < tick), default=None) for who, those in ended.items() if who != but]
    return [one[1] for one in found if one is not None]


def _step_name(operation: str) -> str:
    """The id of an operation's step, without its run: `r3-client-1-7.2` is of `client-1-7`."""
    return _RUN_PREFIX.sub("", operation, count=1).partition(".")[0]


def read_recorded(ledger: Ledger, number: int) -> Recorded:
    """What a run did, as a scenario. Raises TestbedError for a run that there is not, ConfigError where nothing of it
    can be done again."""
    run = ledger.record.run(number)
    if run is None:
        raise TestbedError(f"the testbed has no run {number}; `snapstorm history` lists them")
    operations = {operation.id: operation for operation in ledger.record.operations(number)}
    reader = _OperationsReader(number)
    reader.read(operation for operation in operations.values() if not operation.is_own)
    steps, left_out = reader.steps()
    if not steps:
        raise ConfigError(f"run {number} has no recorded steps that could be done again")
    faults = [
        RecordedFault(key=fault.key, number=nth, after=reader.ended_before(fault.began_tick))
        for nth, fault in enumerate(ledger.faults_of(number), start=1)
    ]
    violated = _violated(ledger.recorded_violations(number), operations)
    recording = Recording(seed=run["seed"], run=number, steps=tuple(steps), faults=tuple(faults))
    mode, target = ledger.fact("mode") or Mode.SERVER, run["target"]
    return Recorded(
        scenario=_scenario(number, run["scenario"], recording, mode),
        target=target.get("asked") or ledger.fact("target"),
        executables=tuple(found["path"] for found in target.get("executables", ()) if found.get("path")),
        guarantees=tuple(violated),
        restores=sum(operation.action.startswith("restore-") for operation in operations.values()),
        cut=_cut(reader, violated),
        notes=tuple(_notes(ledger, number, left_out, steps)),
    )


def _violated(
    violations: Iterable[RecordedViolation], operations: Mapping[str, RecordedOperation]
) -> dict[str, int | None]:
    """Which guarantees were violated, each with the tick at which the first operation began that showed it; None where
    not only operations of clients did."""
    found: dict[str, list[int | None]] = {}
    rows = list(violations)
    # What has been accepted comes back just as well; it is what is looked for where there is nothing else.
    for row in [row for row in rows if row.accepted_reason is None] or rows:
        showing = operations.get(row.violation.operation or "")
        tick = None if showing is None or showing.is_own else showing.began_tick
        found.setdefault(row.violation.guarantee.value, []).append(tick)
    return {
        guarantee: None if None in ticks else min(tick for tick in ticks if tick is not None)
        for guarantee, ticks in found.items()
    }


def _scenario(number: int, was: Any, recording: Recording, mode: str) -> Scenario:
    """The recording with what else the run's scenario said that matters; of the library's, which has only a name,
    nothing."""
    kept = {name: was[name] for name in _KEPT if isinstance(was, dict) and name in was}
    try:
        return Scenario.model_validate(
            {
                "name": f"replay of run {number}",
                "clients": recording.clients,
                "mode": mode,
                "recorded": recording,
                "faults": recording.fault_keys,
                **kept,
            }
        )
    except ValidationError as error:
        problems = "; ".join(named(place, words) for place, words in problems_of(error, Scenario))
        raise ConfigError(f"the recording of run {number} can't be used: {problems}") from error


def _cut(reader: _OperationsReader, violated: dict[str, int | None]) -> str | None:
    """The last step that had begun when the first violation was found, if a client's step has shown it."""
    ticks = list(violated.values())
    if not ticks or ticks[0] is None:
        return None
    showing = [span for span in reader.spans.values() if span.began <= ticks[0] and not span.is_of_earlier_run]
    return _step_name(max(showing, key=lambda span: span.began).first.id) if showing else None


def _notes(ledger: Ledger, number: int, left_out: int, steps: Sequence[RecordedStep]) -> list[str]:
    notes = []
    if dropped := ledger.dropped_operations_of(number):
        notes.append(f"{dropped} of its operations were dropped by `snapstorm compact`, and can't be done again")
    violations = ledger.recorded_violations(number)
    if violations and all(row.accepted_reason is not None for row in violations):
        notes.append("all that it found violated has been accepted since")
    if number > 1:
        notes.append("it went on from earlier runs, and is done again on an empty testbed")
    if left_out:
        notes.append(f"{left_out} of its steps act on snapshots of earlier runs, and are left out")
    if any(not step.draws or not step.draws[0].endswith(OUR_HOST) for step in steps):
        notes.append("its clients were users of an operator's server; they are ours now")
    return notes
