"""What is compared before a machine is admitted, and how its clock is read."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from snapstorm.errors import HarnessError
from snapstorm.machines.wire import PROTOCOL, Hello
from snapstorm.runtime.clock import Clock
from snapstorm.version import __version__

_CLOCK_READINGS = 5
MISSING_EXTRA = "the extra for machines is not installed: run pip install 'snapstorm[machines]'"


@dataclass(frozen=True)
class ClockOffset:
    """How far a machine's clock is ahead of the coordinator's."""

    ahead_ns: int
    uncertain_ns: int
    """Half the round trip: the true offset differs from `ahead_ns` by at most this."""


def distributed_version() -> str:
    """The version of the transport. Raises HarnessError, with what to do, if it is not installed."""
    try:
        return version("distributed")
    except PackageNotFoundError:
        raise HarnessError(MISSING_EXTRA) from None


def own_hello(name: str, incarnation: str, facts: Mapping[str, str]) -> Hello:
    """What this process says of itself."""
    python = ".".join(platform.python_version_tuple()[:2])
    return Hello(PROTOCOL, name, incarnation, __version__, python, distributed_version(), dict(facts))


def differences(theirs: Hello, ours: Hello) -> Sequence[str]:
    """What must be equal and differs, one line each. Of the facts those that ours has must be equal."""
    pairs = [
        ("the protocol of machines", str(theirs.protocol), str(ours.protocol)),
        ("snapstorm", theirs.snapstorm, ours.snapstorm),
        ("Python", theirs.python, ours.python),
        ("distributed", theirs.distributed, ours.distributed),
        *((key, theirs.facts.get(key, "nothing"), value) for key, value in ours.facts.items()),
    ]
    return [f"{what} is {their} there and {our} at the coordinator" for what, their, our in pairs if their != our]


async def measure_clock(read_theirs: Callable[[], Awaitable[int]], clock: Clock) -> ClockOffset:
    """Read the other side's clock some times; the quickest reading is the best."""
    readings = []
    for _ in range(_CLOCK_READINGS):
        before = clock.wall_ns()
        theirs = await read_theirs()
        after = clock.wall_ns()
        readings.append(ClockOffset(theirs - (before + after) // 2, (after - before + 1) // 2))
    return min(readings, key=lambda reading: reading.uncertain_ns)
