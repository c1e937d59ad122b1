"""Scenes for faults: a server of a test's own, on which nobody works and nobody judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snapstorm.faults.fault import Judge, Scene
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import ProcessRunner


class NoJudge(Judge):
    """Judges nothing."""

    async def must_be_refused(self, client: str, who: str) -> None:
        return

    async def must_not_write(self, client: str) -> None:
        return

    async def must_not_delete(self, client: str) -> None:
        return

    async def probe_damage(self) -> None:
        return


def scene_of(server: Any, directory: Path, processes: ProcessRunner | None = None) -> Scene:
    """What a fault may act on: this server, which has only the abilities that the test is about."""
    return Scene(
        server=server,
        clients=["ada"],
        processes=processes or ProcessRunner("none"),
        directory=directory,
        in_flight=list,
        judge=NoJudge(),
        clock=Clock(),
    )
