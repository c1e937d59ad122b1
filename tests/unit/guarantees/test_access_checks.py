"""Who was removed must stay out, and who was not must still get in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.tricked import TrickedServer, TrickedTarget
from tests.unit.one_run import new_context

from snapstorm.errors import AccessDenied, HarnessError, OperationUnknown, TargetError
from snapstorm.faults.weather import Weather
from snapstorm.guarantees.access_checks import AccessChecks
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.seen import LetInSeen
from snapstorm.model.verdict import Verdict
from snapstorm.model.work import WorkKind
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.result import RunResult
from snapstorm.scenario.scenarios import Scenario
from snapstorm.targets.memory.target import MemoryClient
from snapstorm.testbed.machine_check import MachineCheck

SCENARIO = Scenario.model_validate(
    {"name": "locks", "clients": 3, "steps": [{"action": "write-random-files"}, {"action": "snapshot-root"}]}
)


def run_once(testbed: Path, target: TrickedTarget | None = None) -> RunResult:
    async def body() -> RunResult:
        options = HarnessOptions(testbed=testbed, target="memory", seed=1)
        async with open_harness(options, make_target=lambda _: target or TrickedTarget()) as harness:
            await harness.run_scenario(SCENARIO)
            await harness.finish()
        return harness.result

    return anyio.run(body)


def test_who_must_be_refused_is_counted(scratch: Path) -> None:
    """An honest run passes, having tried both locks once."""
    result = run_once(scratch / "testbed")
    assert result.verdict is Verdict.PASS
    assert result.tally.refused == {WorkKind.WRONG_PASSWORD: 1, WorkKind.REMOVED_CLIENT: 1}


class RemovingAll(TrickedServer):
    """Removes every client when it is told to remove one."""

    async def remove_client(self, client: str) -> None:
        self.store.set_users(frozenset())


def test_a_removal_that_shuts_others_out_is_reported(scratch: Path) -> None:
    """One client is removed, and with it all are: those who stay are not served, which breaks `available`."""
    result = run_once(scratch / "testbed", TrickedTarget(server=RemovingAll))
    assert [violation.guarantee for violation in result.tally.violations] == [Guarantee.AVAILABLE]


class NonsenseClient(MemoryClient):
    """Gets an answer that makes no sense where it must be refused."""

    def _check_access(self) -> None:
        try:
            super()._check_access()
        except AccessDenied:
            raise OperationUnknown("the answer made no sense") from None


class NonsenseForImpostors(TrickedServer):
    def impostor(self, client: str) -> MemoryClient:
        return NonsenseClient(self, client, knows_password=False)


@pytest.mark.parametrize(
    ("target", "who"),
    [
        (TrickedTarget(server=NonsenseForImpostors), WorkKind.WRONG_PASSWORD),
        (TrickedTarget(NonsenseClient), WorkKind.REMOVED_CLIENT),
    ],
)
def test_an_answer_that_is_no_refusal_is_never_a_pass(target: TrickedTarget, who: WorkKind, scratch: Path) -> None:
    """Who tries to get in finds the target broken, each time: nobody knows whether they would be refused."""
    result = run_once(scratch / "testbed", target)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason.startswith(f"whether {who} is refused could not be judged")
    assert f"whether {who} is refused could not be judged: the answer made no sense" in result.tally.notes


class Door:
    """Answers who tries to get in, one answer after the other."""

    def __init__(self, answers: Sequence[TargetError | None]) -> None:
        self.answers = list(answers)

    async def list_snapshots(self) -> Sequence[object]:
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer
        return []


BROKEN, DENIED = OperationUnknown("broken"), AccessDenied("no")


@pytest.mark.parametrize(
    ("answers", "is_excused", "outcome"),
    [
        ([DENIED], False, "refused"),
        ([BROKEN, DENIED], False, "refused"),
        ([BROKEN, BROKEN], False, "unjudged"),
        ([BROKEN], True, "noted"),
        ([None], False, "let in"),
        ([BROKEN, None], False, "let in"),
    ],
)
def test_another_error_is_tried_again_unless_a_fault_excuses_it(
    answers: Sequence[TargetError | None], is_excused: bool, outcome: str
) -> None:
    """Under a fault errors are expected, and a note is enough; without one the second one counts."""
    reports: list[str] = []
    checks = new_checks(reports, MachineCheck())
    if is_excused:
        checks.weather.begin_recovery()
    door: Any = Door(answers)
    anyio.run(lambda: checks.must_be_refused(door, "client-1", "a removed client", connects=False))
    tally = checks.run.tally
    assert door.answers == []
    assert tally.refused == ({"a removed client": 1} if outcome == "refused" else {})
    assert tally.refusals_unjudged == (["a removed client"] if outcome == "unjudged" else [])
    assert len(tally.notes) == (outcome in ("unjudged", "noted"))
    assert len(reports) == (outcome == "let in")


def test_the_machine_is_to_blame_for_its_own_failures() -> None:
    """Memory that has run out says nothing about who is refused, and ends the run."""
    kills = iter((0, 1))
    checks = new_checks([], MachineCheck(count_kills=lambda: next(kills)))
    door: Any = Door([BROKEN])
    with pytest.raises(HarnessError, match="out of memory"):
        anyio.run(lambda: checks.must_be_refused(door, "client-1", "a removed client", connects=False))


class Reports:
    """Stands for the checker: keeps the words of what was seen."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def observe(self, seen: LetInSeen) -> None:
        self._words.append(seen.words)


def new_checks(reports: list[str], machine: MachineCheck) -> AccessChecks:
    checker: Any = Reports(reports)
    run = new_context()
    return AccessChecks(run, Weather(run.now_seconds), machine, checker)
