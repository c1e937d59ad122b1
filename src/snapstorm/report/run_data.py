"""The data of a report: one run, read from its testbed into plain values. Nothing in the testbed is changed.

A run that was killed, or that goes on, is read as far as it came. Renderers see only these values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from snapstorm.errors import TestbedError
from snapstorm.ledger.fault_records import FaultRecord
from snapstorm.ledger.history import SurvivalTables
from snapstorm.ledger.ledger import Ledger
from snapstorm.ledger.record import json_value
from snapstorm.ledger.run_rows import OperationRow, RanCommand, ViolationRow
from snapstorm.ledger.samples import Sample
from snapstorm.model.expectations import IN_DOUBT, State
from snapstorm.model.lived_time import LivedTime
from snapstorm.model.verdict import Verdict
from snapstorm.report.text import printable
from snapstorm.runtime.clock import utc_of
from snapstorm.testbed.testbed import read_testbed

Row = TypeVar("Row")

NOT_ENDED = "not ended"
"""The verdict of a run that was killed, or that goes on."""

EVIDENCE_READ_MAX = 100
"""The maximum number of violations whose evidence is read; for the others, the page says where it is."""


class EvidenceText(NamedTuple):
    """A text of a violation's evidence that is shown."""

    title: str
    characters_max: int


EVIDENCE_TEXTS = {
    "README.md": EvidenceText("What broke, and what was going on", 12_000),
    "differences.txt": EvidenceText("What differs, in words", 24_000),
    "expected-manifest.txt": EvidenceText("What the tree must be", 12_000),
    "entry.txt": EvidenceText("What the target has recorded about the snapshot", 8_000),
    "retention.txt": EvidenceText("What the retention policy keeps of what was there", 16_000),
    "listing.json": EvidenceText("The listing as it was shown", 8_000),
    "output.txt": EvidenceText("The target's output", 8_000),
    "objects.txt": EvidenceText("Where the target keeps the damaged files", 8_000),
    "commands.txt": EvidenceText("The target's commands of this operation", 12_000),
    "program.py": EvidenceText("The client's last actions as a program", 12_000),
    "environment.txt": EvidenceText("Versions, machine and options", 4_000),
    "violation.txt": EvidenceText("The violation as it was recorded", 4_000),
}
"""By file name, in the order in which they are shown."""

DIFFERENCES_MAX = 200
"""The maximum shown of one violation; more are counted."""


class WrongBlock(msgspec.Struct, frozen=True):
    """A stretch of a file with one kind of difference."""

    offset_bytes: int = 0
    length_bytes: int = 0
    kind: str = ""
    words: str = ""


class ContentDifference(msgspec.Struct, frozen=True):
    """One difference between a restored entry and what it must be."""

    path: str = ""
    kind: str = ""
    expected: str = ""
    actual: str = ""
    expected_bytes: int | None = None
    actual_bytes: int | None = None
    blocks: list[WrongBlock] = []

    @property
    def size_shown(self) -> int:
        """The size of the greater of both files, and at least to the end of the last wrong block."""
        ends = [block.offset_bytes + block.length_bytes for block in self.blocks]
        return max(1, self.expected_bytes or 0, self.actual_bytes or 0, *ends)


class _DifferencesFile(msgspec.Struct, frozen=True):
    """`differences.json`, see `guarantees.differences`."""

    differences: list[ContentDifference] = []
    differences_total: int = 0


@dataclass(frozen=True)
class KeptEvidence:
    """What was kept of a violation."""

    directory: Path
    is_there: bool
    """False if somebody has removed it."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Texts by file name, shortened."""
    differences: Sequence[ContentDifference] = ()
    """The differences, if they were kept as values (`differences.json`)."""
    differences_total: int = 0
    """How many differences there are."""
    files: Sequence[str] = ()
    """The other files in the directory."""


@dataclass(frozen=True)
class FoundViolation:
    """A violation and its evidence; None if it has none, or if it was not read."""

    row: ViolationRow
    evidence: KeptEvidence | None


