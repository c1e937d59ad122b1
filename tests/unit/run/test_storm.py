"""The storm deals its faults, records each before it breaks anything, and heals whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.clock import SteppedClock
from tests.unit.one_run import new_context
from tests.waiting import until

from snapstorm.errors import HarnessError, OperationUnknown
from snapstorm.faults.fault import Fault, FaultKind, NothingToBreak, Record, Scene
from snapstorm.faults.weather import Weather
from snapstorm.ledger.ledger import NO_EFFECT, AskedSnapshot, IntendedEffect, OperationIntent
from snapstorm.model.manifest import Manifest
from snapstorm.run.storm import TURNS_MAX, Storm, StormPlan, heal_what_is_left
from snapstorm.runtime.tasks import beside
from snapstorm.testbed.control import Control, Steering

pytestmark = pytest.mark.anyio
HOUR_SECONDS = 3600.0


class Recorded(Fault):
    """Notes what is done with it."""

    kind = FaultKind.PROCESS
    hold_seconds = (0.0, 0.1)
    done: list[str] = []  # noqa: RUF012 - shared on purpose, cleared for each test

    async def inject(self, record: Record) -> None:
        record({"what": self.key})
        self.done.append(f"inject {self.key}")

    async def heal(self) -> None:
        self.done.append(f"heal {self.key}")


def kind_of(key: str, **methods: Any) -> type[Fault]:
    return type(key, (Recorded,), {"key": key, "__doc__": "For this test.", **methods})


@pytest.fixture(autouse=True)
def _no_fault_stays_defined() -> Iterator[None]:
    before = list(Fault.defined)
    yield
    Fault.defined[:] = before


class Stormy:
    """A run with these faults, on a clock that costs no time. Somebody may ask for more of them."""

    def __init__(self, kinds: list[type[Fault]], seed: int = 7, *, is_watched: bool = False, **plan: Any) -> None:
        Recorded.done.clear()
        clock = SteppedClock()
        self.run = new_context(seed=seed, clock=clock)
        self.ledger, self.tally, self.notes = self.run.ledger, self.run.tally, self.run.tally.notes
        self.control = Control(is_watched=is_watched)
        self.weather = Weather(self.run.now_seconds)
        steering = Steering(self.run, self.control, keep_going=False)
        nothing: Any = None
        scene = Scene(nothing, (), nothing, Path(), tuple, nothing, clock)
        faults = {kind.key: kind for kind in kinds}
        made = {"keys": list(faults), "is_each_awaited": True, "faults": faults, **plan}
        self.storm = Storm(self.run, self.weather, steering, scene, StormPlan(**made))

    async def blow_until(self, holds: Callable[[], object]) -> None:
        async with beside(self.storm.blow):
            await until(holds)


def has_injected(count: int) -> bool:
    return sum(words.startswith("inject") for words in Recorded.done) >= count


async def last(self: Fault, seconds: float) -> None:
    """Hold until the storm ends."""
    await anyio.sleep_forever()


async def find_nothing(self: Fault, record: Record) -> None:
    raise NothingToBreak("nothing is there")


async def test_each_fault_comes_once_before_any_comes_again() -> None:
    """In an order that the seed draws; each heals before the next."""
    orders, kinds = [], [kind_of(key) for key in "abcdef"]
    for seed in (1, 1, 2, 3):
        stormy = Stormy(kinds, seed)
        await stormy.blow_until(lambda: has_injected(9))
        injected = [words.split()[1] for words in Recorded.done if words.startswith("inject")]
        assert sorted(injected[:6]) == list("abcdef")
        assert Recorded.done[::2] == [f"inject {key}" for key in injected]
        assert Recorded.done[1::2] == [f"heal {key}" for key in injected]
        assert sum(stormy.tally.faults.values()) == len(injected)
        orders.append(injected[:6])
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1


async def test_there_is_a_calm_between_two_faults() -> None:
    """In virtual time a short one, because days take less than a second there."""
    stormy = Stormy([kind_of("one", hold_seconds=(0.0, 0.0))], calm_seconds=(20.0, 30.0))
    began_seconds = stormy.run.now_seconds()
    await stormy.blow_until(lambda: has_injected(3))
    seconds = stormy.run.now_seconds() - began_seconds
    assert seconds >= 20.0 * Recorded.done.count("inject one")


async def test_what_finds_nothing_to_break_counts_for_nothing() -> None:
    """It is recorded as such, not healed, and no failure is excused by it."""
    stormy = Stormy([kind_of("idle", inject=find_nothing)])
    await stormy.blow_until(lambda: len(stormy.ledger.faults_of(1)) >= 2)
    assert stormy.tally.faults == {}
    assert {fault.outcome for fault in stormy.ledger.faults_of(1)} == {"nothing: nothing is there"}
    assert not stormy.weather.excuses("ada", 0.0, OperationUnknown("x"))


async def test_what_nothing_has_met_counts_for_nothing() -> None:
    """It was active, so it is healed; it is not counted as struck, and it is waited for."""

    async def meet_nobody(self: Fault, record: Record) -> None:
        record({"what": "active"})
        Recorded.done.append("inject idle")
        raise NothingToBreak("nobody met it")

    idle = kind_of("idle", inject=meet_nobody, has_struck=False)
    stormy = Stormy([idle])
    await stormy.blow_until(lambda: len(stormy.ledger.faults_of(1)) >= 2)
    assert stormy.tally.faults == {}
    assert stormy.ledger.faults_of(1)[0].outcome == "nothing: nobody met it"
    assert Recorded.done[:2] == ["inject idle", "heal idle"]
    met = Stormy([kind_of("met", inject=meet_nobody)])
    await met.blow_until(lambda: met.ledger.faults_of(1) and met.ledger.faults_of(1)[0].outcome)
    assert met.tally.faults["met"] >= 1
    assert met.ledger.faults_of(1)[0].outcome == "healed"


async def test_a_fault_lasts_as_long_as_was_drawn() -> None:
    """Of the run's clock, divided by the pace."""
    stormy = Stormy([kind_of("long", hold_seconds=(HOUR_SECONDS, HOUR_SECONDS))], pace=2.0)
    await stormy.blow_until(lambda: has_injected(2))
    first = stormy.ledger.faults_of(1)[0]
    assert first.ended_seconds is not None
    assert first.ended_seconds - first.began_seconds == pytest.approx(HOUR_SECONDS / 2)


