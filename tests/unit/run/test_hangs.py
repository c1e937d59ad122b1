"""Hangs: confirmed once for each kind of operation, then waited out no more; and nothing that answers is left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from snapstorm.actions.client import Client
from snapstorm.actions.sweep import (
    TIMED_OUT_MAX,
    TIMED_OUT_OF_A_CLIENT_MAX,
    TIMED_OUT_WITHOUT_ANSWER_MAX,
    Swept,
    TimeOuts,
)
from snapstorm.errors import ActionNotDone, OperationFailed, OperationTimedOut
from snapstorm.model.actions import (
    DeleteSnapshot,
    ListSnapshots,
    RestoreSnapshot,
    SnapshotRoot,
    VerifyRepository,
    WriteRandomFiles,
)
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.verdict import Verdict
from snapstorm.run import finish
from snapstorm.run.hangs import TIMED_OUT_AGAIN_TRIES
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.targets.memory.target import MemoryClient, MemoryServer

pytestmark = pytest.mark.anyio
SECONDS_MAX = 60
CLIENTS, SNAPSHOTS = 3, 8
LIVE = CLIENTS * SNAPSHOTS

Restore = Callable[..., Awaitable[None]]


class Restores:
    """Replaces the simulated target's restores: those for which `hangs` says so time out, without any waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hangs: Callable[[str, str], bool]) -> None:
        self.asked: list[tuple[str, str]] = []
        """By client and snapshot."""
        self.in_flight = 0
        honest = MemoryClient.restore_snapshot

        async def restore(client: MemoryClient, snapshot: str, *more: Any) -> None:
            self.asked.append((client._client, snapshot))
            self.in_flight += 1
            try:
                await checkpoint()
                if hangs(client._client, snapshot):
                    raise OperationTimedOut("restore was ended after 15 s")
            finally:
                self.in_flight -= 1
            await honest(client, snapshot, *more)

        monkeypatch.setattr(MemoryClient, "restore_snapshot", restore)


async def take_snapshots(client: Client) -> None:
    for _ in range(SNAPSHOTS):
        await client.execute(WriteRandomFiles(count=1, size_bytes=100))
        await client.execute(SnapshotRoot())


async def run(scratch: Path, flow: Callable[[Client], Awaitable[object]] = take_snapshots, **more: Any) -> Harness:
    options = HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1, **more)
    with anyio.fail_after(SECONDS_MAX):
        async with open_harness(options) as harness:
            await harness.run_clients(CLIENTS, flow)
            await harness.finish()
    return harness


def guarantees(harness: Harness) -> list[Guarantee]:
    return [violation.guarantee for violation in harness.result.tally.violations]


# The sweep.


