"""Which program the next process is: the one under test, or one of several versions, drawn from the seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapstorm.scenario.seeds import stream


class Programs:
    """The programs under test.

    Each draw follows from the seed, from who runs the process, and from how many that one has run before, so that it
    depends neither on timing nor on what others do.
    """

    def __init__(self, executables: Sequence[Path], seed: int = 0) -> None:
        if not executables:
            raise ValueError("there must be a program to run")
        self._executables = tuple(executables)
        self._seed = seed
        self._draws: dict[str, int] = {}

    @property
    def newest_named(self) -> Path:
        """The one that was named last: what must be done by one version in particular is done by this one."""
        return self._executables[-1]

    def draw(self, actor: str) -> Path:
        """The program of this actor's next process."""
        if len(self._executables) == 1:
            return self._executables[0]
        number = self._draws[actor] = self._draws.get(actor, 0) + 1
        return stream(self._seed, "program", actor, number).choice(self._executables)
