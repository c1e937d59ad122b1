"""Recordings: what is kept of them when steps go, and what makes one impossible to do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from snapstorm.scenario.recording import RecordedFault, RecordedStep, Recording
from snapstorm.scenario.scenarios import Scenario


def step(name: str, client: int, action: str = "snapshot-root", **more: object) -> RecordedStep:
    return RecordedStep.model_validate({"name": name, "client": client, "action": action, **more})


RECORDING = Recording(
    seed=1,
    steps=(
        step("a1", 1, "write-random-files", count=3),
        step("b1", 2),
        step("a2", 1, after=("b1",)),
        step("c1", 3, after=("a1", "b1")),
        step("a3", 1, "restore-snapshot", id="latest", of="a2"),
    ),
    faults=(RecordedFault(key="slow-storage", number=1, after=("b1", "c1")),),
)


def test_what_acts_on_a_snapshot_goes_with_it() -> None:
    """A restore of a snapshot that is not taken any more is no step."""
    kept = RECORDING.keeping(["a1", "b1", "a3"])
    assert [one.name for one in kept.steps] == ["a1", "b1"]


def test_clients_are_numbered_anew_and_nobody_waits_for_who_is_gone() -> None:
    """A candidate is always a recording that can be done."""
    kept = RECORDING.keeping(["a2", "c1", "a3"])
    assert [(one.name, one.client, one.after) for one in kept.steps] == [("a2", 1, ()), ("c1", 2, ()), ("a3", 1, ())]
    assert kept.faults[0].after == ("c1",)
    assert kept.clients == 2
    assert kept.problems() == []


def test_in_sequence_each_waits_for_the_one_before() -> None:
    """And nothing else is changed."""
    assert [one.after for one in RECORDING.sequential().steps] == [(), ("a1",), ("b1",), ("a2",), ("c1",)]


def test_draws_follow_from_the_recorded_step_whoever_does_it() -> None:
    """So that the same files are written although clients and steps have other numbers now."""
    recorded = step("x", 2, draws=("client-7@snapstorm", 3))
    first = RECORDING.draws_of(recorded, "client-2@snapstorm", 1).random()
    assert first == RECORDING.draws_of(recorded, "client-1@snapstorm", 9).random()
    plain = step("y", 2)
    assert first != RECORDING.draws_of(plain, "client-2@snapstorm", 1).random()
    assert RECORDING.draws_of(plain, "client-7@snapstorm", 3).random() == first


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([step("a", 1), step("a", 1)], "twice"),
        ([step("a", 1, after=("b",)), step("b", 2)], "does not come before"),
        ([step("a", 1, "restore-snapshot", of="z")], "does not come before"),
        ([step("a", 1, "jump")], "has an unknown action"),
    ],
)
def test_what_can_not_be_done_is_refused(steps: list[RecordedStep], words: str) -> None:
    """In one line, when the scenario is read."""
    recording = Recording(seed=1, steps=tuple(steps))
    with pytest.raises(ValidationError, match=words):
        Scenario(name="x", recorded=recording)


def test_the_clients_that_are_kept_keep_their_clocks() -> None:
    """They are renumbered, and their clocks with them."""
    steps = [RecordedStep(name=f"s{number}", client=number, action="list-snapshots") for number in (1, 2, 3)]
    recording = Recording(seed=1, steps=tuple(steps), clock_skews=("1s", "2s", "3s"))
    assert recording.keeping(["s1", "s3"]).clock_skews == ("1s", "3s")
    assert recording.keeping(["s3"]).clock_skews == ("3s",)
    assert Recording(seed=1, steps=tuple(steps)).keeping(["s2"]).clock_skews == ()