@dataclass(frozen=True)
class Proven:
    """What a run has shown."""

    restores: int
    restores_earlier_runs: int
    bytes_verified: int
    sweep_verified: int
    sweep_left: int
    snapshots_live: int
    snapshots_deleted: int
    snapshots_in_doubt: int


@dataclass(frozen=True)
class RunData:
    """One run."""

    testbed: Path
    testbed_id: str
    number: int
    seed: int
    began_utc: str
    ended_utc: str | None
    verdict: str
    """One of `Verdict`, or NOT_ENDED."""
    reason: str
    target: Mapping[str, Any]
    mode: str
    scenario: str
    clients: Sequence[str]
    """In the order of their lanes."""
    seconds: float
    proven: Proven
    operations: Sequence[OperationRow]
    operations_dropped: int
    """How many operations compactions have dropped."""
    commands: Mapping[str, Sequence[RanCommand]]
    """Commands by operation."""
    faults: Sequence[FaultRecord]
    samples: Mapping[str, Sequence[Sample]]
    """Measurements by quantity."""
    violations: Sequence[FoundViolation]
    survival: SurvivalTables
    """Of the whole testbed, until now."""
    is_going_on: bool
    """Whether the run is still at work. Only its own live page knows that."""
    summary: Mapping[str, Any]
    """What `--json` printed when the run ended; empty if it has not ended."""
    lived: LivedTime | None = None
    """Its virtual time; None for a run in real time."""

    @property
    def virtual_words(self) -> str:
        """How much virtual time it has lived, in words; empty for a run in real time."""
        if self.lived is None:
            return ""
        began, ended = (utc_of(self.lived.at_ns(seconds)) for seconds in (0.0, self.seconds))
        return f"{self.lived.lived_days(self.seconds):,.1f} days lived, from {began} to {ended}"

    @property
    def has_ended(self) -> bool:
        return self.verdict != NOT_ENDED

    @property
    def headline(self) -> str:
        """The verdict in a word, and whether all of its violations have been accepted."""
        accepted = self.violations and all(found.row.accepted_reason is not None for found in self.violations)
        if self.is_going_on:
            return "GOING ON"
        # A run passes with violations only if a known bug has predicted all of them.
        apart = ", APART FROM KNOWN BUGS" if self.verdict == Verdict.PASS else ", ALL OF IT ACCEPTED"
        return self.verdict.upper() + (apart if accepted else "")

    @property
    def target_name(self) -> str:
        return name_of_target(self.target)

    @property
    def fault_spans(self) -> list[tuple[FaultRecord, float, float]]:
        """Each fault, and when it began and ended; one that never healed ends with the run."""
        return [
            (one, one.began_seconds, self.seconds if one.ended_seconds is None else one.ended_seconds)
            for one in self.faults
        ]

    @property
    def faults_struck(self) -> int:
        struck = self.summary.get("faults")
        return len(self.faults) if struck is None else sum(struck.values())

    @property
    def notes(self) -> Sequence[str]:
        return [*self.summary.get("notes", ())]


def read_run(testbed: Path, number: int) -> RunData:
    """Read one run. Raises ConfigError or TestbedError, one line each."""
    with read_testbed(testbed) as ledger:
        return _read(testbed, ledger, number)


def _read(testbed: Path, ledger: Ledger, number: int) -> RunData:
    row = next((found for found in ledger.runs() if found["number"] == number), None)
    if row is None:
        raise TestbedError(f"the testbed {testbed} has no run {number}")
    summary, operations = as_object(row["summary"]), ledger.operations_of(number)
    verdict = row["verdict"] or NOT_ENDED
    killed = "the run was killed, or is still going on: what follows is how far it came"
    violations = ledger.violations_of(number)
    return RunData(
        testbed=testbed,
        testbed_id=ledger.fact("testbed_id") or "?",
        number=number,
        seed=row["seed"],
        began_utc=row["began_utc"],
        ended_utc=row["ended_utc"],
        verdict=verdict,
        reason=summary.get("reason") or (killed if verdict == NOT_ENDED else ""),
        target=as_object(row["target"]),
        mode=ledger.fact("mode") or "?",
        scenario=scenario_name(row["scenario"]),
        clients=sorted({found.client for found in operations}, key=lambda name: (len(name), name)),
        seconds=summary.get("seconds") or ledger.latest_seconds(number),
        proven=proven_by(ledger, number, summary),
        operations=operations,
        operations_dropped=ledger.dropped_operations_of(number),
        commands=_grouped(ledger.commands_of(number), lambda command: command.operation),
        faults=ledger.faults_of(number),
        samples=_grouped(ledger.samples(number), lambda sample: sample.name),
        violations=[
            FoundViolation(found, read_evidence(testbed, number, found.evidence) if nth < EVIDENCE_READ_MAX else None)
            for nth, found in enumerate(violations)
        ],
        survival=ledger.history.survival(),
        is_going_on=False,
        summary=summary,
        lived=ledger.lived_time(number),
    )


