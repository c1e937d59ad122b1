"""Access checks: clients that the server must refuse."""

from __future__ import annotations

import anyio

from snapstorm.errors import AccessDenied, RepositoryLocked, TargetError
from snapstorm.guarantees.checker import Checker
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.seen import LetInSeen
from snapstorm.testbed.context import Run
from snapstorm.testbed.identity import acting_as

TRIES = 2
"""An error that is no refusal may be a moment's. One that comes again leaves the guarantee unjudged."""
LOCKED_TRIES = 40
LOCKED_SECONDS = 0.05
"""Between two tries, while others lock the repository."""


async def must_be_refused(
    run: Run, checker: Checker, snapshotter: ClientSnapshotter, client: str, who: str, *, connects: bool
) -> None:
    """Have a client that claims to be this one, `who` in words, try to get in, and report it if it does.

    Other errors than a refusal are expected under a fault, and noted; without a fault they keep the run from passing.
    Raises HarnessError for one that is the machine's.
    """
    with acting_as(client):
        for tries_left in reversed(range(TRIES)):
            began_seconds = run.now_seconds()
            try:
                shown = await _get_in(snapshotter, connects=connects)
            except AccessDenied:
                run.tally.refused[who] = run.tally.refused.get(who, 0) + 1
                return
            except TargetError as error:
                run.check_machine(error)
                is_excused = run.weather.excuses(client, began_seconds, error)
                if tries_left and not is_excused:
                    continue
                run.note(f"whether {who} is refused could not be judged: {error}")
                if not is_excused:
                    run.tally.refusals_unjudged.append(who)
                return
            words = f"{who} was let in as {client} and shown {shown} snapshot(s)"
            checker.observe(LetInSeen(client=client, words=words))
            return


async def _get_in(snapshotter: ClientSnapshotter, *, connects: bool) -> int:
    """How many snapshots are shown to whoever this is. Raises TargetError where they don't get in."""
    if connects:
        await snapshotter.connect()
    for _ in range(LOCKED_TRIES):
        try:
            return len(await snapshotter.list_snapshots())
        except RepositoryLocked:
            await anyio.sleep(LOCKED_SECONDS)
    return len(await snapshotter.list_snapshots())
