"""Every action is performed by something, which gives what the action promises; one that is not is refused at once."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import pytest
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.actions.client import Client
from snapstorm.actions.engine import Engine
from snapstorm.actions.parts import SHIPPED
from snapstorm.actions.performer import _PERFORMERS, Performer, performer_of, performs
from snapstorm.actions.step import Step, StepResult
from snapstorm.errors import HarnessError
from snapstorm.filesystem.tree_changes import TREE_CHANGES, changes_tree
from snapstorm.filesystem.tree_step import Result, TreeStep
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.action_results import Comparison, ListedSnapshot, TakenSnapshot, WriteReport
from snapstorm.model.actions import (
    ACTIONS,
    Action,
    Creation,
    DeleteSnapshot,
    FileAction,
    Inspection,
    ListSnapshots,
    RestoreRandomSnapshot,
    RunGc,
    SnapshotRoot,
    WriteRandomFiles,
)
from snapstorm.model.outcomes import Ok, Outcome
from snapstorm.scenario.scenarios import parse_scenario
from snapstorm.targets.memory import MemoryTarget
from snapstorm.testbed.identity import acting_as

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test defines is gone after it."""
    tables: list[dict[Any, Any]] = [ACTIONS, _PERFORMERS, TREE_CHANGES]
    kept = [(table, dict(table)) for table in tables]
    yield
    for table, content in kept:
        table.clear()
        table.update(content)


async def types_of_results(client: Client, engine: Engine, step: Step) -> None:
    """Not run, but read by mypy and pyright: results are inferred from actions."""
    assert_type(await client.execute(SnapshotRoot()), TakenSnapshot)
    assert_type(await client.execute(RestoreRandomSnapshot()), Comparison)
    assert_type(await client.execute(ListSnapshots()), tuple[ListedSnapshot, ...])
    assert_type(await client.execute(WriteRandomFiles()), WriteReport)
    assert_type(await engine.perform(step, SnapshotRoot()), StepResult[TakenSnapshot])
    await client.execute(RunGc())
    await client.execute(DeleteSnapshot())

    class OfAnother(Performer[Comparison]):
        async def perform(self, step: Step, action: SnapshotRoot) -> Outcome[Comparison]:
            raise NotImplementedError

    performs(SnapshotRoot)(OfAnother)  # type: ignore[arg-type]  # what this is about


def promised(action: type[Action[Any]]) -> Any:
    """The type of an action's result."""
    for base in action.__mro__:
        made_from = base.__dict__.get("__pydantic_generic_metadata__", {})
        if made_from.get("origin") in (Action, Inspection) and not isinstance(made_from["args"][0], typing.TypeVar):
            return made_from["args"][0]
    raise AssertionError(action)


def test_each_action_is_performed_by_what_gives_its_result() -> None:
    """Whoever adds an action must say what performs it."""
    assert ACTIONS
    for key, action in ACTIONS.items():
        (base,) = performer_of(action).__orig_bases__  # type: ignore[attr-defined]  # as typing makes it
        assert base.__args__[0] in (promised(action), type(promised(action))), key


def test_each_shipped_module_of_performers_is_known() -> None:
    """What performs stands in the modules that `parts` imports, and nowhere else."""
    homes = {performer.__module__ for performer in _PERFORMERS.values()}
    assert homes == {module.__name__ for module in SHIPPED}


async def why_refused(scratch: Path) -> str:
    """What the set-up of a run says of the actions that there are now."""
    run = OneRun(scratch)
    async with MemoryTarget().serve(run.place) as server:
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        with pytest.raises(HarnessError) as caught:
            run.parts(writer, server.client(CLIENT), server)
    run.ledger.close()
    return str(caught.value)


@pytest.mark.parametrize("family", [Creation, FileAction])
async def test_an_action_that_nothing_performs_is_refused_before_the_run(
    family: type[Action[Any]], scratch: Path
) -> None:
    """One line names it; a run would have ended in the midst of it."""
    type("Nothing", (family,), {"key": "do-nothing", "__module__": "elsewhere"})
    assert await why_refused(scratch) == "nothing performs the action do-nothing: elsewhere.Nothing"


async def test_a_part_that_there_is_not_is_refused_before_the_run(scratch: Path) -> None:
    """A slip of the keyboard in a constructor is told in one line."""

    @performs(RunGc)
    class Collecting(Performer[None]):
        def __init__(self, ledger: Any, operation: Any) -> None:
            """Asks for one part that there is, and one that there is not."""

        async def perform(self, step: Step, action: RunGc) -> Outcome[None]:
            raise NotImplementedError

    assert await why_refused(scratch) == "Collecting asks for parts that there are not: operation"


def test_two_actions_of_one_key_are_refused() -> None:
    """Which of them a scenario means could not be told."""
    with pytest.raises(TypeError, match="two actions are called snapshot-root: SnapshotRoot and Another"):
        type("Another", (Creation,), {"key": "snapshot-root"})


async def test_an_action_and_what_performs_it_are_added_in_one_place(scratch: Path) -> None:
    """Scenario files know it, it has the traits of its family, and it is performed with the parts that it names."""

    class SnapshotTwice(Creation):
        """Take two snapshots, one after the other."""

        key = "snapshot-twice"

    @performs(SnapshotTwice)
    class SnapshotTwicePerformer(Performer[TakenSnapshot]):
        def __init__(self, creations: Any) -> None:
            self._creations = creations

        async def perform(self, step: Step, action: SnapshotTwice) -> Outcome[TakenSnapshot]:
            await self._creations.snapshot(step, b"")
            found: Outcome[TakenSnapshot] = await self._creations.snapshot(step, b"")
            return found

    class WriteOne(FileAction):
        """Write one file."""

        key = "write-one"

    @changes_tree(WriteOne, lambda _: "")
    def write_one(step: TreeStep, action: WriteOne) -> Result:
        return step.write_files(WriteRandomFiles(count=1, depth=0, odd_percent=0))

    scenario = parse_scenario('name = "x"\nsteps = [{action = "snapshot-twice"}]\nweights = {write-one = 1}', "x")
    assert [type(step.make()) for step in scenario.steps] == [SnapshotTwice]
    assert SnapshotTwice.asks_for == SnapshotRoot.asks_for
    run = OneRun(scratch)
    async with MemoryTarget().serve(run.place) as server:
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        engine = run.parts(writer, server.client(CLIENT), server).engine
        with acting_as(CLIENT):
            assert await engine.execute_random({"write-one": 1}) == Ok(WriteReport(1, writer.bytes_total, 0, 0))
            assert isinstance(await engine.execute(SnapshotTwice()), Ok)
            assert run.ledger.count_live(CLIENT) == 2
    run.ledger.close()
