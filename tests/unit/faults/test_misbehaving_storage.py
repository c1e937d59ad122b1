"""Faults at the interface of the storage: what they draw, what they touch, and that nothing is left of them."""

from __future__ import annotations

import http.client
import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.clock import SteppedClock
from tests.unit.faults.scenes import scene_of
from tests.unit.gateway.asking import CLOCKS, KEY, ask

from snapstorm.errors import OperationFailed, OperationTimedOut
from snapstorm.faults.catalogue import FAULTS
from snapstorm.faults.fault import FaultKind, NothingToBreak, Scene
from snapstorm.faults.misbehaving_storage import (
    StorageDoubled,
    StorageError,
    StorageFlipsBit,
    StorageForgets,
    StorageKeepsAll,
    StorageKeepsHalf,
    StorageOldBytes,
    StorageSlow,
    StorageStaleList,
    StorageTorn,
    _MisbehavingStorage,
)
from snapstorm.gateway.app import Served, serving
from snapstorm.gateway.rules import Misbehaviour, Operation, Rule
from snapstorm.runtime.clock import Clock

pytestmark = pytest.mark.anyio

KINDS = [fault for fault in FAULTS.values() if issubclass(fault, _MisbehavingStorage)]
SEEDS = 200
LIST_SECONDS_MAX = 30.0
"""A listing that is refused for ever is asked for again for ever."""
FAILED = OperationFailed("restore failed")


class Looked:
    """A server that says how often it was told to look at its storage anew."""

    authenticates = True

    def __init__(self) -> None:
        self.forgotten: list[list[str]] = []
        self.refreshed = 0

    async def forget_caches(self, clients: list[str]) -> None:
        self.forgotten.append(clients)

    async def refresh(self) -> None:
        self.refreshed += 1


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "gateway", CLOCKS) as served:
        served.admit("a client", KEY)
        yield served


def scene_at(gateway: Served, directory: Path, clock: Clock | None = None) -> Scene:
    return replace(scene_of(Looked(), directory), gateway=gateway, clock=clock or Clock())


async def inject(fault: _MisbehavingStorage, gateway: Served, *requests: tuple[str, str]) -> Any:
    """Inject it while somebody asks the storage for what it strikes. Returns what was recorded."""
    recorded: list[Mapping[str, Any]] = []

    def ask_once() -> None:
        for method, path in requests or [("PUT", "/p1")]:
            with suppress(OSError, http.client.HTTPException):
                ask(gateway, method, path, b"hello" if method == "PUT" else None)

    async def ask_on() -> None:
        while True:
            await anyio.to_thread.run_sync(ask_once)

    def record(details: Mapping[str, Any]) -> None:
        assert not fault.has_struck
        recorded.append(details)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask_on)
        await fault.inject(record)
        tasks.cancel_scope.cancel()
    return recorded


def with_operations(kind: type[_MisbehavingStorage], operation: Operation) -> type[_MisbehavingStorage]:
    """The same fault, which strikes all requests of one kind."""

    def draw_rule(self: _MisbehavingStorage) -> Rule:
        return replace(kind.draw_rule(self), every=1)

    members = {"operations": (frozenset({operation}),), "counts_max": (None,), "of_one_kind_share": 0.0}
    return type(f"Always{kind.__name__}", (kind,), {**members, "draw_rule": draw_rule})


def test_each_class_has_its_kind() -> None:
    """What a class excuses is told by its kind."""
    kinds = {
        Misbehaviour.REFUSES: FaultKind.REFUSES,
        Misbehaviour.LAGS: FaultKind.LAGS,
        Misbehaviour.LIES: FaultKind.LIES,
    }
    assert len(KINDS) == 15
    for kind in KINDS:
        (misbehaviour,) = {rule.misbehaviour for rule in [_rule_of(kind, seed) for seed in range(20)]}
        assert kind.kind is kinds[misbehaviour]
        assert kind.is_damage == kind.spoils_collections == (misbehaviour is Misbehaviour.LIES)
        assert kind.is_veil == (misbehaviour is not Misbehaviour.REFUSES)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_is_bounded_and_follows_from_the_seed(kind: type[_MisbehavingStorage]) -> None:
    """Whatever the seed: the rule fits its operations, and what strikes listings ends soon."""
    for seed in range(SEEDS):
        rule = _rule_of(kind, seed)
        assert rule == _rule_of(kind, seed)
        assert rule.effect is kind.effect
        assert (
            kind.hold_seconds[1] + rule.seconds <= LIST_SECONDS_MAX
            or Operation.LIST not in rule.operations
            or (
                kind.kind is FaultKind.LAGS  # These answer.
            )
        )
        assert kind.hold_seconds[1] <= LIST_SECONDS_MAX