async def test_a_fault_that_is_cut_off_heals_first() -> None:
    """The storm ends while it lasts: it is healed and recorded before anything goes on."""
    stormy = Stormy([kind_of("long", hold=last)])
    await stormy.blow_until(lambda: has_injected(1))
    assert Recorded.done == ["inject long", "heal long"]
    assert [(fault.outcome, fault.details) for fault in stormy.ledger.faults_of(1)] == [("healed", {"what": "long"})]
    assert stormy.ledger.open_faults() == []


async def test_healing_is_tried_again_and_given_up_in_the_end() -> None:
    """What was broken may be in the way of its healing for a while; for ever is an error of ours."""
    tries = 0

    async def heal(self: Fault) -> None:
        nonlocal tries
        tries += 1
        if tries != 3:
            raise OperationUnknown("the server does not answer")

    stubborn = kind_of("stubborn", heal=heal, hold=last)
    await Stormy([stubborn]).blow_until(lambda: has_injected(1))
    assert tries == 3
    given_up = Stormy([stubborn], heal_seconds_max=HOUR_SECONDS)
    with pytest.raises(HarnessError, match="stubborn could not be healed"):
        await given_up.blow_until(lambda: has_injected(1))
    assert given_up.run.now_seconds() > HOUR_SECONDS
    assert tries > 3600


