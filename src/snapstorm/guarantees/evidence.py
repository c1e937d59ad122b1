"""Evidence: what is kept of a violation, one directory each, for whoever finds the run red in the morning.

`README.md` says in words what broke, what was going on, and which file shows what. Collecting never decides anything:
what can't be collected becomes a note, and the violation stands without it.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snapstorm.errors import SnapstormError
from snapstorm.filesystem.kept_tree import keep_tree
from snapstorm.guarantees.panel import sentence_of
from snapstorm.ledger.evidence_directories import EvidenceKeeper, as_program, write_texts
from snapstorm.ledger.fault_records import FaultRecord
from snapstorm.ledger.ledger import Ledger
from snapstorm.ledger.log_extracts import Window, extract_logs
from snapstorm.ledger.record import RecordedOperation
from snapstorm.model.abilities import NamesEntries, NamesObjects
from snapstorm.model.guarantees import Violation
from snapstorm.runtime.machine import describe_machine
from snapstorm.runtime.output import without_secrets
from snapstorm.runtime.redaction import secrets_among
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.under_test import UnderTest
from snapstorm.version import __version__

LAST_ACTIONS_SHOWN = 30
HISTORY_OPERATIONS_MAX = 500
"""So many of the latest operations stand in `history.json`."""
AROUND_OPERATIONS_MAX = 40
AROUND_SECONDS = 2.0
"""What was at work so long before the operation, or during it, was going on around it."""
FAULT_SECONDS = 10.0
"""A fault that healed so shortly before may still be the reason."""
LOG_SECONDS_BEFORE = 10.0
LOG_SECONDS_AFTER = 2.0
"""Logs are cut to the time from so long before the operation to so long after."""
OBJECTS_SECONDS_MAX = 20.0
ENTRIES_SECONDS_MAX = 90.0
OBJECTS_FILES_MAX = 3
"""Of so many damaged files the target is asked where it keeps them, for so long at most."""

FILES: tuple[tuple[str, str], ...] = (
    ("README.md", "this"),
    ("differences.txt", "what differs, in words; of content which bytes, and what they are instead"),
    ("differences.json", "the same for programs: offsets, lengths and kinds of blocks"),
    ("expected-manifest.txt", "what the tree must be, entry for entry"),
    ("restored", "what was restored; of a large tree the files that differ"),
    ("objects.txt", "where the target keeps the damaged files: objects, contents, blobs"),
    ("listing.json", "the listing as it was shown"),
    ("retention.txt", "the snapshots that the policy was judged by, each with its time and what keeps it"),
    ("entry.txt", "what the target has written down of the snapshot and of its deletion, also what it has replaced"),
    ("output.txt", "what the target said"),
    ("left-behind.txt", "what was left behind, and by which command, if that is known"),
    ("changes.txt", "what has changed in the client's own files, an entry on each line"),
    ("commands.txt", "the target's commands of this operation, with all that they wrote"),
    ("client-logs", "the client's logs of the time around it"),
    ("server-logs", "the server's logs of the time around it"),
    ("program.py", "the client's last actions as a small program"),
    ("history.json", "operations and faults of the run up to then, with what each action left open"),
    ("environment.txt", "versions, machine and options"),
)
"""What there can be in a directory of evidence, and what it shows."""

_UNCOLLECTED = (
    *(OSError, SnapstormError, sqlite3.Error),
    *(ValueError, LookupError, TypeError, ArithmeticError, RecursionError),
)
"""Also what a target that misbehaves may answer to those who look for a cause: that must not end the run."""


@dataclass(frozen=True)
class RestoredTree:
    """What was restored."""

    path: Path
    differing: Sequence[bytes]
    """The paths that differ in it."""
    bytes_total: int


class Evidence:
    """Collects the evidence of one run."""

    def __init__(
        self,
        run: RunContext,
        under_test: UnderTest,
        commands: CommandLog,
        directory: Path,
        server: object | None = None,
    ) -> None:
        """`directory` is that of all evidence of the run. `server` may say more of what it stores, see `NamesObjects`
        and `NamesEntries`."""
        self._run = run
        self._under_test = under_test
        self._commands = commands
        self._directories = EvidenceKeeper(directory)
        self._clerk = server if isinstance(server, NamesEntries) else None
        self._namer = server if isinstance(server, NamesObjects) else None

    def begin(self, guarantee: str) -> Path | None:
        """A fresh directory for one violation of this guarantee; None where none can be made."""
        with self._collecting("a directory for it"):
            return self._directories.new_directory(guarantee)
        return None

    def keep(
        self, directory: Path, violation: Violation, number: int, texts: Mapping[str, str], tree: RestoredTree | None
    ) -> None:
        """Collect all that explains the violation of this number. Never raises for what can't be collected."""
        run = self._run
        with self._collecting("texts"):
            write_texts(directory, texts)
        if tree is not None:
            with self._collecting("the restored tree"):
                keep_tree(tree.path, directory / "restored", tree.differing, tree.bytes_total)
        scene = _NOTHING
        with self._collecting("the run's history"):
            scene = self._scene(violation.operation)
            write_texts(directory, {"commands.txt": self._show_commands(violation.operation)})
            history = history_of(run.ledger, run.number, HISTORY_OPERATIONS_MAX)
            write_texts(directory, {"history.json": json.dumps(history, indent=1)})
        if violation.client is not None:
            with self._collecting("the client's actions"):
                actions = run.ledger.record.last_operations(run.number, LAST_ACTIONS_SHOWN, violation.client)
                write_texts(directory, {"program.py": as_program(run.seed, violation.client, actions)})
        with self._collecting("logs"):
            self._extract_logs(directory, violation.client, scene)
        with self._collecting("the environment"):
            write_texts(directory, {"environment.txt": self._environment()})
        with self._collecting("README.md"):  # Last, because it names what else there is.
            text = "\n".join(_readme(run, self._under_test, directory, violation, number, scene))
            write_texts(directory, {"README.md": text})

    async def name_objects(self, violations: Sequence[Violation], snapshot: str, paths: Sequence[bytes]) -> None:
        """Ask the target where it keeps these files of a snapshot, for `objects.txt` of these violations."""
        directories = [Path(one.evidence) for one in violations if one.evidence]
        if not directories or self._namer is None:
            return
        text = "the target did not say in time"
        with self._collecting("the target's objects"):
            with self._run.clock.move_on_after(OBJECTS_SECONDS_MAX):
                text = await self._namer.describe_objects(snapshot, list(dict.fromkeys(paths))[:OBJECTS_FILES_MAX])
            for directory in directories:
                _add_text(directory, "objects.txt", text)

    async def name_entries(self, violations: Sequence[Violation]) -> None:
        """Ask the target what it has written down of these violations' snapshots, for `entry.txt`."""
        told = {one.snapshot: Path(one.evidence) for one in violations if one.snapshot and one.evidence}
        if not told or self._clerk is None:
            return
        with self._collecting("the target's entries"):
            texts: Mapping[str, str] = {}
            with self._run.clock.move_on_after(ENTRIES_SECONDS_MAX):
                texts = await self._clerk.describe_entries(list(told))
            for snapshot, directory in told.items():
                _add_text(directory, "entry.txt", texts.get(snapshot, "the target did not say in time"))

    @contextmanager
    def _collecting(self, what: str) -> Iterator[None]:
        try:
            yield
        except _UNCOLLECTED as error:
            self._run.note(f"evidence is incomplete: {what} could not be kept: {error}")

    # What was going on.

    def _scene(self, operation: str | None) -> Surroundings:
        """What was going on around an operation; without one, around now."""
        run, now = self._run, self._run.now_seconds()
        found = run.ledger.record.operation(operation) if operation else None
        began = now if found is None else found.began_seconds
        ended = now if found is None or found.ended_seconds is None else found.ended_seconds
        meanwhile = began - AROUND_SECONDS, ended
        around = run.ledger.record.operations_between(run.number, meanwhile, AROUND_OPERATIONS_MAX)
        active = [
            fault
            for fault in run.ledger.faults_of(run.number)
            if fault.ended_seconds is None or fault.ended_seconds >= began - FAULT_SECONDS
        ]
        return Surroundings(found, began, ended, tuple(around), tuple(active))

    def _show_commands(self, operation: str | None) -> str:
        return "\n\n".join(
            f"$ {' '.join(command.argv)}\nexit status {command.exit_code} after {command.seconds:.3f} s\n"
            f"{command.stdout[:65536].decode(errors='backslashreplace')}\n"
            f"{command.stderr[-65536:].decode(errors='backslashreplace')}"
            for command in self._commands.by_operation.get(operation or "", [])
        )

    def _extract_logs(self, directory: Path, client: str | None, scene: Surroundings) -> None:
        place = self._under_test.place
        window = Window(
            self._wall_seconds(scene.began - LOG_SECONDS_BEFORE), self._wall_seconds(scene.ended + LOG_SECONDS_AFTER)
        )
        if client is not None:
            extract_logs(place.client(client) / "logs", directory / "client-logs", window, _without_secrets)
        for logs in (place.server / "logs", place.server / "server.log"):
            extract_logs(logs, directory / "server-logs", window, _without_secrets)

    def _wall_seconds(self, seconds: float) -> float:
        """A moment on the run's clock, in seconds since 1970."""
        return self._run.clock.wall_ns() / 1e9 - (self._run.now_seconds() - seconds)

    def _environment(self) -> str:
        place = self._under_test.place
        row = self._run.ledger.record.run(self._run.number) or {}
        target: dict[str, Any] = row.get("target") or {}
        values: dict[str, object] = {
            "snapstorm": __version__,
            "target": self._under_test.versions,
            **{f"program {one['version']}": one["sha256"] for one in target.get("executables", ())},
            "mode": place.mode.value,
            "storage": "in the testbed" if place.named_storage is None else place.storage,
            "parameters": json.dumps(dict(place.parameters)),
            "server": "our own" if place.is_exclusive else "somebody else's",
            "operations end after": f"{place.operation_seconds_max:g} s",
            "compared": self._under_test.capabilities.as_json,
            **describe_machine(place.directory),
        }
        scenario = json.dumps(row.get("scenario"), indent=1)
        return "\n".join([*(f"{name + ':':22} {value}" for name, value in values.items()), "", f"scenario: {scenario}"])


