"""The phases of a run, one after the other: named in progress, timed in the summary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from snapstorm.model.events import PhaseBegan
from snapstorm.testbed.context import RunContext


class Phases:
    """The phases of one run."""

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self.seconds = defaultdict[str, float](float)
        """By phase."""

    @contextmanager
    def phase(self, name: str, words: str) -> Iterator[None]:
        """A phase that progress shows as `words` and the summary as `name`."""
        self._run.emit(PhaseBegan(words))
        began_seconds = self._run.now_seconds()
        try:
            yield
        finally:
            self.seconds[name] += self._run.now_seconds() - began_seconds
