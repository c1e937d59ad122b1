"""Hangs: confirmed once for each kind of operation, then waited out no more; and nothing that answers is left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from tests.tricked import TrickedServer, TrickedTarget

from snapstorm.actions.client import Client
from snapstorm.errors import ActionNotDone, OperationFailed, OperationTimedOut
from snapstorm.model.action_results import ListedSnapshot
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
from snapstorm.run.hangs import TIMED_OUT_AGAIN_TRIES
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.run.sweep import (
    SWEEP_AT_ONCE,
    TIMED_OUT_MAX,
    TIMED_OUT_OF_A_CLIENT_MAX,
    TIMED_OUT_WITHOUT_ANSWER_MAX,
    Swept,
    TimeOuts,
)
from snapstorm.targets.memory.target import MemoryAuditor, MemoryClient
from snapstorm.targets.plugin import MakeTarget

pytestmark = pytest.mark.anyio
SECONDS_MAX = 60
CLIENTS, SNAPSHOTS = 3, 8
LIVE = CLIENTS * SNAPSHOTS


class Restores:
    """A target whose restores time out, without any waiting, where `hangs` says so of a client and a snapshot."""

    def __init__(self, hangs: Callable[[str, str], bool]) -> None:
        self.asked: list[tuple[str, str]] = []
        """By client and snapshot."""
        self.in_flight = 0
        self._hangs = hangs

    def make_target(self, _: object) -> TrickedTarget:
        restores = self

        class HangingClient(MemoryClient):
            async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
                await restores.wait(self._client, snapshot)
                await super().restore_snapshot(snapshot, destination, sub_path)

        class HangingAuditor(HangingClient, MemoryAuditor):
            """Hangs likewise."""

        return TrickedTarget(HangingClient, auditor=HangingAuditor)

    async def wait(self, client: str, snapshot: str) -> None:
        self.asked.append((client, snapshot))
        self.in_flight += 1
        try:
            await checkpoint()
            if self._hangs(client, snapshot):
                raise OperationTimedOut("restore was ended after 15 s")
        finally:
            self.in_flight -= 1


async def take_snapshots(client: Client) -> None:
    for _ in range(SNAPSHOTS):
        await client.execute(WriteRandomFiles(count=1, size_bytes=100))
        await client.execute(SnapshotRoot())


async def run(
    scratch: Path, make_target: MakeTarget, flow: Callable[[Client], Awaitable[object]] = take_snapshots
) -> Harness:
    options = HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1)
    with anyio.fail_after(SECONDS_MAX):
        async with open_harness(options, make_target=make_target) as harness:
            await harness.run_clients(CLIENTS, flow)
            await harness.finish()
    return harness


def guarantees(harness: Harness) -> list[Guarantee]:
    return [violation.guarantee for violation in harness.result.tally.violations]


# The sweep.


async def test_a_sweep_of_nothing_but_hangs_is_bounded(scratch: Path) -> None:
    """Whatever the number of snapshots, few restores are waited for, one is repeated, and the rest is told as left."""
    restores = Restores(lambda client, snapshot: True)
    harness = await run(scratch, restores.make_target)
    tally = harness.result.tally
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert harness.result.verdict is Verdict.VIOLATED
    # All that were begun when the last one that was needed timed out, and one repetition.
    assert len(restores.asked) <= TIMED_OUT_MAX + SWEEP_AT_ONCE + 1
    assert tally.sweep_verified == 0
    assert tally.sweep_left == LIVE - (len(restores.asked) - 1)
    assert (
        f"{tally.sweep_left} live snapshot(s) were left out of the sweep, because restore-snapshot hangs" in tally.notes
    )


async def test_one_snapshot_that_hangs_keeps_none_from_being_swept(scratch: Path) -> None:
    """It is reported, once, and all the others are verified."""
    stuck: list[str] = []

    def hangs(_: str, snapshot: str) -> bool:
        stuck.extend([] if stuck else [snapshot])
        return snapshot in stuck

    harness = await run(scratch, Restores(hangs).make_target)
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert harness.result.tally.sweep_verified == LIVE - 1
    assert harness.result.tally.sweep_left == 0


async def test_a_client_whose_restores_hang_keeps_no_other_from_being_swept(scratch: Path) -> None:
    """A client has a tree of its own, which may be what hangs: only its own snapshots are left."""
    harness = await run(scratch, Restores(lambda client, snapshot: client.startswith("client-2@")).make_target)
    tally = harness.result.tally
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert tally.sweep_verified == LIVE - SNAPSHOTS
    assert 0 < tally.sweep_left <= SNAPSHOTS - TIMED_OUT_OF_A_CLIENT_MAX


async def test_a_slow_machine_is_no_hang(scratch: Path) -> None:
    """Restores that time out beside others and not alone violate nothing, and all snapshots are verified."""
    restores = Restores(lambda client, snapshot: restores.in_flight > 1)
    harness = await run(scratch, restores.make_target)
    assert harness.result.verdict is Verdict.PASS
    assert harness.result.tally.sweep_verified == LIVE
    assert harness.result.tally.sweep_left == 0
    assert len(restores.asked) > LIVE


async def test_restores_that_fail_are_judged_one_by_one(scratch: Path) -> None:
    """An answer is no hang, whatever it says."""

    class FailingClient(MemoryClient):
        async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
            raise OperationFailed("no")

    harness = await run(scratch, lambda _: TrickedTarget(FailingClient))
    assert guarantees(harness) == [Guarantee.RESTORED_EXACTLY] * LIVE
    assert harness.result.tally.sweep_left == 0


async def test_what_comes_back_past_the_server_is_swept_although_the_server_hangs(scratch: Path) -> None:
    """The two ways to a snapshot are different kinds of restores."""
    done: set[str] = set()

    async def flow(client: Client) -> None:
        await take_snapshots(client)
        listed = await client.execute(ListSnapshots())
        for snapshot in listed[: SNAPSHOTS // 2]:
            await client.execute(RestoreSnapshot(id=snapshot.id))
        done.add(client.name)

    harness = await run(scratch, Restores(lambda client, snapshot: client in done).make_target, flow)
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert harness.result.tally.sweep_verified == CLIENTS * (SNAPSHOTS // 2)
    assert harness.result.tally.sweep_left > 0


# Other operations.


async def test_a_hang_is_confirmed_once_for_its_kind(scratch: Path) -> None:
    """Each client's deletions time out; one of all is repeated, and counts."""
    asked: list[str] = []

    class HangingClient(MemoryClient):
        async def delete_snapshot(self, snapshot: str) -> None:
            asked.append(self._client)
            raise OperationTimedOut("delete was ended after 15 s")

    async def flow(client: Client) -> None:
        await take_snapshots(client)
        for _ in range(2):
            with pytest.raises(ActionNotDone):
                await client.execute(DeleteSnapshot())

    harness = await run(scratch, lambda _: TrickedTarget(HangingClient), flow)
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert len(asked) == 2 * CLIENTS + 1
    note = f"{2 * CLIENTS - 1} more delete-snapshot timed out, and were not repeated: it is confirmed that it hangs"
    assert note in harness.result.tally.notes


