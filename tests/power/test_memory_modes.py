"""The power of the judge on targets of other kinds: honest ones stay green in every mode of the simulated target, and
what breaks in one is found.

Clients share a repository, or authenticate nowhere; operations exclude each other; a check is of everybody's snapshots;
errors name no blob; listings tell no counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.power.rechecked import check_rechecked
from tests.power.runs import run_to_end
from tests.power.seeds import seeds
from tests.power.test_fault_defects import PACE, SIMULATED, UNDER_STORM, EndOfStorm
from tests.power.test_memory_defects import SCENARIO

from snapstorm.errors import OperationPartial
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import TargetPlace
from snapstorm.model.verdict import Verdict
from snapstorm.model.work import WorkKind
from snapstorm.run import harness as harness_module
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.result import RunResult
from snapstorm.scenario.scenarios import Scenario
from snapstorm.targets.memory import MemoryTarget
from snapstorm.targets.memory.target import MemoryServer
from snapstorm.targets.workload import LOSS
from snapstorm.testbed.control import Control

Modes = Mapping[str, str]

SHARED: Modes = {"clients": "shared"}
OPEN: Modes = {"clients": "open"}
WAITING: Modes = {"locks": "wait"}
REFUSING: Modes = {"locks": "refuse"}
WHOLE: Modes = {"check": "whole"}
UNNAMED: Modes = {"damage": "unnamed"}
BARE: Modes = {"listings": "bare"}
WHOLE_TREES: Modes = {"trees": "whole"}
ALL: Modes = {**SHARED, **REFUSING, **WHOLE, **UNNAMED, **BARE, **WHOLE_TREES}
HONEST: Sequence[Modes] = (SHARED, OPEN, WAITING, REFUSING, WHOLE, UNNAMED, BARE, WHOLE_TREES, ALL)

LOSS_OF_THREE = LOSS.model_copy(update={"clients": 3})
"""No later snapshot stores again what is lost."""
RIGHTS = ("remove-user", "change-password", "narrow-rights", "append-only")
CALM_SEEDS, STORM_SEEDS, ALL_SEEDS = 1, 1, 8
STORMS_BY_DEFAULT: Sequence[Modes] = (OPEN, WAITING, ALL)
"""What the others change is in one of these, too."""


def run_once(
    testbed: Path, modes: Modes, seed: int, *faults: str, scenario: Scenario = SCENARIO, seconds_max: float = 5.0
) -> RunResult:
    """One short run, with or without a storm, which comes to the same when it is judged again."""
    control = Control()
    options = HarnessOptions(
        testbed=testbed,
        target="memory",
        seed=seed,
        operation_seconds_max=seconds_max,
        keep_going=True,
        parameters=modes,
        faults=faults,
        fault_pace=PACE,
        recovery_seconds_max=0.001,  # One try is always made, and is enough.
    )
    result = run_to_end(options, scenario, EndOfStorm(control, faults, None), control)
    check_rechecked(testbed, result, unrecorded_max=2 if faults else 0)
    return result


def mode_id(modes: Modes) -> str:
    return "-".join(modes.values())


@pytest.mark.parametrize("modes", HONEST, ids=mode_id)
@pytest.mark.parametrize("seed", seeds(CALM_SEEDS, ALL_SEEDS))
def test_an_honest_target_passes_in_each_mode(modes: Modes, seed: int, scratch: Path) -> None:
    """Twice on one testbed, with restores of snapshots of the first run in the second."""
    for again in (False, True):
        result = run_once(scratch / "testbed", modes, seed)
        assert result.verdict is Verdict.PASS, result.as_json()
        assert result.tally.restores_verified > 10
        assert result.snapshots_in_doubt == 0
        assert bool(result.tally.restores_verified_earlier_runs) == again
        assert bool(result.tally.locked_out) == (modes.get("locks") == "refuse")
        assert sum(counts["locked"] for counts in result.tally.actions.values()) == 0
        assert result.tally.isolates_clients == ("clients" not in modes)
        tried = {WorkKind.WRONG_PASSWORD: 1, WorkKind.REMOVED_CLIENT: 1}
        assert result.tally.refused == ({} if modes == OPEN else tried)


@pytest.mark.parametrize(
    "modes",
    [pytest.param(modes, marks=() if modes in STORMS_BY_DEFAULT else pytest.mark.long) for modes in HONEST],
    ids=mode_id,
)
@pytest.mark.parametrize("seed", seeds(STORM_SEEDS, ALL_SEEDS))
def test_an_honest_target_passes_in_a_storm_in_each_mode(modes: Modes, seed: int, scratch: Path) -> None:
    """Faults strike, also such that damage what is stored; nothing is violated, and all is verified at the end."""
    faults = tuple(fault for fault in SIMULATED if modes != OPEN or fault not in RIGHTS)
    result = run_once(scratch / "testbed", modes, seed, *faults, scenario=UNDER_STORM)
    assert result.verdict is Verdict.PASS, result.as_json()
    assert result.tally.faults.keys() == set(faults)
    assert result.tally.sweep_left == 0
    assert result.snapshots_in_doubt == 0


class Client:
    """A client that does everything as the honest one does. A subclass does one thing wrong."""

    def __init__(self, server: MemoryServer, honest: Any, name: str, others: Mapping[str, Client]) -> None:
        self.server, self.honest, self.name, self._clients = server, honest, name, others

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)

    async def others_snapshots(self) -> Sequence[ListedSnapshot]:
        """What the honest target shows of other clients' snapshots, the newest first."""
        return [one for one in await self.honest.list_snapshots() if one.client != self.name][::-1]

    async def drop_anothers(self) -> None:
        for snapshot in (await self.others_snapshots())[:1]:
            await self.honest.delete_snapshot(snapshot.id)


