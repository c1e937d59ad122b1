"""Progress for GitHub Actions: violations as annotations, phases as groups, by workflow commands in the output.

All text is escaped, or is on a line that does not begin with `::`, so that a target's output never becomes a command
(https://docs.github.com/actions/reference/workflow-commands-for-github-actions).
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from snapstorm.model.events import ActionEnded, Event, FaultBegan, Listener, Noted, PhaseBegan, RunEnded, ViolationFound
from snapstorm.model.guarantees import Violation
from snapstorm.model.verdict import Verdict
from snapstorm.report.kinds import kind_of
from snapstorm.run.result import RunResult

_IN_TEXT = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTIES = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})

_ANNOTATED = {
    Verdict.INCONCLUSIVE: "error",
    Verdict.ERROR: "error",
    Verdict.INTERRUPTED: "warning",
}
"""Verdicts that have no violation to explain them."""


def annotation(level: str, text: str, title: str = "snapstorm") -> str:
    """A line that GitHub shows as an annotation of the workflow's run; `level` is error, warning or notice."""
    return f"::{level} title={title.translate(_IN_PROPERTIES)}::{text.translate(_IN_TEXT)}"


@contextmanager
def github_progress(stream: TextIO) -> Iterator[Listener]:
    """A listener that writes groups, annotations and plain lines until the block ends."""
    shown = _GithubProgress(stream)
    try:
        yield shown
    finally:
        shown.end_group()


class _GithubProgress:
    """A group for each phase, an error for each kind of violation, a warning for each note worth one. GitHub shows few
    annotations of a step, so further violations of a kind are plain lines, and are counted at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._has_group = False
        self._kinds = Counter[tuple[str, str]]()

    def __call__(self, event: Event) -> None:
        match event:
            case PhaseBegan(name):
                self.end_group()
                self._print(f"::group::{name.translate(_IN_TEXT)}")
                self._has_group = True
            case ViolationFound(violation):
                self._tell_violation(violation)
            case RunEnded():
                self._tell_counts()
            case Noted(message, is_warning):
                self._print(annotation("warning" if is_warning else "notice", message))
            case FaultBegan(key):
                self._print_plain(f"fault {key}")
            case ActionEnded(client, key, outcome, _, reason) if outcome in ("locked", "failed", "unknown"):
                self._print_plain(f"{client.partition('@')[0]}: {key} {outcome}: {reason}")
            case _:
                pass

    def _tell_violation(self, violation: Violation) -> None:
        kind = kind_of(violation)
        self._kinds[kind] += 1
        who = ", ".join(part for part in (violation.client, violation.snapshot) if part)
        title = f"{violation.guarantee.value} violated" + (f" ({who})" if who else "")
        if self._kinds[kind] == 1:
            evidence = f"\nevidence: {violation.evidence}" if violation.evidence else ""
            self._print(annotation("error", violation.detail + evidence, title))
        else:
            self._print_plain(f"{title}: {violation.detail}")

    def _tell_counts(self) -> None:
        for (guarantee, _), count in self._kinds.items():
            if count > 1:
                self._print(annotation("notice", f"{guarantee} violated {count} times in the same way"))

    def end_group(self) -> None:
        """End the group of the last phase, if there is one."""
        if self._has_group:
            self._has_group = False
            self._print("::endgroup::")

    def _print_plain(self, words: str) -> None:
        """Print on one line that begins with the time, because GitHub recognises a command even after leading
        spaces."""
        self._print(f"{time.monotonic() - self._began:.1f} s  {' '.join(words.split())}")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def verdict_annotation(result: RunResult) -> str | None:
    """The annotation for a run that neither passed nor has violations that explain its verdict; None for other runs."""
    level = _ANNOTATED.get(result.verdict)
    title = f"snapstorm: run {result.run} {result.verdict.value}"
    return None if level is None else annotation(level, result.reason, title)


@contextmanager
def without_commands(stream: TextIO) -> Iterator[None]:
    """In this block, printed text is never interpreted as a command."""
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", file=stream, flush=True)
    try:
        yield
    finally:
        print(f"::{token}::", file=stream, flush=True)
