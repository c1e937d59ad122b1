"""The sweep: it is answered once the target has nothing more to give, while the last of it is still compared."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.actions import restores as restores_module
from snapstorm.actions.client import Client
from snapstorm.actions.sweep import Sweep
from snapstorm.errors import NoSpaceError, OperationFailed
from snapstorm.model.actions import SnapshotRoot, WriteRandomFiles
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.verdict import Verdict
from snapstorm.run.finish import Finisher
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.targets.memory.target import MemoryClient, MemoryServer

pytestmark = pytest.mark.anyio
CLIENTS = 3


def options(scratch: Path, **more: object) -> HarnessOptions:
    return HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1, **more)  # type: ignore[arg-type]  # tests only


async def snapshot(client: Client) -> None:
    await client.execute(WriteRandomFiles(count=2))
    await client.execute(SnapshotRoot())


async def run(scratch: Path, **more: object) -> Harness:
    with anyio.fail_after(GIVE_UP_SECONDS):
        async with open_harness(options(scratch, **more)) as harness:
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


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In which order the last parts of a run begin and end. Comparing takes until the locks are tried."""
    seen: list[str] = []
    locks_tried = anyio.Event()
    compare, check_access, remove = (
        restores_module.Checker.judge_restore,
        Finisher.check_access,
        MemoryServer.remove_client,
    )

    async def slow_compare(self: restores_module.Checker, *arguments: object, **more: object) -> object:
        seen.append("restored")
        with anyio.fail_after(GIVE_UP_SECONDS):
            await locks_tried.wait()
        found = await compare(self, *arguments, **more)  # type: ignore[arg-type]  # passed on
        seen.append("compared")
        return found

    async def noted_locks(self: Finisher, clients: list[str]) -> None:
        seen.append("locks")
        await check_access(self, clients)

    async def noted_remove(self: MemoryServer, client: str) -> None:
        await remove(self, client)
        seen.append("removed")
        locks_tried.set()

    monkeypatch.setattr(restores_module.Checker, "judge_restore", slow_compare)
    monkeypatch.setattr(Finisher, "check_access", noted_locks)
    monkeypatch.setattr(MemoryServer, "remove_client", noted_remove)
    return seen


async def test_the_locks_are_tried_while_the_last_is_compared(scratch: Path, order: list[str]) -> None:
    """But never before the target has restored all of it; and all of it is counted."""
    harness = await run(scratch)
    assert order == ["restored"] * CLIENTS + ["locks", "removed"] + ["compared"] * CLIENTS
    assert harness.result.verdict is Verdict.PASS
    assert harness.result.tally.sweep_verified == CLIENTS
    assert harness.result.tally.sweep_left == 0


async def test_one_that_fails_is_tried_again_before_the_locks(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client may be the one that is shut out then."""
    restore, failed = MemoryClient.restore_snapshot, list[str]()

    async def fail_once(self: MemoryClient, *arguments: object) -> None:
        if not failed:
            failed.append("once")
            raise OperationFailed("refused for this test")
        await restore(self, *arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(MemoryClient, "restore_snapshot", fail_once)
    tally = (await run(scratch)).result.tally
    assert [violation.guarantee for violation in tally.violations] == [Guarantee.AVAILABLE]
    assert tally.sweep_verified == CLIENTS
    assert tally.refused


async def test_what_comes_back_wrong_is_found_while_the_locks_are_tried(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, order: list[str]
) -> None:
    """With its evidence."""
    restore = MemoryClient.restore_snapshot

    async def corrupt(self: MemoryClient, snapshot: str, destination: Path, *more: object) -> None:
        await restore(self, snapshot, destination, *more)  # type: ignore[arg-type]  # passed on
        (destination / "extra").write_bytes(b"x")

    monkeypatch.setattr(MemoryClient, "restore_snapshot", corrupt)
    tally = (await run(scratch)).result.tally
    assert order.index("removed") < order.index("compared")
    assert [violation.guarantee for violation in tally.violations] == [Guarantee.RESTORED_EXACTLY] * CLIENTS
    assert all(violation.evidence is not None and Path(violation.evidence).is_dir() for violation in tally.violations)
    assert tally.sweep_unverified == CLIENTS


async def test_once_answered_nothing_is_asked_again(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while what came back is compared is an error of the run: its client may be gone by now."""
    asked = list[str]()
    restore = MemoryClient.restore_snapshot

    async def noted(self: MemoryClient, *arguments: object) -> None:
        asked.append(self._client)
        await restore(self, *arguments)  # type: ignore[arg-type]  # passed on

    async def full(*_: object, **__: object) -> object:
        raise NoSpaceError("the disk is full")

    monkeypatch.setattr(MemoryClient, "restore_snapshot", noted)
    monkeypatch.setattr(restores_module.Checker, "judge_restore", full)
    with pytest.raises(NoSpaceError, match="the disk is full"):
        await run(scratch)
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