class CreateLosesAnothers(Client):
    """A creation loses the newest snapshot of another client."""

    async def create_snapshot(self, source: Path, operation: str) -> Any:
        await self.drop_anothers()
        return await self.honest.create_snapshot(source, operation)


class DeleteTakesAnothers(Client):
    """A deletion takes the newest snapshot of another client, too."""

    async def delete_snapshot(self, snapshot: str) -> None:
        await self.honest.delete_snapshot(snapshot)
        await self.drop_anothers()


class ListChanged(Client):
    """A listing shows something else in place of the newest snapshot of another client."""

    def change(self, shown: ListedSnapshot) -> Sequence[ListedSnapshot]:
        raise NotImplementedError

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        others = [one.id for one in await self.others_snapshots()][:1]
        shown = await self.honest.list_snapshots()
        return tuple(new for one in shown for new in (self.change(one) if one.id in others else [one]))


class ListInvents(ListChanged):
    """One that nobody has asked for."""

    def change(self, shown: ListedSnapshot) -> Sequence[ListedSnapshot]:
        return [shown, replace(shown, id="f" * 32, operation="r0-nobody-1")]


class ListShowsTwice(ListChanged):
    """Two where one was asked for."""

    def change(self, shown: ListedSnapshot) -> Sequence[ListedSnapshot]:
        return [shown, replace(shown, id="f" * 32)]


class ListGivesToAnother(ListChanged):
    """One of the client that asks."""

    def change(self, shown: ListedSnapshot) -> Sequence[ListedSnapshot]:
        return [replace(shown, client=self.name)]


class ListMovesSource(ListChanged):
    """One of another source."""

    def change(self, shown: ListedSnapshot) -> Sequence[ListedSnapshot]:
        return [replace(shown, source="/elsewhere")]


class ListMiscounts(ListChanged):
    """One with another number of files, which none has."""

    def change(self, shown: ListedSnapshot) -> Sequence[ListedSnapshot]:
        assert shown.particulars is not None
        return [replace(shown, particulars=shown.particulars._replace(files=(shown.particulars.files or 0) + 1_000))]


class ListMisdates(ListChanged):
    """One that was begun an hour earlier."""

    def change(self, shown: ListedSnapshot) -> Sequence[ListedSnapshot]:
        assert shown.particulars is not None
        began_us = (shown.particulars.began_us or 0) - 3_600_000_000
        return [replace(shown, particulars=shown.particulars._replace(began_us=began_us))]


class ListRemembersAnothers(Client):
    """A listing goes on to show what another client has deleted."""

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        seen = self.__dict__.setdefault("seen", {})
        shown = await self.honest.list_snapshots()
        seen.update((one.id, one) for one in shown if one.client != self.name)
        return (*(one for one in shown if one.client == self.name), *seen.values())


class LockStays(Client):
    """The 20th operation leaves the repository locked, with nobody at work."""

    begun = 0

    async def create_snapshot(self, source: Path, operation: str) -> Any:
        receipt = await self.honest.create_snapshot(source, operation)
        LockStays.begun += 1
        if LockStays.begun % 20 == 0:
            await self.server.lock._free.acquire()
        return receipt


class LosesContent(Client):
    """Once the first client has a snapshot, the content of a file of it is lost."""

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        shown: tuple[ListedSnapshot, ...] = await self.honest.list_snapshots()
        store = self.server.store
        if self.name.startswith("client-1@") and (own := store.of(self.name)):
            store.drop_blob(next(item.digest for item in own[0].items if item.size))
        return shown


