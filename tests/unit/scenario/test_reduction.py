"""Reduction: only what shows the violation is believed, and what is left is small."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from snapstorm.scenario.recording import RecordedStep, Recording
from snapstorm.scenario.reduction import Reduction, joined, minimize, naturally_numbered


def step(name: str, client: int, action: str = "snapshot-root", **more: object) -> RecordedStep:
    return RecordedStep.model_validate({"name": name, "client": client, "action": action, **more})


@pytest.mark.parametrize("needed", [{0}, {199}, {3, 117}, {5, 6, 7}, set(range(0, 200, 40))])
def test_what_is_left_is_just_what_is_needed(needed: set[int]) -> None:
    """Whatever stands between, before and after it."""
    tries = 0

    async def is_enough(items: Sequence[int]) -> bool:
        nonlocal tries
        tries += 1
        return needed <= set(items)

    async def run() -> list[int]:
        return await minimize(range(200), is_enough)

    assert set(anyio.run(run)) == needed
    assert tries <= 100


def test_a_planted_bug_of_three_actions_is_found_in_two_hundred() -> None:
    """A write, a snapshot of it, and its restore, of four clients' long history."""
    steps = [
        step(f"c{client}-{number}", client, *action)
        for number in range(50)
        for client in range(1, 5)
        for action in [("write-random-files",) if number % 2 else ("snapshot-root",)]
    ]
    steps.append(step("last", 3, "restore-snapshot", of="c3-48"))
    tries = 0

    async def shows(recording: Recording) -> bool:
        nonlocal tries
        tries += 1
        names = [one.name for one in recording.steps]
        return "c3-47" in names and "last" in names

    async def run() -> Recording:
        reduction = Reduction(Recording(seed=1, steps=tuple(steps)), shows)
        await reduction.run()
        return reduction.best

    best = anyio.run(run)
    assert [one.action for one in best.steps] == ["write-random-files", "snapshot-root", "restore-snapshot"]
    assert tries <= 100


def test_restores_in_a_row_are_one_repeated() -> None:
    """Only of the same snapshot, and only what changes nothing."""
    recording = Recording(
        seed=1,
        steps=(
            step("s", 1),
            step("a", 1, "restore-snapshot", of="s"),
            step("b", 1, "restore-snapshot", of="s"),
            step("t", 1),
            step("c", 1, "restore-snapshot", of="t"),
            step("d", 1, "restore-snapshot", of="s", after=("b",)),
        ),
    )
    found = joined(recording).steps
    assert [(one.name, one.repeat) for one in found] == [("s", 1), ("a", 2), ("t", 1), ("c", 1), ("d", 1)]
    assert found[-1].after == ("a",)


def test_natural_numbers_are_those_of_a_run_of_just_these_steps() -> None:
    """Repetitions count as steps."""
    recording = Recording(
        seed=1,
        run=7,
        steps=(
            step("x", 2, draws=("client-9@snapstorm", 4)),
            step("y", 2, "restore-snapshot", of="x", repeat=3),
            step("z", 2, after=("y",)),
        ),
    )
    plain = naturally_numbered(recording)
    assert plain.run == 1
    assert [(one.name, one.of, one.after, one.draws) for one in plain.steps] == [
        ("client-2-1", None, (), None),
        ("client-2-2", "client-2-1", (), None),
        ("client-2-5", None, ("client-2-2",), None),
    ]