async def test_time_outs_that_do_not_come_again_are_each_repeated(scratch: Path) -> None:
    """That one was a slow machine's says nothing of the next."""
    asked: list[str] = []

    class HangingAtFirst(MemoryClient):
        async def verify_snapshots(self) -> None:
            asked.append(self._client)
            if asked.count(self._client) == 1:
                raise OperationTimedOut("verify was ended after 15 s")
            await super().verify_snapshots()

    async def flow(client: Client) -> None:
        await take_snapshots(client)
        with pytest.raises(ActionNotDone):
            await client.execute(VerifyRepository())

    harness = await run(scratch, lambda _: TrickedTarget(HangingAtFirst), flow)
    assert harness.result.verdict is Verdict.PASS
    assert len(asked) == CLIENTS * (1 + TIMED_OUT_AGAIN_TRIES)


async def test_the_own_check_of_the_target_is_not_waited_for_again_and_again(scratch: Path) -> None:
    """Once it is confirmed that it hangs, that is told, and no further client's is begun."""
    asked: list[str] = []

    class HangingClient(MemoryClient):
        async def verify_snapshots(self) -> None:
            asked.append(self._client)
            raise OperationTimedOut("verify was ended after 15 s")

    options = HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1)
    with anyio.fail_after(SECONDS_MAX):
        async with open_harness(options, make_target=lambda _: TrickedTarget(HangingClient)) as harness:
            await harness.run_clients(CLIENTS, take_snapshots)
            await harness._parts.aftermath.compare_with_own_check(harness._parts.connected)
    assert guarantees(harness) == [Guarantee.AVAILABLE]
    assert len(asked) == 2


async def test_who_stays_is_served_or_it_is_told(scratch: Path) -> None:
    """Once a client is removed, listings hang: also the last listing of a run is repeated when it times out."""
    is_removed = False

    class HangingClient(MemoryClient):
        async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
            found = await super().list_snapshots()
            if is_removed:
                raise OperationTimedOut("list was ended after 15 s")
            return found

    class RemovingServer(TrickedServer):
        async def remove_client(self, client: str) -> None:
            nonlocal is_removed
            await super().remove_client(client)
            is_removed = True

    harness = await run(scratch, lambda _: TrickedTarget(HangingClient, RemovingServer))
    assert guarantees(harness) == [Guarantee.AVAILABLE]


@pytest.mark.parametrize(("time_outs", "found"), [(1, []), (2, [Guarantee.AVAILABLE])])
async def test_a_removal_that_times_out_counts_only_if_it_does_so_again(
    time_outs: int, found: list[Guarantee], scratch: Path
) -> None:
    """As every time-out."""
    asked: list[str] = []

    class HangingServer(TrickedServer):
        async def remove_client(self, client: str) -> None:
            asked.append(client)
            if len(asked) <= time_outs:
                raise OperationTimedOut("users delete was ended after 15 s")
            await super().remove_client(client)

    assert guarantees(await run(scratch, lambda _: TrickedTarget(server=HangingServer))) == found


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
