"""What most targets and servers answer alike. A target that has no more to say subclasses these."""

from __future__ import annotations

from collections.abc import Sequence

from snapstorm.errors import ConfigError, TargetError
from snapstorm.model.client_access import ClientAccess
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

    # Abilities: clients on other machines.

    @property
    def only_here(self) -> str | None:
        """Nothing of it can be reached from other machines, unless a subclass knows better."""
        return "this target has no server that other machines can reach"

    def client_access(self, client: str) -> ClientAccess:
        """What makes this client on any machine. Raises ConfigError where `only_here` says why not."""
        if self.only_here is not None:
            raise ConfigError(f"{client} can only be on this machine: {self.only_here}")
        return self.access_of(client)

    def add_last_words(self, error: TargetError) -> None:
        """It is not known how the server has ended, unless a subclass knows."""
        return

    def access_of(self, client: str) -> ClientAccess:
        """The same for a client that may have to stay on this machine."""
        raise NotImplementedError(f"{type(self).__name__} has nothing that makes clients on other machines")
