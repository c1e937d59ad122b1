"""Locks: who must be let in nowhere."""

from __future__ import annotations

from snapstorm.engine.checker import Checker
from snapstorm.engine.multiclient import acting_as
from snapstorm.engine.run import Run
from snapstorm.errors import AccessDenied, TargetError
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ClientSnapshotter


async def must_be_refused(
    run: Run, checker: Checker, snapshotter: ClientSnapshotter, client: str, who: str, *, connects: bool
) -> None:
    """Have somebody who claims to be this client try to get in, and report it if they do. `who` names them."""
    with acting_as(client):
        try:
            if connects:
                await snapshotter.connect()
            listed = await snapshotter.list_snapshots()
        except AccessDenied:
            run.tally.refused[who] = run.tally.refused.get(who, 0) + 1
            return
        except TargetError as error:
            run.note(f"whether {who} is refused could not be judged: {error}")
            return
        checker.report(
            Guarantee.CLIENTS_ISOLATED,
            f"{who} was let in as {client} and shown {len(listed)} snapshot(s)",
            client=client,
        )