@pytest.mark.parametrize("kind", KINDS)
def test_it_strikes_what_the_storage_is_asked_for(kind: type[_MisbehavingStorage]) -> None:
    """Of the kinds of requests, and of objects, that it may strike; where nobody asks for any, it is drawn all the
    same."""
    for operation in frozenset[Operation]().union(*kind.operations):
        rules = [_rule_of(kind, seed, {operation: frozenset({"p", "q"})}) for seed in range(SEEDS)]
        assert all(operation in rule.operations for rule in rules)
        of_kinds = {rule.key_pattern for rule in rules}
        is_of_all = kind in {StorageKeepsAll, StorageOldBytes}
        assert of_kinds == ({""} if is_of_all else {"", "p", "q"})
    assert _rule_of(kind, 1, {Operation.LOCK: frozenset({"p"})}).operations in kind.operations
    assert _rule_of(kind, 1).operations in kind.operations


class _Bucket:
    """A gateway that answers only what a draw asks."""

    last_event = 7

    def __init__(self, asked: Mapping[Operation, frozenset[str]]) -> None:
        self._asked = asked

    def asked_lately(self, seconds: float) -> Mapping[Operation, frozenset[str]]:
        return self._asked


def _rule_of(
    kind: type[_MisbehavingStorage], seed: int, asked: Mapping[Operation, frozenset[str]] = MappingProxyType({})
) -> Any:
    scene: Any = scene_of(Looked(), Path("/nowhere"))
    bucket: Any = _Bucket(asked)
    return kind(replace(scene, gateway=bucket), random.Random(seed)).draw_rule()


def test_it_is_possible_only_behind_the_gateway(gateway: Served, tmp_path: Path) -> None:
    for kind in KINDS:
        assert kind.why_not(scene_of(Looked(), tmp_path)) == "the repository is not behind the gateway here"
        assert kind.why_not(scene_at(gateway, tmp_path)) is None


async def test_it_strikes_until_it_has_healed(gateway: Served, tmp_path: Path) -> None:
    fault = with_operations(StorageError, Operation.PUT)(scene_at(gateway, tmp_path), random.Random(1))
    assert not fault.has_struck
    recorded = await inject(fault, gateway)
    assert recorded[0]["operations"] == ["put"]
    assert fault.has_struck
    await fault.heal()
    assert fault.has_struck
    assert ask(gateway, "PUT", "/p1", b"hello")[0] == 200


async def test_what_nobody_meets_breaks_nothing(gateway: Served, tmp_path: Path) -> None:
    """It is on for a while, and excuses nothing."""
    fault = StorageError(scene_at(gateway, tmp_path, SteppedClock()), random.Random(1))
    with pytest.raises(NothingToBreak):
        await fault.inject(lambda _: None)
    assert not fault.has_struck
    assert not fault.touches(1000.0)
    await fault.heal()


async def test_an_operation_is_touched_if_a_request_was_struck_meanwhile(gateway: Served, tmp_path: Path) -> None:
    """Or shortly before it began: somebody may still have been trying again."""
    fault = with_operations(StorageError, Operation.PUT)(scene_at(gateway, tmp_path), random.Random(1))
    await inject(fault, gateway)
    last_seconds = fault.strikes.last_seconds
    assert last_seconds is not None
    clock = SteppedClock()
    clock.seconds = last_seconds + 60.0
    fault.scene = replace(fault.scene, clock=clock)
    assert fault.touches(61.0)
    assert fault.touches(60.0 - fault.aftermath_seconds + 0.1)
    assert not fault.touches(60.0 - fault.aftermath_seconds - 0.1)
    await fault.heal()


def test_what_must_not_be_noticed_excuses_nothing(gateway: Served, tmp_path: Path) -> None:
    """What is slow excuses only that something took too long; what is done twice, nothing."""
    scene = scene_at(gateway, tmp_path)
    assert StorageError(scene, random.Random(1)).excuses(FAILED)
    assert not StorageSlow(scene, random.Random(1)).excuses(FAILED)
    assert StorageSlow(scene, random.Random(1)).excuses(OperationTimedOut("too slow"))
    assert not StorageDoubled(scene, random.Random(1)).excuses(OperationTimedOut("too slow"))


