"""A sweep: how far it has come, for those who go on beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio


@dataclass
class Sweep:
    """A sweep that goes on beside something else."""

    snapshots: int
    """How many live snapshots are to be restored."""
    begun: int = 0
    unanswered: int = 0
    is_cut: bool = False
    """No more of them are begun: its time is up."""
    answered: anyio.Event = field(default_factory=anyio.Event)
    """The target has nothing more to restore; the last of what it gave may still be compared."""
    over: anyio.Event = field(default_factory=anyio.Event)

    def begin(self) -> None:
        """One more is asked for."""
        self.begun += 1
        self.unanswered += 1

    def answer(self) -> None:
        """One was given. One that never is, because it fails, keeps this from being answered before it is over."""
        self.unanswered -= 1
        self._look()

    def ask_again(self) -> None:
        """One that was given is needed once more; for while it is not all answered."""
        self.unanswered += 1

    def cut(self) -> None:
        """Begin no more."""
        self.is_cut = True
        self._look()

    def end(self) -> None:
        """All is compared."""
        self.answered.set()
        self.over.set()

    def _look(self) -> None:
        if self.unanswered == 0 and (self.is_cut or self.begun == self.snapshots):
            self.answered.set()
