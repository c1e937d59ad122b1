"""How answers of a target's commands become errors: the same for each program that tells in words why it has failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from snapstorm.errors import HarnessError, NoSpaceError, OperationTimedOut, SnapstormError, TargetError
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets import command_output
from snapstorm.targets.command_output import NO_SPACE, decoded, ending, stderr_of

_T = TypeVar("_T")


class KnownFailure(NamedTuple):
    """A kind of failure that a program tells by its words."""

    pattern: re.Pattern[str]
    error: type[TargetError]
    words: str
    """What has become of the command: `was refused`."""


@dataclass(frozen=True)
class AnswerReader:
    """Reads the answers of one program."""

    program: str
    """Its name on a command line."""
    title: str
    """Its name for people."""
    failures: Sequence[KnownFailure]
    """The first that fits counts."""
    last_words: Callable[[str], str]
    """Picks the line that says why a command failed, short enough for one line of ours."""
    blobs_named: Callable[[bytes], Collection[str]]
    """The stored files that an output names."""

    def check(self, completed: CompletedCommand, what: str, failure: type[TargetError]) -> None:
        """Raise unless the command ended by itself and with 0. `failure` says what a plain failure leaves known."""
        if completed.exit_code != 0 or completed.timed_out:
            raise self.explain(completed, what, failure)

    def explain(self, completed: CompletedCommand, what: str, failure: type[TargetError]) -> SnapstormError:
        """The error that fits a command that did not do what it was asked to: `failure`, or what its words say."""
        words = stderr_of(completed)
        if NO_SPACE.search(words):
            # Before anything else: every file that it can write is on a disk of ours, and a full one makes it hang.
            return NoSpaceError(f"{what} found a disk full: {self.last_words(words)}")
        if completed.timed_out:
            return self.error_of(completed, OperationTimedOut, f"{what} was ended after {completed.seconds:.0f} s")
        for known in self.failures:
            if known.pattern.search(words):
                return self.error_of(completed, known.error, f"{what} {known.words}: {self.last_words(words)}")
        return self.error_of(completed, failure, f"{what} ended with {ending(completed)}: {self.last_words(words)}")

    def error_of(self, completed: CompletedCommand, kind: type[TargetError], words: str) -> TargetError:
        """An error of this kind, with all that the command has printed as evidence, and the stored files it names."""
        blobs = self.blobs_named(completed.stderr + b" " + completed.stdout)
        return kind(words, evidence=self.evidence_of(completed), blobs=blobs)

    def evidence_of(self, completed: CompletedCommand) -> str:
        """The command and its output, for the report."""
        return command_output.evidence_of(completed, self.program)

    def check_set_up(
        self,
        completed: CompletedCommand,
        problem: str,
        *,
        what: str | None = None,
        failure: type[HarnessError] = HarnessError,
    ) -> None:
        """Raise `failure`, in one line that begins with the problem, unless the command ended by itself and with 0."""
        if completed.exit_code != 0 or completed.timed_out:
            raise failure(f"{problem}: {self.explain(completed, what or self.title, TargetError)}")

    def read(self, completed: CompletedCommand, what: str, kind: type[_T], failure: type[TargetError]) -> _T:
        """What the command says on stdout. Raises as `check` does, and `failure` also for what can't be read."""
        self.check(completed, what, failure)
        try:
            return decoded(completed.stdout, kind)
        except ValueError as error:
            raise self.unreadable(completed, what, failure, error) from error

    def unreadable(
        self, completed: CompletedCommand, what: str, failure: type[TargetError], reason: object
    ) -> TargetError:
        """The failure of a command that ended well and whose JSON can't be read."""
        return self.error_of(completed, failure, f"{what} exited with 0 but its JSON can't be read: {reason}")
