"""The source is scanned and watched at once: what others have changed is told, and no other failure is passed over."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Step
from snapstorm.errors import HarnessError
from snapstorm.filesystem.file_memory import PROVED_EVERY, FileMemory
from snapstorm.filesystem.scanner import scan_tree_and_looks
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.guarantees.panel import Panel
from snapstorm.model.actions import SnapshotRoot, WriteRandomFiles
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.model.seen import Seen
from snapstorm.runtime.clock import Clock
from snapstorm.testbed.identity import acting_as

pytestmark = pytest.mark.anyio
CLIENT = "c1@snapstorm"


class LaterClock(Clock):
    """A clock by which everything on the disk is old."""

    def wall_ns(self) -> int:
        return super().wall_ns() + 10**12


class Reports:
    """Stands for the checker: all guarantees, and no evidence."""

    def __init__(self) -> None:
        self._panel = Panel()

    def observe(self, seen: Seen) -> list[Violation]:
        return [Violation(found.guarantee, found.finding.detail) for found in self._panel.judge(seen)]


@pytest.fixture
async def writer(scratch: Path) -> TreeFileWriter:
    writer = TreeFileWriter(data_directory=scratch / "data", capabilities=Capabilities())
    await writer.apply(WriteRandomFiles(count=9, size_bytes=9000, depth=0, odd_percent=0), random.Random(3))
    return writer


@pytest.fixture
def watch(writer: TreeFileWriter) -> SourceWatch:
    reports: Any = Reports()
    return SourceWatch(writer, reports)


def step() -> Step:
    return Step(CLIENT, 1, SnapshotRoot(), random.Random(1), "r1-c1-1")


async def test_a_change_by_somebody_else_is_told_and_gone_on_from(
    watch: SourceWatch, writer: TreeFileWriter, scratch: Path
) -> None:
    """The manifest is of what is there now, with what its bytes themselves tell."""
    with acting_as(CLIENT):
        first = await watch.scan(step())
        await watch.watch(step(), "r1-c1-1")
        file = next(path for path in (scratch / "data").iterdir())
        file.write_bytes(file.read_bytes()[:5000] + b"x" * 100_000)
        taken = step()
        manifest = await watch.scan(taken)
        assert [violation.guarantee for violation in taken.violations] == [Guarantee.SOURCE_UNTOUCHED]
        assert manifest == scan_tree_and_looks(scratch / "data").manifest != first
        assert [entry.path for entry in manifest if entry.size == 105_000 and not entry.segments]
        again = step()
        assert await watch.scan(again) == manifest
        assert again.violations == []


async def test_a_tree_that_was_taken_away_is_told_first(watch: SourceWatch, scratch: Path) -> None:
    """And then there is an empty one."""
    with acting_as(CLIENT):
        await watch.watch(step(), "r1-c1-1")
        (scratch / "data").rename(scratch / "elsewhere")
        taken = step()
        manifest = await watch.scan(taken)
    assert [violation.guarantee for violation in taken.violations] == [Guarantee.SOURCE_UNTOUCHED]
    assert len(manifest) == 1


async def test_a_proof_that_fails_is_not_passed_over(watch: SourceWatch, writer: TreeFileWriter) -> None:
    """What we remembered is wrong: no snapshot may be judged by it, now or later."""
    memory = writer._memory = FileMemory(LaterClock())
    with acting_as(CLIENT):
        await watch.scan(step())
        path, known = next(iter(memory._known.items()))
        memory._known[path] = known._replace(entry=msgspec.structs.replace(known.entry, digest=b"x" * 32))
        for _ in range(PROVED_EVERY - 2):
            await watch.watch(step(), "r1-c1-1")
            await watch.scan(step())
        for _ in range(3):
            with pytest.raises(HarnessError, match="its content is not what was read before"):
                await watch.scan(step())
