"""Settings and rights that somebody else decides, on a simulated target: expected, and no cover for a loss."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.tricked import TrickedServer, TrickedTarget

from snapstorm.actions.client import Client
from snapstorm.errors import AccessDenied, ActionNotDone, GuaranteeViolated, NotSaved, OperationFailed
from snapstorm.guarantees.rejudging import Today, recheck
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.actions import (
    Action,
    DeleteRandomSnapshot,
    Expire,
    ListSnapshots,
    ModifyFiles,
    RestoreSnapshot,
    SnapshotRoot,
    WriteRandomFiles,
)
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import EntryType, Manifest
from snapstorm.model.verdict import Verdict
from snapstorm.model.work import WorkKind
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.memory.target import MemoryClient

pytestmark = pytest.mark.anyio
SECONDS_MAX = 20


@dataclass
class Operator:
    """Decides about a simulated server; each test changes what it wants."""

    settings: dict[str, str] = field(default_factory=lambda: {"limit": "none"})
    shown: dict[str, str] = field(default_factory=dict)
    keep: Callable[[Manifest], Manifest] = lambda tree: tree
    deletions: int = 0
    is_denied: Callable[[int], bool] = lambda _: False
    """Whether the deletion of this number, from 1, is refused."""
    creations: int = 0
    is_unsaved: Callable[[int], bool] = lambda _: False
    expires: int = 0
    """So many snapshots of files are expired before the next listing."""
    damage: str = ""
    """What is wrong with restores: the `content` that comes back, or that they end in a `failure`."""

    def make_target(self, _: ProcessRunner) -> TrickedTarget:
        """The target whose server this operator decides about."""
        operator = self

        class OperatedServer(TrickedServer):
            @property
            def manages_users(self) -> bool:
                return False

            async def read_settings(self, _: str) -> None:
                operator.shown = dict(operator.settings)

            def settings(self, _: str) -> Mapping[str, str]:
                return operator.shown or operator.settings

            def unknown_settings(self, _: str) -> Sequence[str]:
                return ()

            async def kept_of(self, _: str, __: Path, tree: Manifest) -> Manifest:
                return operator.keep(tree)

        class OperatedClient(MemoryClient):
            async def delete_snapshot(self, snapshot: str) -> None:
                operator.deletions += 1
                if operator.is_denied(operator.deletions):
                    raise AccessDenied("access denied")
                await super().delete_snapshot(snapshot)

            async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
                if source.name == "data":
                    operator.creations += 1
                    if operator.is_unsaved(operator.creations):
                        raise NotSaved("identical, not saved")
                return await super().create_snapshot(source, operation)

            async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
                found = await super().list_snapshots()
                expired = [entry for entry in found if entry.source.endswith("data")][: operator.expires]
                operator.expires = 0
                for entry in expired:
                    await super().delete_snapshot(entry.id)
                return tuple(entry for entry in found if entry not in expired)

            async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
                if operator.damage == "failure":
                    raise OperationFailed("a pack is missing")
                await super().restore_snapshot(snapshot, destination, sub_path)
                if operator.damage == "content":
                    file = next(path for path in sorted(destination.rglob("*")) if is_full(path))
                    status = file.stat()
                    file.write_bytes(bytes(status.st_size))
                    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

        return TrickedTarget(OperatedClient, OperatedServer)


def is_full(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


@pytest.fixture
def operator() -> Operator:
    return Operator()


async def run(scratch: Path, operator: Operator, flow: Callable[[Client], Awaitable[object]]) -> Harness:
    options = HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1, keep_going=True)
    with anyio.fail_after(SECONDS_MAX):
        async with open_harness(options, make_target=operator.make_target) as harness:
            await harness.run_clients(1, flow)
            await harness.finish()
    return harness


def verdict_of(harness: Harness) -> tuple[Verdict, set[Guarantee]]:
    result = harness.result
    return result.verdict, {violation.guarantee for violation in result.tally.violations}


def notes_of(harness: Harness) -> str:
    return "\n".join(harness.result.tally.notes)


def rechecked(scratch: Path) -> tuple[Verdict, set[Today]]:
    ledger = Ledger.open_to_read(scratch / "testbed" / "ledger.sqlite3")
    again = recheck(ledger, 1)
    ledger.close()
    return again.verdict[0], {violation.today for violation in again.violations}


def without_a_file(tree: Manifest) -> Manifest:
    """As if one were over a limit."""
    first = next((entry for entry in tree if entry.type is EntryType.FILE and entry.size), None)
    return Manifest(tuple(entry for entry in tree if entry is not first))


async def do(client: Client, action: Action[Any]) -> None:
    """Whatever comes of it."""
    with suppress(GuaranteeViolated, ActionNotDone):
        await client.execute(action)


async def write_and_snapshot(client: Client) -> None:
    await do(client, WriteRandomFiles(count=5))
    await do(client, SnapshotRoot())


async def test_what_should_be_left_out_and_is_not_is_a_violation(scratch: Path, operator: Operator) -> None:
    """Only what is kept is promised, and no more may come back."""
    operator.keep = without_a_file
    harness = await run(scratch, operator, write_and_snapshot)
    assert verdict_of(harness) == (
        Verdict.VIOLATED,
        {Guarantee.PARTIAL_IS_REPORTED, Guarantee.RESTORED_EXACTLY},
    )


async def test_what_differs_after_a_change_is_not_judged(scratch: Path, operator: Operator) -> None:
    """Neither violated nor passed; the next run only notes it."""

    async def flow(client: Client) -> None:
        operator.keep = without_a_file
        operator.settings = {"limit": "5"}
        await write_and_snapshot(client)
        operator.keep = lambda tree: tree
        await do(client, ModifyFiles())
        await do(client, SnapshotRoot())

    harness = await run(scratch, operator, flow)
    assert verdict_of(harness) == (Verdict.INCONCLUSIVE, set())
    assert "limit was none, is 5" in notes_of(harness)
    assert harness.result.as_json()["settings_unjudged"] == 2
    assert rechecked(scratch) == (Verdict.INCONCLUSIVE, set())
    after = await run(scratch, operator, write_and_snapshot)
    assert verdict_of(after) == (Verdict.PASS, set())
    assert "when an earlier run took it" in notes_of(after)


async def test_a_change_that_nothing_rests_on_is_noted(scratch: Path, operator: Operator) -> None:
    """At the end of the run, which passes."""

    async def flow(client: Client) -> None:
        await write_and_snapshot(client)
        operator.settings = {"limit": "5"}

    harness = await run(scratch, operator, flow)
    assert verdict_of(harness) == (Verdict.PASS, set())
    assert "limit was none, is 5" in notes_of(harness)


@pytest.mark.parametrize("changed", ["retention", "limit", ""])
async def test_a_snapshot_that_is_not_listed_after_a_change(scratch: Path, operator: Operator, changed: str) -> None:
    """It may have expired, and is in doubt. If no change was of retention, it is lost."""

    async def flow(client: Client) -> None:
        await write_and_snapshot(client)
        await write_and_snapshot(client)
        operator.expires = 1
        if changed:
            operator.settings = operator.settings | {changed: "1"}
        await do(client, ListSnapshots())

    harness = await run(scratch, operator, flow)
    if changed != "retention":
        verdict, guarantees = verdict_of(harness)
        assert (verdict, Guarantee.ACKNOWLEDGED_STAYS_LISTED in guarantees) == (Verdict.VIOLATED, True)
        return
    assert verdict_of(harness) == (Verdict.INCONCLUSIVE, set())
    assert rechecked(scratch) == (Verdict.INCONCLUSIVE, set())
    assert verdict_of(await run(scratch, operator, write_and_snapshot)) == (Verdict.PASS, set())


@pytest.mark.parametrize("what", ["content", "failure"])
async def test_damage_after_a_change_is_judged(scratch: Path, operator: Operator, what: str) -> None:
    """No setting changes what is in a file, or keeps a snapshot from being restored."""

    async def flow(client: Client) -> None:
        operator.settings = {"limit": "5"}
        await do(client, WriteRandomFiles(count=3, odd_percent=0, size_bytes=1000))
        await do(client, SnapshotRoot())
        operator.damage = what
        await do(client, RestoreSnapshot())

    harness = await run(scratch, operator, flow)
    assert verdict_of(harness) == (Verdict.VIOLATED, {Guarantee.RESTORED_EXACTLY})


@pytest.mark.parametrize("is_changed", [True, False])
async def test_a_tree_that_is_not_saved(scratch: Path, operator: Operator, is_changed: bool) -> None:
    """It must equal the latest snapshot; judged again, the same comes of it."""
    operator.is_unsaved = lambda number: number == 2

    async def flow(client: Client) -> None:
        await write_and_snapshot(client)
        if is_changed:
            await do(client, ModifyFiles())
        await do(client, SnapshotRoot())

    harness = await run(scratch, operator, flow)
    assert harness.result.tally.actions["snapshot-root"]["no_op"] == 1
    expected = (Verdict.VIOLATED, {Guarantee.PARTIAL_IS_REPORTED}) if is_changed else (Verdict.PASS, set())
    assert verdict_of(harness) == expected
    assert rechecked(scratch) == (expected[0], {Today.STILL} if is_changed else set())


async def test_a_tree_that_was_never_saved_is_not_identical_to_anything(scratch: Path, operator: Operator) -> None:
    """Also not after its snapshot was deleted."""
    operator.is_unsaved = lambda number: number == 2

    async def flow(client: Client) -> None:
        await write_and_snapshot(client)
        await do(client, DeleteRandomSnapshot())
        await do(client, SnapshotRoot())
        await do(client, SnapshotRoot())

    harness = await run(scratch, operator, flow)
    assert verdict_of(harness) == (Verdict.VIOLATED, {Guarantee.PARTIAL_IS_REPORTED})


async def deleting(client: Client) -> None:
    await write_and_snapshot(client)
    await write_and_snapshot(client)
    await do(client, DeleteRandomSnapshot())
    await do(client, Expire(keep_latest=1))


@pytest.mark.parametrize(
    ("is_denied", "verdict", "guarantees"),
    [
        (lambda number: number < 0, Verdict.PASS, set()),
        (lambda number: number > 0, Verdict.PASS, set()),
        (lambda number: number == 1, Verdict.VIOLATED, {Guarantee.CLIENTS_ISOLATED}),
        (lambda number: number == 2, Verdict.VIOLATED, {Guarantee.AVAILABLE}),
        (lambda number: number > 1, Verdict.INCONCLUSIVE, set()),
    ],
    ids=["allowed", "never", "accepted-at-the-end", "denied-once", "taken-away"],
)
async def test_deletions_and_who_may(
    scratch: Path,
    operator: Operator,
    is_denied: Callable[[int], bool],
    verdict: Verdict,
    guarantees: set[Guarantee],
) -> None:
    """The first is snapstorm's own, by which it finds out; where that is refused, the last one is, too."""
    operator.is_denied = is_denied
    harness = await run(scratch, operator, deleting)
    assert verdict_of(harness) == (verdict, guarantees), notes_of(harness)
    tally = harness.result.tally
    may_not = is_denied(1)
    assert tally.actions["delete-random-snapshot"]["no_op"] == may_not
    assert tally.actions["expire"]["no_op"] == may_not or not may_not
    assert tally.refused.get(WorkKind.DELETION, 0) == (may_not and verdict is Verdict.PASS)
    if verdict is Verdict.PASS:
        again = await run(scratch, operator, deleting)
        assert verdict_of(again) == (Verdict.PASS, set())
        assert operator.deletions == (4 if may_not else operator.deletions), "the same snapshot serves again"
