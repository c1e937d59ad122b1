"""A short run is broad, its draws follow from the seed alone, and what was drawn can be done again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.tricked import TrickedTarget

from snapstorm.filesystem.names import ODD_SHAPES
from snapstorm.model.verdict import Verdict
from snapstorm.replay.attempts import do_again
from snapstorm.replay.recordings import read_recorded
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.result import RunResult
from snapstorm.scenario.generator import FIRST_SIZE_BYTES_MAX
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.shipped_scenarios import shipped
from snapstorm.targets.memory.target import MemoryClient
from snapstorm.targets.plugin import MakeTarget
from snapstorm.testbed.testbed import read_testbed

pytestmark = pytest.mark.anyio
SECONDS_MAX = 120
RANDOMIZED = shipped("randomized")


def short(clients: int = 3, actions: int = 30, **more: Any) -> Scenario:
    """The default scenario, ended after so many actions."""
    update = {"clients": clients, "actions": actions, "duration_seconds": None, **more}
    return RANDOMIZED.model_copy(update=update)


async def run(testbed: Path, scenario: Scenario, seed: int = 1, make_target: MakeTarget | None = None) -> RunResult:
    options = HarnessOptions(testbed=testbed, target="memory", seed=seed, scenario=scenario.model_dump_json())
    with anyio.fail_after(SECONDS_MAX):
        async with open_harness(options, make_target=make_target) as harness:
            await harness.run_scenario(scenario)
            await harness.finish()
    return harness.result


def steps_of(testbed: Path) -> dict[str, list[tuple[str, str]]]:
    """By client what it did, with the options of each action."""
    steps: dict[str, list[tuple[str, str]]] = {}
    with read_testbed(testbed) as ledger:
        for operation in ledger.record.operations(1):
            if not operation.is_own:
                steps.setdefault(operation.client, []).append((operation.action, str(operation.options)))
    return steps


def manifests_of(testbed: Path) -> Mapping[str, str]:
    """By operation the digest of the tree that it took."""
    with read_testbed(testbed) as ledger:
        return {found.operation: found.manifest for found in ledger.expectations()}


@pytest.mark.parametrize("seed", range(4))
async def test_thirty_actions_of_a_default_run_leave_none_out(seed: int, scratch: Path) -> None:
    """Every action with weight is done, whichever the seed; snapshots are left to verify; the first files are small."""
    result = await run(scratch / "testbed", short(), seed)
    assert result.verdict is Verdict.PASS
    done = {key for key, counts in result.tally.actions.items() if counts["ok"]}
    assert done >= {key for key, weight in RANDOMIZED.weights.items() if weight}
    assert result.tally.sweep_verified > 0
    writes = [options for steps in steps_of(scratch / "testbed").values() for key, options in steps if "write" in key]
    assert len(writes) >= 3
    assert all("small_first" not in options for options in writes)


async def test_a_client_begins_with_one_of_each_kind(scratch: Path) -> None:
    """And its first snapshot holds them."""
    await run(scratch / "testbed", short(clients=1, actions=2))
    (steps,) = steps_of(scratch / "testbed").values()
    assert [key for key, _ in steps] == ["write-random-files", "snapshot-root"]
    assert "one_of_each" in steps[0][1]
    assert f"0..{FIRST_SIZE_BYTES_MAX}" in steps[0][1]
    with read_testbed(scratch / "testbed") as ledger:
        (found,) = ledger.expectations()
        names = [entry.path.rpartition(b"/")[2] for entry in ledger.manifest(found.manifest).entries]
    begins = [shape.partition("{}")[0].encode() for shape in ODD_SHAPES]
    assert all(any(name.startswith(begin) for name in names) for begin in begins)


@pytest.mark.parametrize(("options", "word"), [({"odd_percent": 0}, "one_of_each"), ({"odd_percent": 9}, "small")])
async def test_what_was_asked_for_is_done_as_it_stands(options: dict[str, Any], word: str, scratch: Path) -> None:
    """A scenario of plain files has nothing odd in it, and sizes of its own are drawn from the first step on."""
    scenario = short(options={"write-random-files": {"size_bytes": "3000000..3000001", **options}}, actions=8)
    await run(scratch / "testbed", scenario)
    writes = [given for steps in steps_of(scratch / "testbed").values() for key, given in steps if "write" in key]
    assert writes
    assert all(word not in given and "3000000..3000001" in given for given in writes)


async def test_draws_depend_on_no_timing(scratch: Path) -> None:
    """What a client does is the same where another one is slow; only how far each comes differs."""
    await run(scratch / "quick", short())
    others, enough = list[str](), anyio.Event()

    class LateClient(MemoryClient):
        """Client 1 asks for nothing before the others have asked for much."""

        @asynccontextmanager
        async def _operation(self) -> AsyncIterator[None]:
            if self._client.startswith("client-1@"):
                with anyio.move_on_after(5):
                    await enough.wait()
            else:
                others.append(self._client)
                if len(others) > 12:
                    enough.set()
            async with super()._operation():
                yield

    await run(scratch / "slow", short(), make_target=lambda _: TrickedTarget(LateClient))
    quick, slowed = steps_of(scratch / "quick"), steps_of(scratch / "slow")
    assert len(slowed["client-1@snapstorm"]) < len(quick["client-1@snapstorm"])
    for client, steps in quick.items():
        both = min(len(steps), len(slowed[client]))
        assert both
        assert steps[:both] == slowed[client][:both]


async def test_a_broad_run_can_be_done_again(scratch: Path) -> None:
    """Its recording holds what was chosen, so that a replay snapshots the same trees."""
    await run(scratch / "bed", short(clients=2, actions=16))
    with read_testbed(scratch / "bed") as ledger:
        recorded = read_recorded(ledger, 1)
    base = HarnessOptions(testbed=None, target="memory", seed=1)
    again = await do_again(base, recorded.scenario, scratch / "again")
    assert again.result is not None
    assert again.result.verdict is Verdict.PASS
    then, now = manifests_of(scratch / "bed"), manifests_of(scratch / "again")
    assert then
    assert sorted(then.values()) == sorted(now.values())
