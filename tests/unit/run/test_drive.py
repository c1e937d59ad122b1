"""Clients side by side, and steps that one of them does alone: nobody works beside it, and nobody waits for ever."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from tests.clock import SteppedClock
from tests.unit.one_run import new_context
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.actions.client import Client
from snapstorm.model.actions import Action, FileAction, Upkeep
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.model.verdict import Tally
from snapstorm.run.arrivals import Arrivals
from snapstorm.run.drive import Barrier, Budget, EndRound, drive
from snapstorm.run.storm import AnyStorm, NoStorm
from snapstorm.scenario.generator import Deck
from snapstorm.scenario.scenarios import Scenario
from snapstorm.testbed.control import Control, Steering
from snapstorm.testbed.identity import current_client

pytestmark = pytest.mark.anyio

VIOLATION = Violation(Guarantee.AVAILABLE, "something")
STEPS = (
    {"action": "write-random-files", "repeat": 2},
    {"action": "run-gc", "alone": True, "repeat": 2},
    {"action": "mark-storage", "alone": True},
    {"action": "snapshot-root"},
    {"action": "check-storage", "alone": True},
    {"action": "list-snapshots"},
)


class RandomAction(Upkeep):
    """Stands for whatever is drawn."""


RandomAction.key = "random"  # Set afterwards, so that it is not registered.
RANDOM = RandomAction()


class AwaitedStorm(NoStorm):
    """Is awaited for as long as a test says."""

    def __init__(self, is_awaited: Callable[[], bool]) -> None:
        self._is_awaited = is_awaited

    @property
    def is_awaited(self) -> bool:
        return self._is_awaited()


class Recorder:
    """Stands for the engine: remembers who did what, and what else went on meanwhile."""

    def __init__(self, act: Callable[[str, str], Awaitable[object]] | None = None) -> None:
        self.done: list[tuple[str, str]] = []
        self.live = 1
        self.beside: dict[str, set[str]] = {}
        self.tally = Tally()
        self._act = act
        self._now: set[tuple[str, str]] = set()

    async def execute(self, action: Action[Any]) -> None:
        me = (current_client(), action.key)
        self._now.add(me)
        for _, key in self._now:
            self.beside.setdefault(key, set()).update(other for client, other in self._now if client != me[0])
        for _ in range(1 + int(me[0][-1])):
            await checkpoint()
        if self._act is not None:
            await self._act(*me)
        self._now.remove(me)
        self.done.append(me)

    def deal(self, *_: object) -> Deck:
        """An empty deck: what is random is not looked at here."""
        return Deck({}, random.Random(0))

    def asks_target(self, action: Action[Any], _: str) -> bool:
        return not isinstance(action, FileAction) and (self.live > 0 or not action.needs_snapshot)

    async def execute_random(self, *_: object) -> None:
        await self.execute(RANDOM)

    def keys_of(self, client: int) -> list[str]:
        return [key for name, key in self.done if name == f"c{client}"]


def all_there(clients: int) -> Arrivals:
    arrivals = Arrivals([f"c{number}" for number in range(1, clients + 1)])
    for number in range(1, clients + 1):
        arrivals.arrive(f"c{number}")
    return arrivals


async def drive_recorded(
    recorder: Recorder,
    clients: int = 3,
    *,
    keep_going: bool = False,
    arrivals: Arrivals | None = None,
    clock: SteppedClock | None = None,
    storm: AnyStorm | None = None,
    end_round: EndRound | None = None,
    **more: Any,
) -> list[str]:
    """What the run then notes."""
    scenario = Scenario.model_validate({"name": "x", "clients": clients, "steps": STEPS, **more})
    rounds = {} if end_round is None else {"end_round": end_round}
    run = new_context(clock=clock or SteppedClock())
    recorder.tally = run.tally
    steering = Steering(run, Control(is_watched=False), keep_going=keep_going)
    engine: Any = recorder
    some = [Client(f"c{number}", engine) for number in range(1, clients + 1)]
    with anyio.fail_after(GIVE_UP_SECONDS):
        there, some_storm = arrivals or all_there(clients), storm or NoStorm()
        await drive(some, scenario, engine, steering, there, some_storm, run.note, **rounds)
    return run.tally.notes


@pytest.mark.parametrize("clients", [1, 3])
async def test_what_is_done_alone_is_done_once_and_beside_nothing(clients: int) -> None:
    """The first client does it, as often as it says; the others' steps stand before it or after it."""
    recorder = Recorder()
    await drive_recorded(recorder, clients, weights={"snapshot-root": 1}, actions=7)
    first = ["write-random-files"] * 2 + ["run-gc"] * 2 + ["mark-storage", "snapshot-root", "check-storage"]
    assert recorder.keys_of(1)[:8] == [*first, "list-snapshots"]
    for client in range(2, clients + 1):
        assert recorder.keys_of(client)[:4] == ["write-random-files"] * 2 + ["snapshot-root", "list-snapshots"]
    for key in ("run-gc", "mark-storage", "check-storage"):
        assert recorder.beside[key] <= {key}
    assert [key for _, key in recorder.done].count("random") == 7
    keys = [key for _, key in recorder.done]
    assert len(keys) - 1 - keys[::-1].index("write-random-files") < keys.index("run-gc")
    assert keys.index("check-storage") < keys.index("list-snapshots")


