"""What a terminal is shown: nothing that the target has said moves its cursor, colours it, or turns its text round."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.model.events import ActionBegan, ActionEnded, Event, Noted, ViolationFound
from snapstorm.model.expectations import State
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.model.protocols import Mode, TargetDescription
from snapstorm.model.verdict import Tally, Verdict
from snapstorm.report.progress import ProgressKind, progress
from snapstorm.report.summary import summary_lines
from snapstorm.report.terminal import print_summary
from snapstorm.run.result import RunResult

NASTY = "\x1b[31m\x07\r\x7f\x9b2J\u202eX"
SHOWN = r"\x1b[31m\x07\x0d\x7f\x9b2J\u202eX"
VIOLATION = Violation(Guarantee.RESTORED_EXACTLY, f"it differs {NASTY}\nsecond\tline", NASTY, NASTY, evidence=NASTY)


def result(violation: Violation = VIOLATION) -> RunResult:
    tally = Tally(violations=[violation], notes=[f"a note {NASTY}"])
    target = TargetDescription("kopia")
    states = dict.fromkeys(State, 0)
    return RunResult(
        1, 1, Verdict.VIOLATED, f"why {NASTY}", target, Mode.SERVER, 2, 1.0, {}, {}, 0.0, 0, tally, states, Path(NASTY)
    )


def test_the_summary_shows_controls_as_what_they_are() -> None:
    """In details, names, notes and the reason; line ends of a detail stay what they were."""
    lines = summary_lines(result(), is_testbed_kept=True)
    assert all(line.isprintable() for line in lines)
    assert f"           it differs {SHOWN}" in lines
    assert any(line.strip().startswith("second") for line in lines)
    assert f"note       a note {SHOWN}" in lines
    assert lines[-1] == f"VIOLATED: why {SHOWN}"


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_no_control_passes_for_a_line_end(end: str) -> None:
    """Python's own `splitlines` takes these for one, and would swallow them."""
    violation = Violation(Guarantee.RESTORED_EXACTLY, f"a{end}b")
    escape = f"\\x{ord(end):02x}" if ord(end) < 256 else f"\\u{ord(end):04x}"
    assert f"           a{escape}b" in summary_lines(result(violation), is_testbed_kept=False)


def events() -> Iterator[Event]:
    """One of each kind that carries words of the target."""
    yield ActionBegan(NASTY, "snapshot-root")
    yield ViolationFound(VIOLATION)
    yield ViolationFound(Violation(Guarantee.RESTORED_EXACTLY, ""))
    yield Noted(f"a note {NASTY}")
    yield ActionEnded(NASTY, "snapshot-root", "failed", 1.0, f"why {NASTY}")


@pytest.mark.parametrize("kind", [ProgressKind.PLAIN, ProgressKind.RICH])
def test_progress_shows_controls_as_what_they_are(kind: ProgressKind) -> None:
    """In a terminal too, where only what we draw ourselves has any effect."""
    stream = io.StringIO()
    with progress(kind, stream) as listen:
        for event in events():
            listen(event)
    text = "".join(stream.getvalue().split())  # A narrow terminal breaks lines.
    for words in ("it differs", "a note", "snapshot-root failed: why"):
        assert "".join(f"{words} {SHOWN}".split()) in text
    assert not {"\x07", "\x7f", "\x9b", "\u202e"} & set(text)
    assert "\x1b[31m" not in text


def test_the_summary_in_colours_has_no_others() -> None:
    """What is printed in a terminal is the same lines."""
    stream = io.StringIO()
    print_summary(summary_lines(result(), is_testbed_kept=True), Verdict.VIOLATED, stream)
    assert SHOWN in stream.getvalue()
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(stream.getvalue())
