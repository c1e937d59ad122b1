"""The fault `unmount-archives`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snapstorm.extending import Fault, FaultKind, Record, Scene

from .target import TarServer


class UnmountArchives(Fault):
    """The directory of the archives is out of reach, as if the disk were not mounted."""

    key = "unmount-archives"
    kind = FaultKind.STORAGE
    needs = "the target tar"

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        return None if isinstance(scene.server, TarServer) else "there are no archives here"

    async def inject(self, record: Record) -> None:
        assert isinstance(self.scene.server, TarServer)
        directory = self.scene.server.directory
        self._details = {"path": str(directory), "aside": f"{directory}.unmounted"}
        record(self._details)  # First, so that it is healed even if this process is killed.
        directory.rename(self._details["aside"])

    async def heal(self) -> None:
        self.heal_left_over(self._details)

    @classmethod
    def heal_left_over(cls, details: Mapping[str, Any]) -> str | None:
        if not Path(details["aside"]).exists():
            return None
        Path(details["aside"]).rename(details["path"])
        return "mounted the archives again"