@pytest.mark.parametrize("at", ["write-random-files", "run-gc", "snapshot-root"])
@pytest.mark.parametrize("client", ["c1", "c3"])
async def test_a_client_that_stops_leaves_nobody_waiting(client: str, at: str) -> None:
    """A violation ends everybody's work, wherever the others wait just then; what is left is not done."""

    async def violate(name: str, key: str) -> None:
        if (name, key) == (client, at):
            recorder.tally.violations.append(VIOLATION)

    recorder = Recorder(violate)
    await drive_recorded(recorder)
    is_shown = bool(recorder.tally.violations)
    assert is_shown == (client == "c1" or at != "run-gc")
    assert ("check-storage" in recorder.keys_of(1)) != is_shown


async def test_a_run_that_keeps_going_does_all_of_it() -> None:
    """A violation then stops nobody."""

    async def violate(*_: str) -> None:
        recorder.tally.violations.append(VIOLATION)

    recorder = Recorder(violate)
    await drive_recorded(recorder, keep_going=True)
    assert recorder.keys_of(1)[-1] == recorder.keys_of(3)[-1] == "list-snapshots"


@pytest.mark.parametrize("client", ["c1", "c2"])
async def test_an_error_of_one_client_ends_the_others_that_wait(client: str) -> None:
    """It is raised as itself, and soon."""

    async def fail(name: str, _: str) -> None:
        if name == client:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await drive_recorded(Recorder(fail))


async def test_a_client_begins_once_it_is_there() -> None:
    """Its steps, while others still connect; what is done alone, and random work, only once all of them are there."""
    recorder, arrivals, names = Recorder(), Arrivals(["c1", "c2", "c3"]), ["c2", "c1", "c3"]
    async with anyio.create_task_group() as group:

        async def drive_all() -> None:
            await drive_recorded(recorder, arrivals=arrivals, weights={"snapshot-root": 1}, actions=3)

        group.start_soon(drive_all)
        for number, name in enumerate(names, start=1):
            await anyio.wait_all_tasks_blocked()
            assert {client for client, _ in recorder.done} == set(names[: number - 1])
            assert {key for _, key in recorder.done} <= {"write-random-files"}
            arrivals.arrive(name)
    assert [key for _, key in recorder.done].count("random") == 3


@pytest.mark.parametrize("live", [0, 1])
async def test_what_asks_the_target_nothing_is_done_before_the_client_is_connected(live: int) -> None:
    """Changes of its own files, and restores where there is nothing to restore; but not before its files are known."""
    recorder, arrivals = Recorder(), Arrivals(["c1"])
    recorder.live = live
    first, then = ["restore-snapshot", "write-random-files"], ["snapshot-root", "delete-files"]
    async with anyio.create_task_group() as group:

        async def drive_all() -> None:
            steps = [{"action": key} for key in [*first, *then]]
            await drive_recorded(recorder, 1, arrivals=arrivals, steps=steps)

        group.start_soon(drive_all)
        await anyio.wait_all_tasks_blocked()
        assert recorder.keys_of(1) == []
        arrivals.have_files("c1")
        await anyio.wait_all_tasks_blocked()
        assert recorder.keys_of(1) == ([] if live else first)
        arrivals.arrive("c1")
    assert recorder.keys_of(1) == [*first, *then]


async def test_random_work_waits_for_all() -> None:
    """Also where there are no steps: few actions are not to be used up by whoever connects first."""
    recorder, arrivals = Recorder(), Arrivals(["c1", "c2"])
    async with anyio.create_task_group() as group:

        async def drive_all() -> None:
            await drive_recorded(recorder, 2, arrivals=arrivals, steps=(), weights={"snapshot-root": 1}, actions=4)

        group.start_soon(drive_all)
        arrivals.arrive("c1")
        await anyio.wait_all_tasks_blocked()
        assert recorder.done == []
        arrivals.arrive("c2")
    assert len(recorder.done) == 4