def as_object(text: str | None) -> dict[str, Any]:
    """A JSON object from the ledger; empty if the text is not one."""
    value = json_value(text)
    return value if isinstance(value, dict) else {}


def scenario_name(text: str) -> str:
    """The scenario's name; `sweep` and the like are stored as plain words."""
    name = as_object(text).get("name")
    return str(name) if name else text.strip('"')[:100]


def name_of_target(target: Mapping[str, Any]) -> str:
    """The target's name with its versions."""
    return " ".join((target.get("name", "?"), *target.get("versions", ())))


def proven_by(ledger: Ledger, number: int, summary: Mapping[str, Any]) -> Proven:
    """The numbers that the run counted; if it has not ended, the sums over its verifications."""
    if summary:
        sweep, snapshots = summary.get("sweep", {}), summary.get("snapshots", {})
        return Proven(
            summary.get("restores_verified", 0),
            summary.get("restores_verified_earlier_runs", 0),
            summary.get("bytes_verified", 0),
            *(sweep.get(name, 0) for name in ("verified", "left")),
            *(snapshots.get(name, 0) for name in ("live", "deleted", "in_doubt")),
        )
    verified, states = ledger.verified_by(number), ledger.count_states()
    doubt = sum(states[state] for state in IN_DOUBT)
    deleted = states[State.DELETED] - ledger.expiries.count()
    return Proven(verified.restores, 0, verified.bytes_verified, 0, 0, states[State.LIVE], deleted, doubt)


def _grouped(rows: Sequence[Row], key_of: Callable[[Row], str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(key_of(row), []).append(row)
    return found


def read_evidence(testbed: Path, number: int, recorded: str | None) -> KeptEvidence | None:
    """The kept evidence of a violation. It is also found if the testbed was moved."""
    if recorded is None:
        return None
    directory = Path(recorded)
    moved = testbed / "runs" / f"{number:04}" / "evidence" / directory.name
    found = next((path for path in (moved, directory) if os.path.isdir(path)), None)
    if found is None:
        return KeptEvidence(directory, is_there=False)
    try:
        files = sorted(os.listdir(found))
    except OSError:
        return KeptEvidence(found, is_there=False)
    texts = {
        name: _read_text(found / name, kind.characters_max) for name, kind in EVIDENCE_TEXTS.items() if name in files
    }
    differences, total = _read_differences(found / "differences.json")
    return KeptEvidence(
        found,
        is_there=True,
        texts={name: text for name, text in texts.items() if text},
        differences=differences,
        differences_total=total,
        files=[printable(name) for name in files],
    )


def _read_text(path: Path, length_max: int) -> str:
    """The beginning of a text. The file may contain anything by now, so nothing is assumed about it."""
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            text = file.read(length_max + 1)
            is_longer, size_bytes = len(text) > length_max, os.fstat(file.fileno()).st_size
    except OSError as error:
        return f"[can't be read: {error.strerror}]"
    more = f"\n[the beginning of {size_bytes:,} bytes; the rest is in the evidence]" if is_longer else ""
    return printable(text[:length_max]) + more


def _read_differences(path: Path) -> tuple[list[ContentDifference], int]:
    """The differences as values, and how many there are in total; none if the file can't be read."""
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_DifferencesFile)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return [], 0
    return document.differences[:DIFFERENCES_MAX], max(document.differences_total, len(document.differences))
