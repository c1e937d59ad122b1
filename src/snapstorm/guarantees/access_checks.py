"""Access checks: clients that the server must refuse."""

from __future__ import annotations

from dataclasses import dataclass

from snapstorm.errors import AccessDenied, RepositoryLocked, TargetError
from snapstorm.faults.weather import Weather
from snapstorm.guarantees.checker import Checker
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.seen import LetInSeen
from snapstorm.runtime.clock import Clock
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.identity import acting_as
from snapstorm.testbed.machine_check import MachineCheck

TRIES = 2
"""An error that is no refusal may be a moment's. One that comes again leaves the guarantee unjudged."""
LOCKED_TRIES = 40
LOCKED_SECONDS = 0.05
"""Between two tries, while others lock the repository."""


@dataclass(frozen=True)
class AccessChecks:
    """The access checks of one run."""

    run: RunContext
    weather: Weather
    machine: MachineCheck
    checker: Checker

    async def must_be_refused(self, snapshotter: ClientSnapshotter, client: str, who: str, *, connects: bool) -> None:
        """Have a client that claims to be this one, `who` in words, try to get in, and report it if it does.

        Other errors than a refusal are expected under a fault, and noted; without a fault they keep the run from
        passing. Raises HarnessError for one that is the machine's.
        """
        tally = self.run.tally
        with acting_as(client):
            for tries_left in reversed(range(TRIES)):
                began_seconds = self.run.now_seconds()
                try:
                    shown = await _get_in(snapshotter, self.run.clock, connects=connects)
                except AccessDenied:
                    tally.refused[who] = tally.refused.get(who, 0) + 1
                    return
                except TargetError as error:
                    self.machine.check(error)
                    is_excused = self.weather.excuses(client, began_seconds, error)
                    if tries_left and not is_excused:
                        continue
                    self.run.note(f"whether {who} is refused could not be judged: {error}")
                    if not is_excused:
                        tally.refusals_unjudged.append(who)
                    return
                words = f"{who} was let in as {client} and shown {shown} snapshot(s)"
                self.checker.observe(LetInSeen(client=client, words=words))
                return


async def _get_in(snapshotter: ClientSnapshotter, clock: Clock, *, connects: bool) -> int:
    """How many snapshots are shown to whoever this is. Raises TargetError where they don't get in."""
    if connects:
        await snapshotter.connect()
    for _ in range(LOCKED_TRIES):
        try:
            return len(await snapshotter.list_snapshots())
        except RepositoryLocked:
            await clock.sleep(LOCKED_SECONDS)
    return len(await snapshotter.list_snapshots())
