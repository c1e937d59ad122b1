"""Runs in virtual time: which runs are, what they need, and the clock that they go on with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from snapstorm.errors import ConfigError, TestbedError
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.location import GatewayStorage
from snapstorm.run.options import HarnessOptions
from snapstorm.runtime.clock import NS_PER_SECOND, Clock, VirtualClock
from snapstorm.targets.plugin import TargetPlugin
from snapstorm.targets.registry import read_target
from snapstorm.testbed.identity import client_name
from snapstorm.testbed.testbed import check_testbed_path, read_testbed

SLACK_NS = 120 * NS_PER_SECOND
"""How much later a run begins than the last record of the run before it, at least: the machine's clock may have been
set back by so much, and the target may have seen so much time after the last record of a killed run."""


def settled_in_time(options: HarnessOptions) -> HarnessOptions:
    """The options, with what virtual time brings with it, if the run is to be in virtual time: because it asks for
    that, or because its testbed lives in it. Changes nothing. Raises ConfigError for what can't be in virtual time."""
    is_asked = options.virtual_start is not None
    if not is_asked and not _lives_virtually(options.testbed):
        return options
    target, _ = read_target(options.target)
    check_virtual(options, target)
    return replace(options, is_virtual=True, repository=GatewayStorage() if target.has_bucket_storage else None)


def check_virtual(options: HarnessOptions, target: TargetPlugin) -> None:
    """Raise ConfigError for what can't be in virtual time."""
    if not target.has_virtual_time:
        raise ConfigError(f"the target {target.name} can't live in virtual time; choose another, or a run in real time")
    if options.external_server is not None:
        raise ConfigError("a server that already runs lives in real time; leave virtual_start out")
    if options.repository is not None and not isinstance(options.repository, GatewayStorage):
        raise ConfigError(
            f"in virtual time the repository must be behind the gateway, which dates what is stored, not in "
            f"{options.repository}; leave --repository out"
        )


def _lives_virtually(testbed: Path | None) -> bool:
    """Whether there is a testbed that lives in virtual time. One of an older version does not."""
    if testbed is None or check_testbed_path(testbed, must_exist=False):
        return False
    with suppress(TestbedError), read_testbed(testbed) as ledger:
        return ledger.is_virtual
    return False


def clock_for(options: HarnessOptions, ledger: Ledger, real: Clock, note: Callable[[str], None]) -> Clock:
    """The clock of the next run on a testbed. Virtual time goes on from where it was; in a new testbed it begins.

    Raises ConfigError for a testbed in real time, which stays so, and for a copy of one in virtual time.
    """
    if not options.is_virtual:
        if ledger.is_virtual:
            raise ConfigError("this ledger is of a testbed in virtual time, which can go on only where it was made")
        return real
    if not ledger.is_virtual:
        assert options.virtual_start is not None, "without it, only a virtual testbed makes a run virtual"
        if ledger.count_runs():
            raise ConfigError("this testbed lives in real time, and stays so; choose another one for virtual time")
        ledger.begin_virtual_time(_moment_ns(options.virtual_start) - real.wall_ns())
    began_ns = max(real.wall_ns() + ledger.virtual_offset_ns(), ledger.last_virtual_ns() + SLACK_NS)
    clock = VirtualClock(real, began_ns, ahead_ns_by_client(options))
    if ledger.count_runs():
        note(f"virtual time goes on at {clock.virtual_utc()}")
    return clock


def ahead_ns_by_client(options: HarnessOptions) -> dict[str, int]:
    """By how much the clocks of clients are ahead, of those that are not right."""
    skews = enumerate(options.clock_skews_seconds, start=1)
    return {client_name(number): round(seconds * NS_PER_SECOND) for number, seconds in skews if seconds}


def begin_virtual_run(options: HarnessOptions, ledger: Ledger, number: int, clock: Clock) -> None:
    """Record when in virtual time a run begins, if it is in virtual time. The run begins now."""
    if isinstance(clock, VirtualClock):
        ledger.begin_virtual_run(number, clock.virtual_ns(), ahead_ns_by_client(options))


def _moment_ns(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp()) * NS_PER_SECOND
