"""The sweep: it is answered once the target has nothing more to give, while the last of it is still compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.tricked import TrickedServer, TrickedTarget
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.actions.client import Client
from snapstorm.errors import NoSpaceError, OperationFailed
from snapstorm.guarantees.checker import Checker
from snapstorm.model.actions import SnapshotRoot, WriteRandomFiles
from snapstorm.model.events import Event, Listener, RestoreVerified, ignore
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.run.sweep import Sweep
from snapstorm.targets.memory.target import MemoryClient
from snapstorm.targets.plugin import MakeTarget

pytestmark = pytest.mark.anyio
CLIENTS = 3


def options(scratch: Path, **more: Any) -> HarnessOptions:
    return HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1, **more)


async def snapshot(client: Client) -> None:
    await client.execute(WriteRandomFiles(count=2))
    await client.execute(SnapshotRoot())


async def run(
    scratch: Path, make_target: MakeTarget | None = None, listener: Listener = ignore, **more: Any
) -> Harness:
    with anyio.fail_after(GIVE_UP_SECONDS):
        async with open_harness(options(scratch, **more), listener, make_target=make_target) as harness:
            await harness.run_clients(CLIENTS, snapshot)
            await harness.finish()
    return harness


@pytest.mark.parametrize("is_cut", [True, False])
def test_it_is_answered_once_all_that_was_begun_is(is_cut: bool) -> None:
    """All that there is, or what was begun before its time was up."""
    sweep = Sweep(3)
    for _ in range(2 if is_cut else 3):
        sweep.begin()
    sweep.answer()
    if is_cut:
        sweep.cut()
    else:
        sweep.answer()
    assert not sweep.answered.is_set()
    sweep.answer()
    assert sweep.answered.is_set()


def test_one_that_fails_keeps_it_from_being_answered() -> None:
    """Until it is over: the target may be asked for it again."""
    sweep = Sweep(2)
    sweep.begin()
    sweep.begin()
    sweep.answer()
    sweep.cut()
    assert not sweep.answered.is_set()


class Order:
    """In which order the last parts of a run begin and end. Comparing takes until access was checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        order, checked, compare = list[str](), anyio.Event(), Checker.judge_restore
        self.seen = order

        async def slow_compare(self: Checker, *arguments: Any, **more: Any) -> object:
            order.append("restored")
            with anyio.fail_after(GIVE_UP_SECONDS):
                await checked.wait()
            found = await compare(self, *arguments, **more)
            order.append("compared")
            return found

        class NotedServer(TrickedServer):
            def impostor(self, client: str) -> MemoryClient:
                order.append("access")
                return super().impostor(client)

            async def remove_client(self, client: str) -> None:
                await super().remove_client(client)
                order.append("removed")
                checked.set()

        monkeypatch.setattr(Checker, "judge_restore", slow_compare)
        self.server = NotedServer


async def test_access_is_checked_while_the_last_is_compared(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But never before the target has restored all of it; and all of it is counted."""
    order = Order(monkeypatch)
    harness = await run(scratch, lambda _: TrickedTarget(server=order.server))
    assert order.seen == ["restored"] * CLIENTS + ["access", "removed"] + ["compared"] * CLIENTS
    assert harness.result.verdict is Verdict.PASS
    assert harness.result.tally.sweep_verified == CLIENTS
    assert harness.result.tally.sweep_left == 0


async def test_one_that_fails_is_tried_again_before_access_is_checked(scratch: Path) -> None:
    """Its client may be the one that is shut out then."""
    failed: list[str] = []

    class FailingOnce(MemoryClient):
        async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
            if not failed:
                failed.append("once")
                raise OperationFailed("refused for this test")
            await super().restore_snapshot(snapshot, destination, sub_path)

    tally = (await run(scratch, lambda _: TrickedTarget(FailingOnce))).result.tally
    assert [violation.guarantee for violation in tally.violations] == [Guarantee.AVAILABLE]
    assert tally.sweep_verified == CLIENTS
    assert tally.refused


async def test_what_comes_back_wrong_is_found_while_access_is_checked(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its evidence."""

    class Corrupting(MemoryClient):
        async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
            await super().restore_snapshot(snapshot, destination, sub_path)
            (destination / "extra").write_bytes(b"x")

    order = Order(monkeypatch)
    tally = (await run(scratch, lambda _: TrickedTarget(Corrupting, order.server))).result.tally
    assert order.seen.index("removed") < order.seen.index("compared")
    assert [violation.guarantee for violation in tally.violations] == [Guarantee.RESTORED_EXACTLY] * CLIENTS
    assert all(violation.evidence is not None and Path(violation.evidence).is_dir() for violation in tally.violations)
    assert tally.sweep_unverified == CLIENTS


async def test_once_answered_nothing_is_asked_again(scratch: Path) -> None:
    """A disk that is full while what came back is compared is an error of the run: its client may be gone by now."""
    asked = list[str]()

    class Noted(MemoryClient):
        async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
            asked.append(self._client)
            await super().restore_snapshot(snapshot, destination, sub_path)

    def fill_disk(event: Event) -> None:
        if isinstance(event, RestoreVerified):
            raise NoSpaceError("the disk is full")

    with pytest.raises(NoSpaceError, match="the disk is full"):
        await run(scratch, lambda _: TrickedTarget(Noted), fill_disk)
    assert asked
    assert len(asked) == len(set(asked))


async def test_a_sweep_of_nothing_ends(scratch: Path) -> None:
    """There may be no snapshot."""

    async def nothing(client: Client) -> None:
        await client.execute(WriteRandomFiles(count=1))

    with anyio.fail_after(GIVE_UP_SECONDS):
        async with open_harness(options(scratch)) as harness:
            await harness.run_clients(CLIENTS, nothing)
            await harness.finish()
    assert harness.result.tally.sweep_verified == 0


async def test_a_sweep_that_is_cut_leaves_the_rest(scratch: Path) -> None:
    """And says how many those are; the locks are tried all the same."""
    harness = await run(scratch, sweep_seconds=1e-9)
    assert harness.result.tally.sweep_left == CLIENTS
    assert harness.result.tally.refused
