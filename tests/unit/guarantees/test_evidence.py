"""Evidence says what broke, when, and amid what; and where it can't be collected, the violation stands all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.errors import OperationFailed
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.guarantees.evidence import FILES
from snapstorm.guarantees.panel import Found, sentence_of
from snapstorm.model.actions import RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import SamplesEndSeen
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.memory.target import MemoryServer
from snapstorm.targets.registry import find_target
from snapstorm.testbed.identity import acting_as


@pytest.fixture
def run(scratch: Path) -> Iterator[OneRun]:
    made = OneRun(scratch)
    yield made
    made.ledger.close()


async def restore_flipped(
    run: OneRun, scratch: Path, change: Callable[[MemoryServer], Any] = lambda server: None
) -> Path:
    """Restore a snapshot from a target that flips a byte; the evidence's directory."""
    async with find_target("memory:restore-flips-a-byte")(ProcessRunner("none")).serve(run.place) as server:
        assert isinstance(server, MemoryServer)
        change(server)
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        engine = run.parts(writer, server.client(CLIENT), server).engine
        with acting_as(CLIENT):
            await engine.execute(WriteRandomFiles(count=5, size_bytes=9000, odd_percent=0))
            while not run.tally.violations:
                await engine.execute(SnapshotRoot())
                await engine.execute(RestoreSnapshot(id="latest"))
    evidence = run.tally.violations[0].evidence
    assert evidence is not None
    return Path(evidence)


@pytest.mark.anyio
async def test_the_difference_can_be_read_by_programs(run: OneRun, scratch: Path) -> None:
    """One changed byte: its offset, its length, its kind, and both sizes."""
    evidence = await restore_flipped(run, scratch)
    document = json.loads((evidence / "differences.json").read_text())
    (difference,) = document["differences"]
    (block,) = difference["blocks"]
    assert document["schema"] == 1
    assert document["differences_total"] == 1
    assert document["operation"] == run.tally.violations[0].operation
    assert (difference["kind"], block["kind"], block["length_bytes"]) == ("content", "changed bytes", 1)
    assert difference["expected_bytes"] == difference["actual_bytes"] == 9000
    damaged = (evidence / "restored" / difference["path"]).read_bytes()
    original = (scratch / "data" / difference["path"]).read_bytes()
    assert [at for at in range(9000) if damaged[at] != original[at]] == [block["offset_bytes"]]


@pytest.mark.anyio
async def test_the_readme_says_what_broke_and_names_each_file(run: OneRun, scratch: Path) -> None:
    """The promise, what was seen, what was going on, how to do it again, and every file that is there."""
    evidence = await restore_flipped(run, scratch)
    readme = (evidence / "README.md").read_text()
    violation = run.tally.violations[0]
    assert sentence_of(Guarantee.RESTORED_EXACTLY) in readme
    assert violation.detail in readme
    assert "No fault was active" in readme
    assert "snapshot-root" in readme
    assert f"snapstorm replay {scratch}:{run.run.number}" in readme
    known = {name for name, _ in FILES}
    for path in evidence.iterdir():
        assert path.name in known
        assert f"`{path.name}`" in readme


@pytest.mark.anyio
async def test_history_and_environment_go_with_it(run: OneRun, scratch: Path) -> None:
    """Every operation up to then with what was left open, the faults, and what it ran on."""
    number = run.ledger.begin_fault(run.run.number, "kill-server", tick=1, began_seconds=0.0)
    run.ledger.detail_fault(number, {"pid": 7})
    evidence = await restore_flipped(run, scratch)
    history = json.loads((evidence / "history.json").read_text())
    operations = {operation["id"]: operation for operation in history["operations"]}
    shown = operations[run.tally.violations[0].operation]
    assert shown["resolved"]["snapshot"] == run.tally.violations[0].snapshot
    assert [fault["key"] for fault in history["faults"]] == ["kill-server"]
    assert "kill-server, from 0.000 s, still active" in (evidence / "README.md").read_text()
    environment = (evidence / "environment.txt").read_text()
    for word in ("snapstorm:", "target:", "memory", "python:", "file system:", "processors:"):
        assert word in environment


class Namer:
    """Stands for a target that can name what it stores."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Sequence[bytes]]] = []

    async def describe_objects(self, snapshot: str, paths: Sequence[bytes]) -> str:
        self.asked.append((snapshot, paths))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.anyio
async def test_the_target_is_asked_what_it_stores_of_a_damaged_file(run: OneRun, scratch: Path) -> None:
    """By the snapshot and the path in it; the answer is a file of its own, which the README names."""
    namer = Namer("object k1, content c2, blob p3")
    evidence = await restore_flipped(
        run, scratch, lambda server: setattr(server, "describe_objects", namer.describe_objects)
    )
    assert (evidence / "objects.txt").read_text().strip() == namer.answer
    assert "`objects.txt`" in (evidence / "README.md").read_text()
    ((snapshot, paths),) = namer.asked
    assert snapshot == run.tally.violations[0].snapshot
    assert [path.decode() for path in paths] == [run.tally.violations[0].path]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [OperationFailed, KeyError, TypeError, OverflowError, RecursionError])
async def test_a_target_that_can_not_say_is_a_note(run: OneRun, scratch: Path, kind: type[Exception]) -> None:
    """What is asked for evidence only turns no verdict, whatever is answered, and nothing else is lost with it."""
    namer = Namer(kind("the index is gone"))
    evidence = await restore_flipped(
        run, scratch, lambda server: setattr(server, "describe_objects", namer.describe_objects)
    )
    assert len(run.tally.violations) == 1
    assert run.tally.error is None
    assert any("the index is gone" in note for note in run.tally.notes)
    assert (evidence / "README.md").exists()


@pytest.mark.anyio
async def test_evidence_that_can_not_be_kept_is_a_note(
    run: OneRun, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, say: the violation stands, with what could be kept."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("snapstorm.guarantees.evidence.keep_tree", fail)
    monkeypatch.setattr("snapstorm.guarantees.evidence.extract_logs", fail)
    evidence = await restore_flipped(run, scratch)
    assert [violation.guarantee for violation in run.tally.violations] == [Guarantee.RESTORED_EXACTLY]
    assert sum("No space left" in note for note in run.tally.notes) >= 2
    assert not (evidence / "restored").exists()
    assert (evidence / "differences.json").exists()


@pytest.mark.anyio
async def test_where_no_directory_can_be_made_the_violation_stands(run: OneRun, scratch: Path) -> None:
    """It has no evidence then, and a note says why."""
    run.evidence.write_text("in the way")
    found = run.checker().report(Found(Guarantee.NO_LEAK, Finding("1 file too many"), SamplesEndSeen()))
    assert found is not None
    assert found.evidence is None
    assert any("evidence is incomplete" in note for note in run.tally.notes)


@pytest.mark.anyio
async def test_logs_go_with_it_without_the_secrets_of_the_environment(
    run: OneRun, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script around the server may print its environment, straight into the log."""
    monkeypatch.setenv("DEPLOY_TOKEN", "t0ken-of-the-user")
    run.place.server.mkdir(parents=True)
    (run.place.server / "server.log").write_text("DEPLOY_TOKEN=t0ken-of-the-user\nLANG=C\n")
    evidence = await restore_flipped(run, scratch)
    log = (evidence / "server-logs" / "server.log").read_text()
    assert "LANG=C" in log
    assert "t0ken" not in log