async def test_a_sweep_of_nothing_but_hangs_is_bounded(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of snapshots, few restores are waited for, one is repeated, and the rest is told as left."""
    restores = Restores(monkeypatch, lambda client, snapshot: True)
    harness = await run(scratch)
    tally = harness.result.tally
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert harness.result.verdict is Verdict.VIOLATED
    # All that were begun when the last one that was needed timed out, and one repetition.
    assert len(restores.asked) <= TIMED_OUT_MAX + finish.SWEEP_AT_ONCE + 1
    assert tally.sweep_verified == 0
    assert tally.sweep_left == LIVE - (len(restores.asked) - 1)
    assert (
        f"{tally.sweep_left} live snapshot(s) were left out of the sweep, because restore-snapshot hangs" in tally.notes
    )


async def test_one_snapshot_that_hangs_keeps_none_from_being_swept(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported, once, and all the others are verified."""
    stuck: list[str] = []

    def hangs(_: str, snapshot: str) -> bool:
        stuck.extend([] if stuck else [snapshot])
        return snapshot in stuck

    Restores(monkeypatch, hangs)
    harness = await run(scratch)
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert harness.result.tally.sweep_verified == LIVE - 1
    assert harness.result.tally.sweep_left == 0


async def test_a_client_whose_restores_hang_keeps_no_other_from_being_swept(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client has a tree of its own, which may be what hangs: only its own snapshots are left."""
    Restores(monkeypatch, lambda client, snapshot: client.startswith("client-2@"))
    harness = await run(scratch)
    tally = harness.result.tally
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert tally.sweep_verified == LIVE - SNAPSHOTS
    assert 0 < tally.sweep_left <= SNAPSHOTS - TIMED_OUT_OF_A_CLIENT_MAX


async def test_a_slow_machine_is_no_hang(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores that time out beside others and not alone violate nothing, and all snapshots are verified."""
    restores = Restores(monkeypatch, lambda client, snapshot: restores.in_flight > 1)
    harness = await run(scratch)
    assert harness.result.verdict is Verdict.PASS
    assert harness.result.tally.sweep_verified == LIVE
    assert harness.result.tally.sweep_left == 0
    assert len(restores.asked) > LIVE


async def test_restores_that_fail_are_judged_one_by_one(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is no hang, whatever it says."""

    async def fail(*_: object) -> None:
        raise OperationFailed("no")

    monkeypatch.setattr(MemoryClient, "restore_snapshot", fail)
    harness = await run(scratch)
    assert guarantees(harness) == [Guarantee.RESTORED_EXACTLY] * LIVE
    assert harness.result.tally.sweep_left == 0


async def test_what_comes_back_past_the_server_is_swept_although_the_server_hangs(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two ways to a snapshot are different kinds of restores."""
    done: set[str] = set()

    async def flow(client: Client) -> None:
        await take_snapshots(client)
        listed = await client.execute(ListSnapshots())
        for snapshot in listed[: SNAPSHOTS // 2]:
            await client.execute(RestoreSnapshot(id=snapshot.id))
        done.add(client.name)

    Restores(monkeypatch, lambda client, snapshot: client in done)
    harness = await run(scratch, flow)
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert harness.result.tally.sweep_verified == CLIENTS * (SNAPSHOTS // 2)
    assert harness.result.tally.sweep_left > 0


# Other operations.


async def test_a_hang_is_confirmed_once_for_its_kind(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client's deletions time out; one of all is repeated, and counts."""
    asked: list[str] = []

    async def hang(client: MemoryClient, snapshot: str) -> None:
        asked.append(client._client)
        raise OperationTimedOut("delete was ended after 15 s")

    async def flow(client: Client) -> None:
        await take_snapshots(client)
        for _ in range(2):
            with pytest.raises(ActionNotDone):
                await client.execute(DeleteSnapshot())

    monkeypatch.setattr(MemoryClient, "delete_snapshot", hang)
    harness = await run(scratch, flow)
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert len(asked) == 2 * CLIENTS + 1
    note = f"{2 * CLIENTS - 1} more delete-snapshot timed out, and were not repeated: it is confirmed that it hangs"
    assert note in harness.result.tally.notes


async def test_time_outs_that_do_not_come_again_are_each_repeated(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That one was a slow machine's says nothing of the next."""
    asked: list[str] = []
    honest = MemoryClient.verify_snapshots

    async def hang_at_first(client: MemoryClient) -> None:
        asked.append(client._client)
        if asked.count(client._client) == 1:
            raise OperationTimedOut("verify was ended after 15 s")
        await honest(client)

    async def flow(client: Client) -> None:
        await take_snapshots(client)
        with pytest.raises(ActionNotDone):
            await client.execute(VerifyRepository())

    monkeypatch.setattr(MemoryClient, "verify_snapshots", hang_at_first)
    harness = await run(scratch, flow)
    assert harness.result.verdict is Verdict.PASS
    assert len(asked) == CLIENTS * (1 + TIMED_OUT_AGAIN_TRIES)


async def test_the_own_check_of_the_target_is_not_waited_for_again_and_again(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is confirmed that it hangs, that is told, and no further client's is begun."""
    asked: list[str] = []

    async def hang(client: MemoryClient) -> None:
        asked.append(client._client)
        raise OperationTimedOut("verify was ended after 15 s")

    monkeypatch.setattr(MemoryClient, "verify_snapshots", hang)
    options = HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1)
    with anyio.fail_after(SECONDS_MAX):
        async with open_harness(options) as harness:
            await harness.run_clients(CLIENTS, take_snapshots)
            await harness._parts.aftermath.compare_with_own_check(harness._parts.connected)
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert len(asked) == 2


async def test_who_stays_is_served_or_it_is_told(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a client is removed, listings hang: also the last listing of a run is repeated when it times out."""
    is_removed = False
    list_honestly, remove = MemoryClient.list_snapshots, MemoryServer.remove_client

    async def list_snapshots(client: MemoryClient) -> Any:
        found = await list_honestly(client)
        if is_removed:
            raise OperationTimedOut("list was ended after 15 s")
        return found

    async def remove_client(server: MemoryServer, client: str) -> None:
        nonlocal is_removed
        await remove(server, client)
        is_removed = True

    monkeypatch.setattr(MemoryClient, "list_snapshots", list_snapshots)
    monkeypatch.setattr(MemoryServer, "remove_client", remove_client)
    assert guarantees(await run(scratch)) == [Guarantee.AVAILABLE]


@pytest.mark.parametrize(("time_outs", "found"), [(1, []), (2, [Guarantee.AVAILABLE])])
async def test_a_removal_that_times_out_counts_only_if_it_does_so_again(
    time_outs: int, found: list[Guarantee], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every time-out."""
    remove, asked = MemoryServer.remove_client, list[str]()

    async def remove_client(server: MemoryServer, client: str) -> None:
        asked.append(client)
        if len(asked) <= time_outs:
            raise OperationTimedOut("users delete was ended after 15 s")
        await remove(server, client)

    monkeypatch.setattr(MemoryServer, "remove_client", remove_client)
    assert guarantees(await run(scratch)) == found


# The counts.


def test_time_outs_of_one_client_stop_only_its_own() -> None:
    """Until too many have timed out in all."""
    counts = TimeOuts()
    for _ in range(TIMED_OUT_OF_A_CLIENT_MAX):
        assert not counts.seem_to_hang("restore", "a")
        counts.add("restore", "a", Swept.TIMED_OUT)
    assert counts.seem_to_hang("restore", "a")
    assert not counts.seem_to_hang("restore", "b")
    assert not counts.seem_to_hang("another way", "a")


@pytest.mark.parametrize("answer", [Swept.EXACT, Swept.WRONG])
def test_an_answer_in_between_begins_the_count_anew(answer: Swept) -> None:
    """Whatever it was."""
    counts = TimeOuts()
    for _ in range(TIMED_OUT_OF_A_CLIENT_MAX - 1):
        counts.add("restore", "a", Swept.TIMED_OUT)
    counts.add("restore", "a", answer)
    counts.add("restore", "a", Swept.TIMED_OUT)
    assert not counts.seem_to_hang("restore", "a")


@pytest.mark.parametrize(("has_answered", "most"), [(False, TIMED_OUT_WITHOUT_ANSWER_MAX), (True, TIMED_OUT_MAX)])
def test_where_several_clients_wait_fewer_are_enough_without_any_answer(has_answered: bool, most: int) -> None:
    """One that came back shows that it may go on."""
    counts = TimeOuts()
    if has_answered:
        counts.add("restore", "z", Swept.EXACT)
    for number in range(most):
        assert not counts.seem_to_hang("restore", "new")
        counts.add("restore", f"client-{number}", Swept.TIMED_OUT)
    assert counts.seem_to_hang("restore", "new")
