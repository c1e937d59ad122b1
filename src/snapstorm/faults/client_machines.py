"""The machines of a run, as faults know them."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Protocol


class ClientMachines(Protocol):
    """The machines of a run, other than this process."""

    @property
    def clients_by_machine(self) -> Mapping[str, Sequence[str]]:
        """The clients that run on each machine."""
        ...

    async def signal_operation(self, operation: str, number: int) -> int:
        """Send a signal to what runs on any of them on behalf of an operation. Returns how many got it."""
        ...

    def signal_machine(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process of a machine."""
        ...

    async def wait_for_machine(self, name: str) -> None:
        """Return once the clients of this machine may go on. Raises HarnessError for one that is not coming back."""
        ...