def history_of(ledger: Ledger, run_number: int, operations_max: int) -> dict[str, Any]:
    """The resolved history of a run, as `history.json` has it: its last operations, and its faults."""
    operations = ledger.record.last_operations(run_number, operations_max)
    return {
        "schema": 1,
        "run": run_number,
        "seed": (ledger.record.run(run_number) or {}).get("seed"),
        "operations_left_out": ledger.record.count_operations(run_number) - len(operations),
        "operations": [asdict(operation) for operation in operations],
        "faults": [asdict(fault) for fault in ledger.faults_of(run_number)],
    }


@dataclass(frozen=True)
class Surroundings:
    """What was going on around a violation."""

    operation: RecordedOperation | None
    began: float
    """When the operation began, in seconds on the run's clock."""
    ended: float
    around: tuple[RecordedOperation, ...]
    """Operations that were at work meanwhile, or shortly before."""
    faults: tuple[FaultRecord, ...]
    """Faults that were active, or had just healed."""


_NOTHING = Surroundings(None, 0.0, 0.0, (), ())


def _readme(
    run: RunContext, under_test: UnderTest, directory: Path, violation: Violation, number: int, scene: Surroundings
) -> Iterator[str]:
    yield f"# {violation.guarantee}: violated"
    yield ""
    yield f"> {sentence_of(violation.guarantee)}"
    yield ""
    yield violation.detail
    yield ""
    moment = f"{run.now_seconds():.3f} s into run {run.number}, at {run.clock.utc()}"
    yield f"Violation {number} of this testbed, found {moment}."
    yield ""
    for name, value in (
        ("client", violation.client),
        ("snapshot", violation.snapshot),
        ("path", violation.path),
        ("operation", violation.operation),
        ("seed", run.seed),
        ("target", under_test.versions),
    ):
        if value is not None:
            yield f"- {name}: `{value}`"
    yield ""
    yield from _what_went_on(scene)
    yield "## Do it again"
    yield ""
    yield f"    snapstorm replay {shlex.quote(f'{under_test.place.directory}:{run.number}')}"
    yield ""
    yield from _file_lines(directory)