async def test_what_a_killed_run_left_is_healed_latest_first() -> None:
    """Each once; what is not known any more is only closed."""
    healed: list[str] = []

    def heal_left_over(cls: type[Fault], details: dict[str, str]) -> str:
        healed.append(details["file"])
        return f"put {details['file']} back"

    faults = {"lost": kind_of("lost", heal_left_over=classmethod(heal_left_over))}
    run = new_context()
    ledger, notes = run.ledger, run.tally.notes
    for file in ("first", "second"):
        number = ledger.begin_fault(1, "lost", tick=ledger.next_tick(), began_seconds=0.0)
        ledger.detail_fault(number, {"file": file})
    ledger.begin_fault(1, "of a newer snapstorm", tick=ledger.next_tick(), began_seconds=0.0)
    heal_what_is_left(ledger, run.clock, run.note, faults)
    assert healed == ["second", "first"]
    assert notes[0] == "put second back, which the fault lost of the killed run 1 had left"
    assert ledger.open_faults() == []
    heal_what_is_left(ledger, run.clock, run.note, faults)
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("kind", "safety", "is_tainted"),
    [
        ({"spoils_collections": True}, "full", True),
        ({"is_veil": True}, "none", True),
        ({"is_veil": True}, "full", False),
        ({}, "none", False),
    ],
)
def test_a_collection_that_was_killed_under_a_fault_taints_what_is_live(
    kind: dict[str, bool], safety: str, is_tainted: bool
) -> None:
    """As one that ends: it may have taken what is needed, and nobody else will tell."""
    run = new_context()
    ledger = run.ledger
    asked = AskedSnapshot("/data", "{}", Manifest(()))
    ledger.begin_operation(_intent("r1-a-1", "snapshot-root", "{}", IntendedEffect(creates=asked)))
    ledger.end_operation("r1-a-1", outcome="ok", reason="", seconds=0.0, snapshot="k1")
    number = ledger.begin_fault(1, "lost", tick=ledger.next_tick(), began_seconds=0.0)
    ledger.begin_operation(_intent("r1-a-2", "run-gc", json.dumps({"safety": safety}), NO_EFFECT))
    heal_what_is_left(ledger, run.clock, run.note, {"lost": kind_of("lost", **kind)})
    (found,) = ledger.expectations("a")
    assert found.tainted_by == (number if is_tainted else None)


def _intent(operation: str, action: str, options: str, effect: IntendedEffect) -> OperationIntent:
    return OperationIntent(operation, 1, "a", 1, action, options, 0.0, effect)


@pytest.mark.parametrize("keys", [[], ["wanted"]])
async def test_what_somebody_asks_for_strikes_beside_the_storms_own(keys: list[str]) -> None:
    """Also where nothing strikes by itself."""
    stormy = Stormy([kind_of("wanted")], keys=keys, is_watched=True)
    stormy.control.faults = {"wanted": None}
    with stormy.control.working():
        stormy.control.inject("wanted")
        await stormy.blow_until(lambda: has_injected(1))
    assert Recorded.done[:2] == ["inject wanted", "heal wanted"]
    assert stormy.tally.faults["wanted"] == Recorded.done.count("inject wanted")
    assert (stormy.tally.faults["wanted"] == 1) or keys


async def test_an_injected_fault_that_finds_nothing_is_noted() -> None:
    stormy = Stormy([kind_of("wanted", inject=find_nothing)], keys=[], is_watched=True)
    stormy.control.faults = {"wanted": None}
    with stormy.control.working():
        stormy.control.inject("wanted")
        await stormy.blow_until(lambda: stormy.notes)
    assert stormy.notes == ["the fault wanted that somebody asked for: nothing: nothing is there"]


async def test_a_fault_is_awaited_until_it_has_struck() -> None:
    """Or until it has found nothing to break a few times, which is said."""
    stormy = Stormy([*map(kind_of, "abc"), kind_of("idle", inject=find_nothing)])
    assert stormy.storm.is_awaited
    await stormy.blow_until(lambda: not stormy.storm.is_awaited)
    assert set(stormy.tally.faults) == set("abc")
    outcomes = [fault.outcome for fault in stormy.ledger.faults_of(1) if fault.key == "idle"]
    assert len(outcomes) >= TURNS_MAX
    assert stormy.notes == ["the fault idle did not strike in 3 tries: nothing: nothing is there"]


def test_a_storm_for_those_who_watch_is_not_awaited() -> None:
    assert not Stormy([kind_of("wanted")], keys=[]).storm.is_awaited


def test_of_all_faults_only_one_is_awaited() -> None:
    """All that is possible takes minutes, which a short run does not have."""
    stormy = Stormy([kind_of("wanted"), kind_of("other")], is_each_awaited=False)
    assert stormy.storm.is_awaited
    stormy.tally.count_fault("wanted")
    assert not stormy.storm.is_awaited
