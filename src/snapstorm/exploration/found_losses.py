"""What an exploration finds: each loss once, as a violation, with all that shows it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snapstorm.exploration.losses import Loss
from snapstorm.exploration.states import LossSighting, Since
from snapstorm.gateway.kept_history import StorageHistory
from snapstorm.gateway.write_log import Write
from snapstorm.guarantees.panel import sentence_of
from snapstorm.ledger.evidence_directories import EvidenceKeeper, write_texts
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.abilities import OpensStored
from snapstorm.model.guarantees import Violation

WRITES_SHOWN = 40
"""So many of the last writes before a cut stand in the evidence."""
REPOSITORIES_MAX = 3
"""Of so many losses the whole storage is kept as it was."""
KEPT_MAX = 20
"""Of so many losses anything is kept; the others are told and counted."""


@dataclass
class FoundLoss:
    """One loss, and in how many states it was seen."""

    violation: Violation
    event: int
    """The event of the storage at which it was lost, or the first at which that was seen."""
    writes: int
    """How many writes of the storage's history there are until then."""
    early: Sequence[str]
    """The keys of writes under way that this state has, and the log only later."""
    lost: Sequence[str]
    """The keys of writes under way that this state has not."""
    since: Since
    has_gone_on: bool
    """Whether it shows only after time has passed and maintenance has run."""
    states: int = 1

    def as_json(self) -> dict[str, Any]:
        """As the command prints it, and as it is kept."""
        one = self.violation
        return {
            "guarantee": one.guarantee.value,
            "client": one.client,
            "snapshot": one.snapshot,
            "operation": one.operation,
            "path": one.path,
            "detail": one.detail,
            "evidence": one.evidence,
            "event": self.event,
            "writes": self.writes,
            "since": self.since.value,
            "has_gone_on": self.has_gone_on,
            "in_flight": {"early": list(self.early), "lost": list(self.lost)},
            "states": self.states,
        }


@dataclass
class FoundLosses:
    """Keeps losses. Implements `Witness`."""

    ledger: Ledger
    history: StorageHistory
    target: OpensStored
    directory: Path
    """For their evidence."""
    on_finding: Callable[[FoundLoss], None]
    found: list[FoundLoss] = field(default_factory=list[FoundLoss])
    _states: dict[tuple[str, str | None], int] = field(default_factory=dict[tuple[str, str | None], int])
    _finding_by_key: dict[tuple[str, str | None], FoundLoss] = field(
        default_factory=dict[tuple[str, str | None], FoundLoss]
    )

    def is_new(self, loss: Loss) -> bool:
        """Count a loss. Whether it is the first of its kind."""
        count = self._states[loss.key] = self._states.get(loss.key, 0) + 1
        if (finding := self._finding_by_key.get(loss.key)) is not None:
            finding.states = count
        return count == 1

    def keep(self, sighting: LossSighting) -> None:
        """Keep what shows a loss, and tell of it."""
        loss, state, number = sighting.loss, sighting.state, len(self.found)
        one = loss.expectation
        evidence = EvidenceKeeper(self.directory, number).new_directory(loss.guarantee) if number < KEPT_MAX else None
        violation = Violation(
            loss.guarantee,
            loss.detail,
            None if one is None else one.client,
            None if one is None else one.snapshot,
            loss.path,
            None if evidence is None else str(evidence),
            None if one is None else one.operation,
        )
        finding = FoundLoss(
            violation,
            state.point.event if state.is_prefix else state.point.until_event,
            state.point.count,
            [write.key for write in state.early],
            [write.key for write in state.lost],
            sighting.since,
            sighting.has_gone_on,
            self._states[loss.key],
        )
        self._finding_by_key[loss.key] = finding
        self.found.append(finding)
        if evidence is not None:
            self._write_evidence(evidence, sighting, finding, has_repository=number < REPOSITORIES_MAX)
        self.on_finding(finding)

    def _write_evidence(
        self, directory: Path, sighting: LossSighting, finding: FoundLoss, *, has_repository: bool
    ) -> None:
        loss, snapshot = sighting.loss, finding.violation.snapshot or ""
        repository = directory / "repository"
        look = ["#!/bin/bash", *self.target.commands_to_look(str(repository), snapshot)]
        texts = {
            "README.md": "\n".join(self._readme(finding, has_repository=has_repository)),
            "output.txt": loss.output,
            "differences.txt": "\n".join(loss.words),
            "writes.txt": "\n".join(self._writes(sighting)),
            "look.sh": "\n".join(look) if has_repository else "",
        }
        with suppress(OSError):  # The finding stands without it, and a full disk may be why it can't be kept.
            write_texts(directory, texts)
            if has_repository:
                shutil.copytree(sighting.repository, repository)

    def _readme(self, finding: FoundLoss, *, has_repository: bool) -> Iterator[str]:
        one = finding.violation
        yield f"# {one.guarantee}: violated by a crash"
        yield ""
        yield f"> {sentence_of(one.guarantee)}"
        yield ""
        yield one.detail
        yield ""
        cut = f"The storage as it was after its first {finding.writes} writes, at event {finding.event}"
        if finding.early or finding.lost:
            yield f"{cut}, where of the writes under way {len(finding.early)} had come earlier than they did, and "
            yield f"{len(finding.lost)} not at all. S3 promises no more of writes that it has not answered."
        elif finding.since is Since.WRITE:
            yield f"{cut}. After the write before that one, nothing of this was lost."
        elif finding.since is Since.PROMISE:
            yield f"{cut}, the first after which it was promised. It shows from then on."
        else:
            yield f"{cut}. From when on it shows was not searched for."
        if finding.has_gone_on:
            yield ""
            yield "There nothing was lost yet; it was once time had passed and full maintenance had run."
        yield ""
        for name, value in (("client", one.client), ("snapshot", one.snapshot), ("operation", one.operation)):
            if value is not None:
                yield f"- {name}: `{value}`"
        yield ""
        yield "- `writes.txt`: the last writes before the cut, who asked for them, and which operations were at work"
        yield "- `output.txt`: what the target said"
        yield "- `differences.txt`: what differs, if it came back"
        if has_repository:
            yield "- `repository`: the storage at the cut, as a repository in a directory"
            yield "- `look.sh`: commands that open it, with the target's own program alone"

    def _writes(self, sighting: LossSighting) -> Iterator[str]:
        state = sighting.state
        yield "The last writes before the cut, the latest last: event, time of the storage, who, what."
        yield ""
        lost = {write.applied for write in state.lost}
        for write in self.history.past.writes[max(0, state.point.count - WRITES_SHOWN) : state.point.count]:
            mark = "NOT APPLIED HERE, it was under way: " if write.applied in lost else ""
            yield f"{mark}{self._show_write(write)}"
        for write in state.early:
            yield f"ALREADY APPLIED HERE, it was under way: {self._show_write(write)}"
        yield ""
        yield f"Operations at work at event {state.point.until_event}:"
        yield ""
        for one in self.ledger.operations_at_event(state.point.until_event):
            yield f"{one.id}  {one.client}  {one.action}, since event {one.began_event}"

    def _show_write(self, write: Write) -> str:
        seconds, rest_ns = divmod(write.at_ns, 1_000_000_000)
        moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03}Z"
        what = "DELETE" if write.content is None else f"PUT {write.content.size_bytes} bytes"
        at_work = ", ".join(one.id for one in self.ledger.operations_at_event(write.applied)) or "nobody"
        return f"{write.applied}  {moment}  {write.actor}  {what}  {write.key}  (at work: {at_work})"
