"""A sweep: how far it has come, for those who go on beside it, and which of its restores seem to hang."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

import anyio

TIMED_OUT_OF_A_CLIENT_MAX = 3
"""In a row: then no more restores of this client are begun before it is known whether they hang."""
TIMED_OUT_MAX = 8
"""In all: then no more are begun for any client."""
TIMED_OUT_WITHOUT_ANSWER_MAX = 4
"""The same where several clients' restores time out, and no other has come to an end."""


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


class Swept(Enum):
    """The outcome of one restore in a sweep."""

    EXACT = "exact"
    TIMED_OUT = "timed out"
    WRONG = "wrong"
    """It differs, or failed, or was not possible."""


class TimeOuts:
    """The time-outs of one round of a sweep, by kind of restore. Tells when beginning more would only wait out more of
    them, so that it is to be found out first whether it is a hang."""

    def __init__(self) -> None:
        self._in_a_row = Counter[tuple[str, str]]()
        """By kind and client: without an answer in between."""
        self._count = Counter[str]()
        self._clients: dict[str, set[str]] = {}
        """By kind, whose restores timed out."""
        self._answered = set[str]()
        """The kinds of which any restore came to an end."""

    def add(self, kind: str, client: str, swept: Swept) -> None:
        """Count how a restore ended."""
        if swept is Swept.TIMED_OUT:
            self._in_a_row[kind, client] += 1
            self._count[kind] += 1
            self._clients.setdefault(kind, set()).add(client)
        else:
            self._in_a_row[kind, client] = 0
            self._answered.add(kind)

    def seem_to_hang(self, kind: str, client: str) -> bool:
        """Whether no more restores of this kind are to be begun for this client. One client alone may have what hangs,
        so others go on as long as not too many have timed out."""
        if self._in_a_row[kind, client] >= TIMED_OUT_OF_A_CLIENT_MAX or self._count[kind] >= TIMED_OUT_MAX:
            return True
        is_for_several = len(self._clients.get(kind, ())) > 1
        return is_for_several and kind not in self._answered and self._count[kind] >= TIMED_OUT_WITHOUT_ANSWER_MAX
