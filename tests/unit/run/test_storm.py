"""The storm deals its faults, records each before it breaks anything, and heals whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from tests.waiting import GIVE_UP_SECONDS, until

from snapstorm.errors import HarnessError, OperationUnknown
from snapstorm.faults.fault import Fault, FaultKind, NothingToBreak, Record
from snapstorm.faults.weather import Weather
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.verdict import Tally
from snapstorm.run.storm import TURNS_MAX, Storm, StormPlan, blowing, heal_what_is_left
from snapstorm.testbed.control import Control

pytestmark = pytest.mark.anyio
PACE = 500.0
SCENE: Any = SimpleNamespace()
"""No fault here looks at it."""


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
def _no_fault_stays_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fault, "defined", list(Fault.defined))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite3")
    opened.begin_run(seed=7, began_utc="2026-01-01T00:00:00Z", scenario="{}", target="{}")
    yield opened
    opened.close()


def plan_of(kinds: list[type[Fault]], **more: Any) -> StormPlan:
    return StormPlan(
        **{
            "keys": [kind.key for kind in kinds],
            "is_each_awaited": True,
            "pace": PACE,
            "faults": {kind.key: kind for kind in kinds},
            "heal_seconds_max": GIVE_UP_SECONDS,
            "heal_again_seconds": 0.01,
            **more,
        }
    )


def new_storm(ledger: Ledger, plan: StormPlan, seed: int = 7) -> tuple[Storm, Any]:
    Recorded.done.clear()
    run: Any = SimpleNamespace(
        seed=seed,
        number=1,
        ledger=ledger,
        tally=Tally(),
        weather=Weather(anyio.current_time),
        now_seconds=anyio.current_time,
        emit=lambda event: None,
        control=Control(),
        note=lambda words: None,
    )
    return Storm(run, SCENE, plan), run


async def blow_until(storm: Storm, holds: Callable[[], object]) -> None:
    async with blowing(storm):
        await until(holds)


def has_injected(count: int) -> bool:
    return sum(words.startswith("inject") for words in Recorded.done) >= count


async def test_each_fault_comes_once_before_any_comes_again(ledger: Ledger) -> None:
    """In an order that the seed draws; each heals before the next."""
    orders = []
    plan = plan_of([kind_of(key) for key in "abcdef"])
    for seed in (1, 1, 2, 3):
        storm, run = new_storm(ledger, plan, seed)
        await blow_until(storm, lambda: has_injected(9))
        injected = [words.split()[1] for words in Recorded.done if words.startswith("inject")]
        assert sorted(injected[:6]) == list("abcdef")
        assert Recorded.done[::2] == [f"inject {key}" for key in injected]
        assert Recorded.done[1::2] == [f"heal {key}" for key in injected]
        assert sum(run.tally.faults.values()) == len(injected)
        orders.append(injected[:6])
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1


async def test_what_finds_nothing_to_break_counts_for_nothing(ledger: Ledger) -> None:
    """It is recorded as such, not healed, and no failure is excused by it."""

    async def inject(self: Fault, record: Record) -> None:
        raise NothingToBreak("nobody is there")

    storm, run = new_storm(ledger, plan_of([kind_of("idle", inject=inject)]))
    await blow_until(storm, lambda: len(ledger.faults_of(1)) >= 2)
    assert run.tally.faults == {}
    assert {fault.outcome for fault in ledger.faults_of(1)} == {"nothing: nobody is there"}
    assert not run.weather.excuses("ada", 0.0, OperationUnknown("x"))


async def test_a_fault_that_is_cut_off_heals_first(ledger: Ledger) -> None:
    """The storm ends while it lasts: it is healed and recorded before anything goes on."""
    storm, _ = new_storm(ledger, plan_of([kind_of("long", hold_seconds=(1e6, 1e6))]))
    await blow_until(storm, lambda: has_injected(1))
    assert Recorded.done == ["inject long", "heal long"]
    assert [(fault.outcome, fault.details) for fault in ledger.faults_of(1)] == [("healed", {"what": "long"})]
    assert ledger.open_faults() == []


async def test_healing_is_tried_again_and_given_up_in_the_end(ledger: Ledger) -> None:
    """What was broken may be in the way of its healing for a while; for ever is an error of ours."""
    tries = 0

    async def heal(self: Fault) -> None:
        nonlocal tries
        tries += 1
        if tries != 3:
            raise OperationUnknown("the server does not answer")

    stubborn = kind_of("stubborn", heal=heal, hold_seconds=(1e6, 1e6))
    storm, _ = new_storm(ledger, plan_of([stubborn]))
    await blow_until(storm, lambda: has_injected(1))
    assert tries == 3
    impatient, _ = new_storm(ledger, plan_of([stubborn], heal_seconds_max=0.0))
    with pytest.raises(HarnessError, match="stubborn could not be healed"):
        await blow_until(impatient, lambda: has_injected(1))


async def test_what_a_killed_run_left_is_healed_latest_first(ledger: Ledger) -> None:
    """Each once; what is not known any more is only closed."""
    healed: list[str] = []

    def heal_left_over(cls: type[Fault], details: dict[str, str]) -> str:
        healed.append(details["file"])
        return f"put {details['file']} back"

    faults = {"lost": kind_of("lost", heal_left_over=classmethod(heal_left_over))}
    for file in ("first", "second"):
        number = ledger.begin_fault(1, "lost", tick=ledger.next_tick(), began_seconds=0.0)
        ledger.detail_fault(number, {"file": file})
    ledger.begin_fault(1, "of a newer snapstorm", tick=ledger.next_tick(), began_seconds=0.0)
    notes: list[str] = []
    heal_what_is_left(ledger, notes.append, faults)
    assert healed == ["second", "first"]
    assert notes[0] == "put second back, which the fault lost of the killed run 1 had left"
    assert ledger.open_faults() == []
    heal_what_is_left(ledger, notes.append, faults)
    assert len(notes) == 2


async def test_what_somebody_asks_for_strikes_beside_the_storms_own(ledger: Ledger) -> None:
    plan = plan_of([kind_of("wanted")])
    storm, run = new_storm(ledger, plan)
    quiet = Storm(run, SCENE, replace(plan, keys=[]))
    run.control.watch(anyio.current_time, lambda words: None)
    run.control.faults = {"wanted": None}
    with run.control.working():
        for one in (quiet, storm):
            Recorded.done.clear()
            run.control.inject("wanted")
            await blow_until(one, lambda: has_injected(1))
            assert Recorded.done[:2] == ["inject wanted", "heal wanted"]
    asked_alone = run.tally.faults["wanted"] - Recorded.done.count("inject wanted")
    assert asked_alone == 1


async def test_an_injected_fault_that_finds_nothing_is_noted(ledger: Ledger) -> None:
    async def nothing(self: Fault, record: Record) -> None:
        raise NothingToBreak("nothing is there")

    quiet, run = new_storm(ledger, plan_of([kind_of("wanted", inject=nothing)], keys=[]))
    notes: list[str] = []
    run.note = notes.append
    run.control.watch(anyio.current_time, lambda words: None)
    run.control.faults = {"wanted": None}
    with run.control.working():
        run.control.inject("wanted")
        await blow_until(quiet, lambda: notes)
    assert notes == ["the fault wanted that somebody asked for: nothing: nothing is there"]


async def test_a_fault_is_awaited_until_it_has_struck(ledger: Ledger) -> None:
    """Or until it has found nothing to break a few times, which is said."""

    async def nothing(self: Fault, record: Record) -> None:
        raise NothingToBreak("nothing is there")

    storm, run = new_storm(ledger, plan_of([*map(kind_of, "abc"), kind_of("idle", inject=nothing)]))
    notes: list[str] = []
    run.note = notes.append
    assert storm.is_awaited
    await blow_until(storm, lambda: not storm.is_awaited)
    assert set(run.tally.faults) == set("abc")
    outcomes = [fault.outcome for fault in ledger.faults_of(1) if fault.key == "idle"]
    assert len(outcomes) >= TURNS_MAX
    assert notes == ["the fault idle did not strike in 3 tries: nothing: nothing is there"]


async def test_a_storm_for_those_who_watch_is_not_awaited(ledger: Ledger) -> None:
    quiet, _ = new_storm(ledger, plan_of([kind_of("wanted")], keys=[]))
    assert not quiet.is_awaited


async def test_of_all_faults_only_one_is_awaited(ledger: Ledger) -> None:
    """All that is possible takes minutes, which a short run does not have."""
    storm, run = new_storm(ledger, plan_of([kind_of("wanted"), kind_of("other")], is_each_awaited=False))
    assert storm.is_awaited
    run.tally.count_fault("wanted")
    assert not storm.is_awaited
