"""What most targets and servers answer alike. A target that has no more to say subclasses these."""

from __future__ import annotations

from collections.abc import Sequence

from snapstorm.model.protocols import Auditor, Mode, Server, Target


class PlainTarget(Target):
    """A target that can be driven in every mode."""

    @property
    def modes(self) -> frozenset[Mode]:
        """All."""
        return frozenset(Mode)


class PlainServer(Server):
    """A server of our own on which every action is possible, and that caches nothing."""

    @property
    def manages_users(self) -> bool:
        """Wherever it authenticates them."""
        return self.authenticates

    @property
    def refused_actions(self) -> frozenset[str]:
        """None."""
        return frozenset()

    @property
    def auditor(self) -> Auditor | None:
        """There is no way past the server, unless a subclass has one."""
        return None

    async def refresh(self) -> None:
        """There is nothing to see anew."""
        return

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """There is nothing to forget."""
        return

    async def storage_bytes(self) -> int | None:
        """It can't be told, unless a subclass can."""
        return None