def _what_went_on(scene: Surroundings) -> Iterator[str]:
    yield "## What was going on"
    yield ""
    if scene.operation is not None:
        yield f"The operation: {_show_operation(scene.operation)}"
        yield ""
    if scene.faults:
        yield f"Faults that were active, or had healed not more than {FAULT_SECONDS:g} s before:"
        yield ""
        yield from (f"- {_show_fault(fault)}" for fault in scene.faults)
    else:
        yield "No fault was active."
    yield ""
    others = [one for one in scene.around if scene.operation is None or one.id != scene.operation.id]
    if others:
        yield f"At work meanwhile or up to {AROUND_SECONDS:g} s before:"
        yield ""
        yield from (f"- {_show_operation(one)}" for one in others)
        yield ""


def _show_operation(operation: RecordedOperation) -> str:
    until = "" if operation.seconds is None else f" for {operation.seconds:.3f} s"
    outcome = "still at work" if operation.outcome is None else operation.outcome
    reason = f" ({operation.reason.splitlines()[0]})" if operation.reason else ""
    client = operation.client.partition("@")[0]
    return (
        f"`{operation.id}` {client}: {operation.action}, from {operation.began_seconds:.3f} s{until}: {outcome}{reason}"
    )


def _show_fault(fault: FaultRecord) -> str:
    until = "still active" if fault.ended_seconds is None else f"until {fault.ended_seconds:.3f} s ({fault.outcome})"
    return f"{fault.key}, from {fault.began_seconds:.3f} s, {until}: {json.dumps(fault.details)}"


_FILES_HEADING = "## Files"


def _add_text(directory: Path, name: str, text: str) -> None:
    """One more text, which README.md then names."""
    write_texts(directory, {name: text})
    readme = directory / "README.md"
    readme.write_text(_with_files(readme.read_text(encoding="utf-8"), directory), encoding="utf-8")


def _file_lines(directory: Path) -> Iterator[str]:
    """What there is in the directory, and what it shows."""
    yield _FILES_HEADING
    yield ""
    there = {path.name for path in directory.iterdir()} | {"README.md"}
    known = [(name, words) for name, words in FILES if name in there]
    yield from (f"- `{name}`: {words}" for name, words in known)
    yield from (f"- `{name}`" for name in sorted(there - {name for name, _ in known}))


def _with_files(readme: str, directory: Path) -> str:
    """The same with the files that there are now."""
    return readme.partition(_FILES_HEADING)[0] + "\n".join(_file_lines(directory)) + "\n"


def _without_secrets(log: bytes) -> bytes:
    """A log without the secrets of the user's environment, which programs under test inherit."""
    return without_secrets(secrets_among(os.environ).values(), log)
