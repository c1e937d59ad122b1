"""What GitHub Actions reads: annotations, escaped; and nothing that a target says becomes a command."""

from __future__ import annotations

import io

import pytest

from snapstorm.model.events import ActionEnded, Event, FaultBegan, Noted, PhaseBegan, RestoreVerified, ViolationFound
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.report.github import annotation, github_progress, without_commands
from snapstorm.report.progress import ProgressKind, progress

VIOLATION = Violation(
    Guarantee.RESTORED_EXACTLY,
    "100% wrong: a,b\r\n::error::planted",
    "client-1@snapstorm",
    "k1",
    evidence="/bed/runs/0001/evidence/001",
)


def shown(*events: Event) -> list[str]:
    stream = io.StringIO()
    with github_progress(stream) as listen:
        for event in events:
            listen(event)
    return stream.getvalue().split("\n")[:-1]


def unescaped(text: str) -> str:
    """As GitHub reads it."""
    for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, char)
    return text


def test_a_violation_is_an_error_on_one_line() -> None:
    """Title and text are escaped so that GitHub reads them back as they were."""
    (line,) = shown(ViolationFound(VIOLATION))
    head, _, text = line.removeprefix("::error title=").partition("::")
    assert line.startswith("::error title=")
    assert head == "restored-exactly violated (client-1@snapstorm%2C k1)"
    assert unescaped(text) == f"{VIOLATION.detail}\nevidence: {VIOLATION.evidence}"
    assert text.startswith("100%25 wrong: a,b%0D%0A::error")


def test_properties_escape_more_than_texts() -> None:
    """A colon or a comma would end a property, and means nothing in a text."""
    assert annotation("notice", "a:b,c%", "a:b,c%\n") == "::notice title=a%3Ab%2Cc%25%0A::a:b,c%25"
    assert annotation("error", "x") == "::error title=snapstorm::x"


def test_notes_are_warnings_but_for_what_every_run_has() -> None:
    """The seed is a notice; what is out of the ordinary a warning."""
    lines = shown(Noted("run 1, seed 7", is_warning=False), Noted("timed out once\nand not again"))
    assert lines == [
        "::notice title=snapstorm::run 1, seed 7",
        "::warning title=snapstorm::timed out once%0Aand not again",
    ]


def test_phases_are_groups() -> None:
    """Each ends before the next begins, and the last with the run."""
    lines = shown(PhaseBegan("starting"), RestoreVerified("c", "s", 1), PhaseBegan("sweeping"))
    assert lines == ["::group::starting", "::endgroup::", "::group::sweeping", "::endgroup::"]


@pytest.mark.parametrize("reason", ["::error::planted", "x\n::add-mask::y", "x\r::stop-commands::z", "  ::error::p"])
def test_what_a_target_says_becomes_no_command(reason: str) -> None:
    """A failure's reason stands on one line that begins with the time."""
    (line,) = shown(ActionEnded("client-1@snapstorm", "snapshot-root", "failed", 1.0, reason))
    assert line[0].isdigit()
    assert "\r" not in line
    (fault,) = shown(FaultBegan("kill-server"))
    assert fault[0].isdigit()


def test_a_summary_is_text_whatever_it_holds() -> None:
    """Commands are switched off around it, with a word that nobody can guess."""
    stream = io.StringIO()
    with without_commands(stream):
        print("::error::planted", file=stream)
    first, planted, last = stream.getvalue().splitlines()
    token = first.removeprefix("::stop-commands::")
    assert len(token) == 32
    assert planted == "::error::planted"
    assert last == f"::{token}::"


def test_it_is_chosen_by_name() -> None:
    """`--progress github`."""
    stream = io.StringIO()
    with progress(ProgressKind("github"), stream) as listen:
        listen(PhaseBegan("starting"))
    assert stream.getvalue() == "::group::starting\n::endgroup::\n"
