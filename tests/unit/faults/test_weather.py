"""What a fault excuses: failures that it has touched, and nothing after everybody has recovered."""

from __future__ import annotations

import random
from typing import Any

import pytest

from snapstorm.errors import OperationFailed, TargetError
from snapstorm.faults.fault import Fault, FaultKind, Record
from snapstorm.faults.weather import Weather

ERROR = OperationFailed("restore failed: a blob is gone", blobs=["p12", "q7"])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Touching(Fault):
    """Of a storage, which may not have been asked for anything yet."""

    key = "touching"
    kind = FaultKind.LAGS
    is_veil = True
    aftermath_seconds = 5.0
    struck_seconds: float | None = None
    clock: Clock

    async def inject(self, record: Record) -> None:
        record({})

    @property
    def has_struck(self) -> bool:
        return self.struck_seconds is not None

    def touches(self, age_seconds: float) -> bool:
        return self.struck_seconds is not None and self.clock.now - age_seconds <= self.struck_seconds


def touching(clock: Clock) -> Touching:
    scene: Any = None
    made = Touching(scene, random.Random(1))
    made.clock = clock
    return made


class OnlyBlob(Fault):
    """Excuses what is about its blob."""

    key = "only-blob"
    kind = FaultKind.STORAGE
    is_damage = True
    aftermath_seconds = 5.0
    blob = "p12"

    async def inject(self, record: Record) -> None:
        record({})

    def excuses(self, error: TargetError) -> bool:
        return not self.blob or self.blob in error.blobs


def fault(clients: frozenset[str] | None = None, blob: str = "") -> OnlyBlob:
    scene: Any = None
    made = OnlyBlob(scene, random.Random(1))
    made.clients, made.blob = clients, blob
    return made


@pytest.mark.parametrize(
    ("began", "is_excused"),
    [(0.0, True), (12.0, True), (19.0, True), (24.9, True), (25.1, False)],
)
def test_a_fault_excuses_what_overlaps_it_or_comes_soon_after(began: float, is_excused: bool) -> None:
    """It lasts from 10 to 20; its aftermath until 25. An operation counts from its beginning to its failure."""
    clock = Clock()
    weather = Weather(clock)
    clock.now = 10.0
    injury = weather.begin(1, fault())
    clock.now = 20.0
    weather.end(injury)
    clock.now = 30.0
    assert weather.excuses("ada", began, ERROR) == is_excused


def test_calm_weather_excuses_nothing() -> None:
    """Before the first fault, a failure is a failure."""
    assert not Weather(Clock()).excuses("ada", 0.0, ERROR)


def test_a_fault_excuses_only_those_that_it_strikes() -> None:
    """One client's misfortune is no excuse for another's failure."""
    weather = Weather(Clock())
    weather.begin(1, fault(frozenset({"ada"})))
    assert weather.excuses("ada", 0.0, ERROR)
    assert not weather.excuses("bob", 0.0, ERROR)


@pytest.mark.parametrize(("blob", "is_excused"), [("p12", True), ("q7", True), ("p13", False)])
def test_damage_excuses_what_names_it(blob: str, is_excused: bool) -> None:
    """One of several; another blob is no reason."""
    weather = Weather(Clock())
    weather.begin(1, fault(blob=blob))
    assert weather.excuses("ada", 0.0, ERROR) == is_excused


def test_recovery_excuses_all_and_then_nothing() -> None:
    """While clients get on their feet, failures are the faults'; afterwards none that begins is."""
    clock = Clock()
    weather = Weather(clock)
    weather.end(weather.begin(1, fault()))
    clock.now = 60.0
    weather.begin_recovery()
    assert weather.excuses("ada", 60.0, ERROR)
    clock.now = 61.0
    weather.end(weather.begin(2, fault()))
    weather.begin_recovery()
    weather.end_recovery()
    assert not weather.excuses("ada", 61.0, ERROR)
    weather.begin(3, fault())
    assert weather.excuses("ada", 61.0, ERROR)


def test_damage_stands_while_it_lasts() -> None:
    """What began before it was healed may have met it; what began after did not."""
    clock = Clock()
    weather = Weather(clock)
    assert weather.damage(0.0) is None
    clock.now = 10.0
    injury = weather.begin(4, fault())
    assert weather.damage(11.0) is injury
    clock.now = 12.0
    weather.end(injury)
    assert weather.damage(11.9) is injury
    assert weather.damage(12.1) is None


def test_a_failure_has_damage_behind_it_only_while_that_stands() -> None:
    """And only if it names it: what has healed, and what is no damage, is behind none."""
    weather = Weather(Clock())
    injury = weather.begin(1, fault(blob="p12"))
    weather.begin(2, fault(blob="p13"))
    assert weather.damage_behind(ERROR) is injury
    assert weather.damage_behind(OperationFailed("restore failed: no route to host")) is None
    weather.end(injury)
    assert weather.damage_behind(ERROR) is None


def test_a_fault_that_nothing_has_met_excuses_nothing() -> None:
    """It is active, and still no reason; once something has met it, what ended before is not excused either."""
    clock = Clock()
    weather, misleading = Weather(clock), touching(clock)
    clock.now = 10.0
    weather.begin(1, misleading, began_tick=7)
    clock.now = 20.0
    assert not weather.excuses("ada", 15.0, ERROR)
    assert weather.veil(15.0) is None
    assert weather.spoiler(15.0, is_safe=False) is None
    misleading.struck_seconds = 18.0
    assert weather.excuses("ada", 15.0, ERROR)
    assert not weather.excuses("ada", 19.0, ERROR)


def test_a_veil_is_told_with_the_moment_since_which_it_hides() -> None:
    """Until it has healed, and for what began before that."""
    clock = Clock()
    weather, misleading = Weather(clock), touching(clock)
    misleading.struck_seconds = 0.0
    injury = weather.begin(1, misleading, began_tick=7)
    assert weather.veil(0.0) is injury
    assert injury.began_tick == 7
    assert weather.damage(0.0) is None
    clock.now = 3.0
    weather.end(injury)
    assert weather.veil(2.9) is injury
    assert weather.veil(3.1) is None


def test_what_a_collection_may_have_taken() -> None:
    """An unsafe one relies on what storage shows; a safe one waits long enough for a lag, and for no lie."""
    clock = Clock()
    weather, misleading = Weather(clock), touching(clock)
    misleading.struck_seconds = 0.0
    injury = weather.begin(1, misleading)
    assert weather.spoiler(0.0, is_safe=True) is None
    assert weather.spoiler(0.0, is_safe=False) is injury
    weather.end(injury)
    lie = touching(clock)
    lie.struck_seconds = 0.0
    type(lie).spoils_collections = True
    try:
        lying = weather.begin(2, lie)
        clock.now = 1.0
        assert weather.spoiler(0.5, is_safe=True) is lying
    finally:
        type(lie).spoils_collections = False
