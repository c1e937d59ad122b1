"""The power of the judge over what a retention policy keeps: each planted defect is found, as that and as nothing else,
and honest targets stay green, whatever the policy and however much time passes between snapshots."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.power.rechecked import check_rechecked
from tests.power.seeds import seeds

from snapstorm.errors import ActionNotDone, GuaranteeViolated
from snapstorm.model.actions import (
    Action,
    AdvanceTime,
    DeleteRandomSnapshot,
    ListSnapshots,
    RestoreRandomSnapshot,
    SnapshotRoot,
    SnapshotSubpath,
    WriteRandomFiles,
)
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.retention import KeepPolicy, Period, kept_by
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.result import RunResult
from snapstorm.targets.memory import wrong_retention
from snapstorm.targets.memory.target import Keep, MemoryTarget

START = "2025-01-05T12:00:00Z"
"""A Sunday: 52 of them are in as many weeks, and in all months of a year."""
DAY = AdvanceTime(days=1)
WEEK = AdvanceTime(days=7)
JUMPS = (
    *(AdvanceTime(hours=hours) for hours in (0.5, 1, 7)),
    DAY,
    *(AdvanceTime(days=days) for days in (1, 3, 8, 31, 200)),
)
HONEST_SEEDS = 6
ALL_SEEDS = 60


def run(testbed: Path, policy: KeepPolicy, steps: Sequence[Action[Any]], keep: Keep) -> RunResult:
    """Two clients do all these steps in virtual time. What was recorded is judged again."""

    async def body() -> RunResult:
        target = MemoryTarget(keep=keep)
        options = HarnessOptions(
            testbed=testbed, target="memory", seed=1, keep_going=True, retention=policy, virtual_start=START
        )
        async with open_harness(options, make_target=lambda _: target) as harness:
            clients = await harness.connect_clients(2)
            for step in steps:
                for client in clients[:1] if isinstance(step, AdvanceTime) else clients:
                    with suppress(GuaranteeViolated, ActionNotDone):
                        await client.execute(step)
            await harness.finish()
        return harness.result

    result = anyio.run(body)
    check_rechecked(testbed, result)
    return result


def random_steps(draws: random.Random, count: int) -> list[Action[Any]]:
    steps: list[Action[Any]] = [WriteRandomFiles(count=3)]
    for _ in range(count):
        steps += [draws.choice(JUMPS), SnapshotRoot()]
        more = (ListSnapshots(), RestoreRandomSnapshot(), SnapshotSubpath(), DeleteRandomSnapshot(), WriteRandomFiles())
        steps += draws.sample(more, draws.randrange(3))
    return steps


def random_policy(draws: random.Random) -> KeepPolicy:
    counts = {period.value: draws.choice((0, 0, 1, 2, 3, 7)) for period in Period}
    return KeepPolicy(**counts) if any(counts.values()) else KeepPolicy(latest=2)


@pytest.mark.parametrize("seed", seeds(HONEST_SEEDS, ALL_SEEDS))
def test_an_honest_retention_passes(seed: int, scratch: Path) -> None:
    """Two runs on one testbed, with a random policy."""
    draws = random.Random(seed)
    policy = random_policy(draws)
    expired = 0
    for _ in range(2):
        result = run(scratch / "testbed", policy, random_steps(draws, 12), kept_by)
        assert result.verdict is Verdict.PASS, result.as_json()
        assert result.snapshots_in_doubt == 0
        expired = result.expired
    assert expired > 0 or policy.latest > 6


WEEKLY = (WriteRandomFiles(count=2), *((SnapshotRoot(), ListSnapshots(), WEEK) * 60))
DAILY = (WriteRandomFiles(count=2), *((SnapshotRoot(), RestoreRandomSnapshot(), DAY) * 20))
WITH_DELETIONS = (WriteRandomFiles(count=2), *((SnapshotRoot(), SnapshotRoot(), DeleteRandomSnapshot(), DAY) * 12))


@pytest.mark.parametrize(
    ("keep", "policy", "steps"),
    [
        (wrong_retention.one_too_few, KeepPolicy(daily=5), DAILY),
        (wrong_retention.one_too_few, KeepPolicy(latest=3), DAILY),
        (wrong_retention.one_too_few, KeepPolicy(latest=3), WITH_DELETIONS),
        (wrong_retention.one_too_many, KeepPolicy(daily=5), DAILY),
        (wrong_retention.one_too_many, KeepPolicy(weekly=2, latest=2), DAILY),
        (wrong_retention.weeks_from_sunday, KeepPolicy(weekly=4), DAILY),
        (wrong_retention.weeks_like_months, KeepPolicy(weekly=52, monthly=12), WEEKLY),
        (wrong_retention.weeks_like_months, KeepPolicy(daily=7, weekly=4, monthly=12), WEEKLY),
    ],
    ids=lambda value: getattr(value, "__name__", "") or str(value)[:30] if not isinstance(value, tuple) else "",
)
def test_a_wrong_retention_is_caught_as_that_alone(
    keep: Keep, policy: KeepPolicy, steps: Sequence[Action[Any]], scratch: Path
) -> None:
    """Whatever is restored, listed or stored of it: one finding of one guarantee for each snapshot."""
    result = run(scratch / "testbed", policy, steps, keep)
    assert result.verdict is Verdict.VIOLATED
    violations = result.tally.violations
    assert {violation.guarantee for violation in violations} == {Guarantee.KEPT_AS_PROMISED}
    found = [(violation.client, violation.snapshot) for violation in violations]
    assert len(set(found)) == len(found)
    assert all(f"the policy ({policy})" in violation.detail for violation in violations)


def test_the_collision_of_weeks_and_months_names_both_and_lists_all(scratch: Path) -> None:
    """Of 52 weeks and 12 months, those of the weeks 1 to 12 are lost that are the latest of no month."""
    policy = KeepPolicy(weekly=52, monthly=12)
    steps = (WriteRandomFiles(count=2), *((SnapshotRoot(), WEEK) * 52))
    result = run(scratch / "testbed", policy, steps, wrong_retention.weeks_like_months)
    assert len(result.tally.violations) == 2 * 10
    first = result.tally.violations[0]
    assert "weekly 52, monthly 12" in first.detail
    assert "weekly 2025-W" in first.detail
    document = (Path(first.evidence or "") / "retention.txt").read_text()
    assert document.count("NOT LISTED") == 10
    assert document.count("monthly 2025-") == 12
    assert sum("weekly 2025-W" in line for line in document.splitlines()) == 52


def test_what_was_lost_stays_a_violation_however_often_it_is_looked_at(scratch: Path) -> None:
    """Also in later runs, in which nothing wrong happens any more."""
    testbed, policy = scratch / "testbed", KeepPolicy(daily=5)
    first = run(testbed, policy, DAILY[:15], wrong_retention.one_too_few)
    lost = {violation.snapshot for violation in first.tally.violations}
    assert lost
    for _ in range(2):
        again = run(testbed, policy, [ListSnapshots()], kept_by)
        assert {violation.snapshot for violation in again.tally.violations} == lost
