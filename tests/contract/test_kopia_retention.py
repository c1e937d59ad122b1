"""What our oracle says that a retention policy keeps is what Kopia keeps, for policies whose periods can't collide
there; and a testbed's policy stays set."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import anyio
import pytest
from tests.contract.bench import Client, open_bench
from tests.contract.test_kopia import HOURS_TO_READ_BYTES, is_open
from tests.waiting import until

from snapstorm.model.protocols import Mode
from snapstorm.model.retention import KeepPolicy, Period, Retention, kept_by
from snapstorm.targets.kopia.discovery import find_version
from snapstorm.targets.kopia.snapshotter import KopiaClient
from snapstorm.targets.programs import Programs

pytestmark = pytest.mark.anyio

JUMPS = [timedelta(minutes=20), timedelta(hours=1), timedelta(hours=9), timedelta(days=1), timedelta(days=3)]
JUMPS += [timedelta(days=8), timedelta(days=31), timedelta(days=200)]
POLICIES = 8
MOMENTS = 24


def random_policy(draws: random.Random) -> KeepPolicy:
    """Never weeks and months together: Kopia gives both the same ids."""
    counts = {period.value: draws.choice((0, 1, 2, 3, 6)) for period in Period}
    counts[draws.choice(("weekly", "monthly"))] = 0
    return KeepPolicy(**counts) if any(counts.values()) else KeepPolicy(latest=2)


def random_moments(draws: random.Random) -> list[datetime]:
    """Not always later than the one before: clocks of clients differ."""
    moments = [datetime(2021, 11, 28, 23, 50, tzinfo=UTC)]
    while len(moments) < MOMENTS:
        moments.append(moments[-1] + draws.choice(JUMPS))
    moments.insert(MOMENTS // 2, moments[MOMENTS // 3] + timedelta(seconds=7))
    return moments


def stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


class PolicySources:
    """Sources of one client, each with a policy of its own, and what the oracle says that they keep."""

    def __init__(self, client: Client, policies: list[KeepPolicy]) -> None:
        self._kopia = cast(KopiaClient, client.snapshotter)
        self._policies = {client.data / f"source-{number}": policy for number, policy in enumerate(policies)}
        self._kept: dict[Path, dict[str, int]] = {source: {} for source in self._policies}

    async def prepare(self) -> None:
        for source, policy in self._policies.items():
            source.mkdir()
            target = f"{self._kopia.identity}:{source}"
            completed = await self._kopia.kopia.set_retention(self._kopia.actor, target, policy)
            assert completed.exit_code == 0, completed.stderr

    async def snapshot(self, moment: datetime) -> None:
        """Of all sources at once, dated at this moment."""
        dated = [f"--start-time={stamp(moment)}", f"--end-time={stamp(moment)}"]
        await self._run("snapshot", "create", *dated, *map(str, self._policies))
        for source, policy in self._policies.items():
            taken_us = self._kept[source]
            taken_us[f"{len(taken_us)} {moment.isoformat()}"] = round(moment.timestamp()) * 10**6
            kept = kept_by(Retention(policy=policy, ends_at_latest=True), taken_us)
            self._kept[source] = {name: taken_us[name] for name in kept}

    async def compare(self) -> None:
        found: dict[Path, list[int]] = {source: [] for source in self._policies}
        for entry in json.loads(await self._run("snapshot", "list", "--json")):
            at = datetime.fromisoformat(entry["startTime"])
            found[Path(entry["source"]["path"])].append(round(at.timestamp()) * 10**6)
        for source, policy in self._policies.items():
            assert sorted(found[source]) == sorted(self._kept[source].values()), str(policy)

    async def _run(self, *words: str) -> bytes:
        completed = await self._kopia.kopia.run(self._kopia.actor, *words)
        assert completed.exit_code == 0, completed.stderr
        return completed.stdout


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("version", [pytest.param("0.19.0", marks=pytest.mark.long), "0.23.1"])
async def test_kopia_keeps_what_the_oracle_keeps(version: str, seed: int, module_directory: Path) -> None:
    draws = random.Random(seed)
    async with open_bench("kopia", module_directory / f"{version}-{seed}", Mode.DIRECT) as bench:
        client = await bench.client()
        snapshotter = cast(KopiaClient, client.snapshotter)
        programs = Programs([find_version(version)], 0)
        client.snapshotter = replace(snapshotter, kopia=replace(snapshotter.kopia, programs=programs))
        sources = PolicySources(client, [random_policy(draws) for _ in range(POLICIES)])
        await sources.prepare()
        for number, moment in enumerate(random_moments(draws), start=1):
            await sources.snapshot(moment)
            if number % 4 == 0:
                await sources.compare()
        await sources.compare()


@pytest.mark.parametrize("mode", [Mode.SERVER, Mode.DIRECT])
async def test_the_policy_of_a_testbed_acts_on_every_source(mode: Mode, module_directory: Path) -> None:
    """Through a server and without one; also after an expiry that had narrowed it, which is set back to that policy."""
    policy = KeepPolicy(latest=2)
    async with open_bench("kopia", module_directory / f"of-testbed-{mode}", mode, retention=policy) as bench:
        client = await bench.client()
        for source in (client.data, client.directory / "other"):
            source.mkdir(exist_ok=True)
            taken = [(await client.snapshot(source))[0] for _ in range(3)]
            assert {entry for entry in await client.listed() if entry in taken} == set(taken[1:])
        await client.snapshotter.expire_snapshots(client.data, 1)
        assert "--keep-latest=2" in bench.commands[-1].argv
        assert len(await client.listed()) == 1 + 2
        await client.snapshot()
        await client.snapshot()
        assert len(await client.listed()) == 2 + 2


async def test_incomplete_snapshots_count_for_nothing(module_directory: Path) -> None:
    """One that was cut off takes no place of a complete one, and goes once a complete one is later."""
    policy = KeepPolicy(latest=2)
    async with open_bench("kopia", module_directory / "incomplete", Mode.DIRECT, retention=policy) as bench:
        client = await bench.client()
        taken = [(await client.snapshot())[0] for _ in range(2)]
        large = client.data / "large"
        large.touch()
        os.truncate(large, HOURS_TO_READ_BYTES)
        async with anyio.create_task_group() as group:
            group.start_soon(client.snapshotter.create_snapshot, client.data, "cut-off")
            await until(lambda: is_open(large))
            group.cancel_scope.cancel()
        assert [entry.operation for entry in await client.snapshotter.list_snapshots() if entry.incomplete] == [
            "cut-off"
        ]
        assert await client.listed() == set(taken)
        large.unlink()
        taken.append((await client.snapshot())[0])
        assert {entry.id for entry in await client.snapshotter.list_snapshots()} == set(taken[1:])
