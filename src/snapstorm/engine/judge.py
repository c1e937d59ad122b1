"""What is judged while a fault lasts: implements the `Judge` that faults ask."""

from __future__ import annotations

import anyio

from snapstorm.engine.checker import Checker
from snapstorm.engine.engine import Engine
from snapstorm.engine.locks import must_be_refused
from snapstorm.engine.multiclient import MultiClientSnapshotter
from snapstorm.engine.run import Run
from snapstorm.filesystem.removal import remove_tree_in_thread
from snapstorm.model.guarantees import Guarantee
from snapstorm.plan.seeds import stream

PROBED_SNAPSHOTS_MAX = 12
PROBE_SECONDS_MAX = 10.0


class FaultJudge:
    """Judges for one run."""

    def __init__(self, run: Run, engine: Engine, snapshotter: MultiClientSnapshotter, checker: Checker) -> None:
        self._run = run
        self._engine = engine
        self._snapshotter = snapshotter
        self._checker = checker
        self._probes = 0

    async def must_be_refused(self, client: str, who: str) -> None:
        """A client that has just lost its rights must get in nowhere."""
        await must_be_refused(self._run, self._checker, self._snapshotter.of(client), client, who, connects=False)

    async def must_not_write(self, client: str) -> None:
        """A client that may only read must not get a snapshot acknowledged."""
        tree = self._run.workdir / client / "probe"
        tree.mkdir(mode=0o700, exist_ok=True)
        try:
            (tree / "file").write_text("a client that may only read must not get this snapshotted\n")
            if await self._engine.try_to_snapshot(client, tree):
                self._checker.report(
                    Guarantee.CLIENTS_ISOLATED,
                    f"{client} may only read, and was let take a snapshot",
                    client=client,
                )
        finally:
            with anyio.CancelScope(shield=True):
                await remove_tree_in_thread(tree)

    async def probe_damage(self) -> None:
        """Restore some snapshots, drawn, within a bounded time: what comes with success must be right, and what fails
        must name the damage."""
        self._probes += 1
        live = self._run.ledger.live_operations()
        draws = stream(self._run.seed, self._run.number, "damage probe", self._probes)
        draws.shuffle(live)
        deadline = self._run.now_seconds() + PROBE_SECONDS_MAX
        for client, operation in live[:PROBED_SNAPSHOTS_MAX]:
            if self._run.now_seconds() > deadline:
                return
            await self._engine.probe(client, operation)