async def test_a_lag_hides_nothing_older_than_itself(gateway: Served, tmp_path: Path) -> None:
    """So all that was acknowledged before is still held against the target; and whoever looked away looks again."""
    ask(gateway, "PUT", "/old", b"one")
    scene = scene_at(gateway, tmp_path)
    kind = with_operations(StorageStaleList, Operation.LIST)
    fault = type("Lagging", (kind,), {"seconds_range": (30.0, 30.0)})(scene, random.Random(1))
    await inject(fault, gateway, ("PUT", "/new"), ("GET", "?list-type=2"))
    assert _keys(gateway) == ["old"]
    await fault.heal()
    assert _keys(gateway) == ["new", "old"]
    server: Any = scene.server
    assert (server.forgotten, server.refreshed) == ([[]], 1)


@pytest.mark.parametrize(
    ("kind", "kept"), [(StorageForgets, None), (StorageKeepsHalf, b"he"), (StorageFlipsBit, b"hemlo")]
)
async def test_what_was_lied_about_is_there_once_it_has_healed(
    kind: type[_MisbehavingStorage], kept: bytes | None, gateway: Served, tmp_path: Path
) -> None:
    fault = with_operations(kind, Operation.PUT)(scene_at(gateway, tmp_path), random.Random(1))
    await inject(fault, gateway)
    for path in ("/again", "/gone"):
        assert ask(gateway, "PUT", path, b"hello")[0] == 200
    assert _read(gateway, "/p1") == kept
    ask(gateway, "DELETE", "/gone")
    await fault.heal()
    assert (_read(gateway, "/p1"), _read(gateway, "/gone")) == (b"hello", None)
    await fault.heal()
    assert _read(gateway, "/again") == b"hello"


async def test_no_half_object_outlasts_what_has_torn_it(gateway: Served, tmp_path: Path) -> None:
    """Whoever sent it may never send it again; no S3 storage keeps half of it. Until then it may be in the way."""
    clock = SteppedClock()
    fault = with_operations(StorageTorn, Operation.PUT)(scene_at(gateway, tmp_path), random.Random(1))
    await inject(fault, gateway)
    assert _read(gateway, "/p1") == b"he"
    clock.seconds = (fault.strikes.last_seconds or 0.0) + 60.0
    fault.scene = replace(fault.scene, clock=clock)
    assert fault.touches(0.1)
    await fault.heal()
    assert _read(gateway, "/p1") == b"hello"


async def test_what_was_written_since_is_not_put_right(gateway: Served, tmp_path: Path) -> None:
    """Only what still is what the lie has left."""
    once = type("Once", (with_operations(StorageForgets, Operation.PUT),), {"counts_max": (1,)})
    fault = once(scene_at(gateway, tmp_path), random.Random(2))
    await inject(fault, gateway)
    assert ask(gateway, "PUT", "/p1", b"newer")[0] == 200
    await fault.heal()
    assert _read(gateway, "/p1") == b"newer"


@pytest.mark.parametrize("kind", [StorageForgets, StorageKeepsHalf, StorageFlipsBit, StorageOldBytes, StorageTorn])
async def test_the_next_run_puts_right_what_a_killed_one_has_left(
    kind: type[_MisbehavingStorage], tmp_path: Path
) -> None:
    """Once; and nothing where nothing is left, or nothing was recorded."""
    with serving(tmp_path / "gateway", CLOCKS) as gateway:
        gateway.admit("a client", KEY)
        ask(gateway, "PUT", "/p1", b"old")
        ask(gateway, "PUT", "/p1", b"hello")
        fault = with_operations(kind, *kind.operations[0])(scene_at(gateway, tmp_path), random.Random(1))
        (details,) = await inject(fault, gateway, ("PUT" if Operation.PUT in kind.operations[0] else "GET", "/p1"))
    done = kind.heal_left_over(details)
    assert done == (None if kind is StorageOldBytes else "stored 1 object(s) as they were sent")
    assert kind.heal_left_over(details) is None
    assert kind.heal_left_over({}) is None
    with serving(tmp_path / "gateway", CLOCKS) as gateway:
        gateway.admit("a client", KEY)
        assert _read(gateway, "/p1") == b"hello"


def _read(gateway: Served, path: str) -> bytes | None:
    status, body, _ = ask(gateway, "GET", path)
    return body if status == 200 else None


def _keys(gateway: Served) -> list[str]:
    body = ask(gateway, "GET", "?list-type=2")[1].decode()
    return sorted(part.partition("<")[0] for part in body.split("<Key>")[1:])