async def test_the_duration_begins_with_random_work() -> None:
    """However long the steps before it have taken."""
    clock = SteppedClock()

    async def act(_: str, key: str) -> None:
        await clock.sleep(1 if key == "random" else 100)

    recorder = Recorder(act)
    await drive_recorded(recorder, 1, clock=clock, weights={"snapshot-root": 1}, duration="5s")
    assert recorder.keys_of(1).count("random") == 5


async def test_who_has_left_is_not_waited_for() -> None:
    """The last that all wait for may as well leave; later rounds need only those that are left."""
    barrier = Barrier(3)
    with anyio.fail_after(GIVE_UP_SECONDS):
        for leaves_last in (True, False):
            async with anyio.create_task_group() as group:
                group.start_soon(barrier.wait)
                group.start_soon(barrier.wait)
                await anyio.wait_all_tasks_blocked() if leaves_last else None
                if leaves_last:
                    barrier.leave()


async def test_who_was_cancelled_while_it_waited_does_not_count() -> None:
    """Otherwise the rest would go on before they are all there."""
    barrier = Barrier(3)
    with anyio.move_on_after(0):
        await barrier.wait()
    passed: list[int] = []

    async def pass_as(number: int) -> None:
        await barrier.wait()
        passed.append(number)

    with anyio.fail_after(GIVE_UP_SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(pass_as, 1)
            await anyio.wait_all_tasks_blocked()
            barrier.leave()  # The one that was cancelled.
            await anyio.wait_all_tasks_blocked()
            assert passed == []
            group.start_soon(pass_as, 2)
    assert sorted(passed) == [1, 2]


@pytest.mark.parametrize("budget", [{"actions": 7}, {"duration": "1s"}])
async def test_work_goes_on_until_each_fault_has_struck(budget: dict[str, object]) -> None:
    """However soon the budget is used up; and a violation ends it all the same."""
    clock = SteppedClock()

    async def act(_: str, key: str) -> None:
        await clock.sleep(1)
        if key == "random" and is_violated:
            recorder.tally.violations.append(VIOLATION)

    def is_awaited() -> bool:
        return [key for _, key in recorder.done].count("random") < 50

    recorder, is_violated = Recorder(act), False
    more: dict[str, Any] = {"weights": {"snapshot-root": 1}, "clock": clock, **budget}
    notes = await drive_recorded(recorder, storm=AwaitedStorm(is_awaited), **more)
    assert 50 <= [key for _, key in recorder.done].count("random") <= 53
    assert notes == ["clients go on beyond --duration or --actions, until the faults that were asked for have struck"]
    recorder, is_violated = Recorder(act), True
    await drive_recorded(recorder, storm=AwaitedStorm(lambda: True), **more)
    assert [key for _, key in recorder.done].count("random") <= 3


async def test_actions_are_kept_for_who_has_not_begun_yet() -> None:
    """Who has done its first actions leaves to the others what theirs take; all are done in the end."""
    weights = {"write-random-files": 1, "snapshot-root": 1, "list-snapshots": 1, "run-gc": 1}
    decks = [Deck(weights, random.Random(1), place, 2) for place in range(2)]
    run = new_context()
    steering = Steering(run, Control(is_watched=False), keep_going=False)
    budget = Budget(None, 8, steering, NoStorm(), run.note, decks)
    quick, slow = decks
    taken = 0
    while budget.take(quick):
        taken += 1
        quick.take(weights, lambda _: True)
    assert taken == 8 - slow.left
    for _ in range(slow.left):
        assert budget.take(slow)
        assert slow.take(weights, lambda _: True) is not None
    assert not budget.take(slow)


async def test_steps_are_done_in_rounds_and_some_only_in_each_so_many_th() -> None:
    """Each client does them; what is done alone is done once in a round; the end of each round is told once."""
    recorder, ended = Recorder(), list[int]()
    steps = (
        {"action": "write-random-files"},
        {"action": "run-gc", "alone": True, "every": 2},
        {"action": "snapshot-root", "every": 3},
    )

    async def end_round(number: int) -> None:
        ended.append(number)

    await drive_recorded(recorder, 2, steps=steps, rounds=6, end_round=end_round)
    write, collect, take = "write-random-files", "run-gc", "snapshot-root"
    assert recorder.keys_of(1) == [write, write, collect, write, take, write, collect, write, write, collect, take]
    assert recorder.keys_of(2) == [write, write, write, take, write, write, write, take]
    assert recorder.beside[collect] <= {collect}
    assert ended == [1, 2, 3, 4, 5, 6]