class CheckPasses(LosesContent):
    """A check that another client than the one that has lost something asks for finds nothing wrong."""

    async def verify_snapshots(self) -> None:
        if self.name.startswith("client-1@"):
            await self.honest.verify_snapshots()


class CheckComplains(Client):
    """The check complains of what is whole."""

    async def verify_snapshots(self) -> None:
        raise OperationPartial("verify found damage: nothing was there")


class Planted(MemoryTarget):
    """The simulated target with clients of one of these kinds."""

    def __init__(self, kind: type[Client]) -> None:
        super().__init__()
        self._kind = kind

    @asynccontextmanager
    async def serve(self, place: TargetPlace) -> AsyncIterator[MemoryServer]:
        async with super().serve(place) as server:
            honest_client, clients = server.client, dict[str, Client]()

            def client(name: str) -> Client:
                return clients.setdefault(name, self._kind(server, honest_client(name), name, clients))

            setattr(server, "client", client)  # noqa: B010 - a method, to a type checker
            yield server


Plant = Callable[[type[Client]], None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Has runs find the simulated target with clients of this kind."""

    def planted(kind: type[Client]) -> None:
        monkeypatch.setattr(harness_module, "find_target", lambda *_, **__: lambda _runner: Planted(kind))

    return planted


LISTED = Guarantee.ACKNOWLEDGED_STAYS_LISTED


@pytest.mark.parametrize(
    ("kind", "modes", "guarantee"),
    [
        (CreateLosesAnothers, SHARED, LISTED),
        (CreateLosesAnothers, OPEN, LISTED),
        (CreateLosesAnothers, ALL, LISTED),
        (DeleteTakesAnothers, SHARED, LISTED),
        (DeleteTakesAnothers, ALL, LISTED),
        (ListInvents, SHARED, Guarantee.NOTHING_UNREQUESTED),
        (ListInvents, ALL, Guarantee.NOTHING_UNREQUESTED),
        (ListShowsTwice, SHARED, Guarantee.NOTHING_UNREQUESTED),
        (ListGivesToAnother, SHARED, LISTED),
        (ListMovesSource, SHARED, LISTED),
        (ListMiscounts, SHARED, LISTED),
        (ListMiscounts, ALL, LISTED),
        (ListMisdates, {**SHARED, **BARE}, LISTED),
        (ListRemembersAnothers, SHARED, Guarantee.DELETED_STAYS_GONE),
        (LockStays, WAITING, Guarantee.AVAILABLE),
        (LockStays, REFUSING, Guarantee.AVAILABLE),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else mode_id(value) if isinstance(value, dict) else "",
)
def test_what_breaks_in_a_mode_is_found(
    kind: type[Client], modes: Modes, guarantee: Guarantee, scratch: Path, plant: Plant
) -> None:
    """A wrong listing breaks nothing else, and is one of a snapshot of another client than the one that is shown it."""
    plant(kind)
    result = run_once(scratch / "testbed", modes, 1, seconds_max=0.3 if kind is LockStays else 5.0)
    assert result.verdict is Verdict.VIOLATED, result.as_json()
    found = result.tally.violations
    assert guarantee in {violation.guarantee for violation in found}
    if issubclass(kind, (ListChanged, ListRemembersAnothers)):
        assert {violation.guarantee for violation in found} == {guarantee}
        if guarantee is not Guarantee.NOTHING_UNREQUESTED:
            assert not any(f"-{str(one.client).removesuffix('@snapstorm')}-" in str(one.operation) for one in found)


@pytest.mark.parametrize("kind", [CheckPasses, CheckComplains])
@pytest.mark.parametrize("modes", [WHOLE, ALL], ids=mode_id)
def test_a_check_of_the_whole_repository_that_lies_is_found(
    kind: type[Client], modes: Modes, scratch: Path, plant: Plant
) -> None:
    """Asked by a client that has lost nothing, while another one has; or while nobody has."""
    plant(kind)
    faults = ("unfinished-files",)  # The target's own check is compared after faults.
    scenario = LOSS_OF_THREE if kind is CheckPasses else SCENARIO
    result = run_once(scratch / "testbed", modes, 1, *faults, scenario=scenario)
    assert Guarantee.VERIFY_AGREES in {violation.guarantee for violation in result.tally.violations}


def test_a_loss_explains_why_a_check_asked_by_another_client_complains(scratch: Path, plant: Plant) -> None:
    """The check is honest, so all that is broken is what the loss has broken."""
    plant(LosesContent)
    result = run_once(scratch / "testbed", WHOLE, 1, "unfinished-files", scenario=LOSS_OF_THREE)
    assert {violation.guarantee for violation in result.tally.violations} == {Guarantee.RESTORED_EXACTLY}
    assert len({violation.client for violation in result.tally.violations}) == 1
