"""When a snapshot was taken, and how much, as the target says: against the clock, and against what it said before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.model.action_results import Particulars
from snapstorm.model.dating import CLOCK_TOLERANCE_US, SaidSoFar, TimeSpan, misdating

SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
NOW = 1_795_963_013 * SECOND
SPAN = TimeSpan(NOW, NOW + 10 * SECOND)
HONEST = Particulars(NOW + SECOND, NOW + 2 * SECOND, 5, 2, 17)


@given(st.integers(-CLOCK_TOLERANCE_US, CLOCK_TOLERANCE_US), st.integers(0, 10 * SECOND))
def test_what_a_clock_that_is_put_right_shows_is_not_misdated(off: int, later: int) -> None:
    """Within the tolerance nothing is."""
    assert misdating(Particulars(NOW + off, SPAN.latest_us + off), SPAN) == ""
    assert misdating(Particulars(NOW + later, NOW + later), SPAN) == ""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (HONEST._replace(began_us=NOW - 3 * DAY), "begun 3.0 days too early"),
        (HONEST._replace(began_us=NOW - 5 * HOUR), "begun 5.0 hours too early"),
        (HONEST._replace(ended_us=SPAN.latest_us + 365 * DAY), "ended 365.0 days too late"),
        (HONEST._replace(began_us=NOW - CLOCK_TOLERANCE_US - 1), "begun 180 s too early"),
        (HONEST._replace(began_us=-62_135_596_800 * SECOND), "begun 739,948.6 days too early"),
    ],
)
def test_a_moment_outside_is_told(said: Particulars, words: str) -> None:
    """Which, by how much, and in which direction."""
    assert misdating(said, SPAN) == words
    assert misdating(said, None) == ""


def test_what_is_not_said_is_not_misdated() -> None:
    """No time is no wrong time."""
    assert misdating(Particulars(), SPAN) == ""


def test_what_is_said_first_is_held_against_the_run_that_took_the_snapshot() -> None:
    """Of a run of which it is not known when it was, nothing is."""
    said, spans = SaidSoFar(), {1: SPAN, 2: TimeSpan(NOW + DAY, NOW + DAY)}
    assert said.contradiction("r1-c-1", HONEST, spans) == ""
    assert said.contradiction("r2-c-1", HONEST, spans) == "begun 24.0 hours too early"
    assert said.contradiction("r3-c-1", HONEST, spans) == ""
    assert said.contradiction("other", HONEST, spans) == ""


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (HONEST, ""),
        (None, ""),
        (HONEST._replace(began_us=NOW + SECOND + 1), "begun 1e-06 s later than was said before"),
        (HONEST._replace(began_us=NOW + SECOND - HOUR), "begun 3,600 s earlier than was said before"),
        (HONEST._replace(ended_us=NOW + 3 * DAY), "ended 3.0 days later than was said before"),
        (HONEST._replace(began_us=None, ended_us=NOW), "ended 2 s earlier than was said before"),
        (HONEST._replace(files=4), "one of 4 files, and was said to have 5 before"),
        (HONEST._replace(directories=1), "one of 1 directories, and was said to have 2 before"),
        (HONEST._replace(size_bytes=None, files=6), "one of 6 files, and was said to have 5 before"),
    ],
)
def test_what_is_said_later_must_be_what_was_said_first(later: Particulars | None, words: str) -> None:
    """By a receipt or by a listing, each time, and whether there is a clock or not."""
    acknowledged, listed = SaidSoFar(), SaidSoFar()
    acknowledged.acknowledge("r1-c-1", HONEST)
    assert listed.contradiction("r1-c-1", HONEST, {1: SPAN}) == ""
    for said, spans in ((acknowledged, {}), (listed, {1: SPAN})):
        for _ in range(2):
            assert said.contradiction("r1-c-1", later, spans) == words
        assert said.contradiction("r1-c-1", HONEST, spans) == ""


@pytest.mark.parametrize(
    "listed",
    [
        HONEST._replace(ended_us=None),
        HONEST._replace(size_bytes=None),
        HONEST._replace(symlinks=3, failed_entries=0),
        Particulars(),
    ],
)
def test_listings_may_tell_less_or_more_than_a_receipt(listed: Particulars) -> None:
    """Each time the same."""
    said = SaidSoFar()
    said.acknowledge("r1-c-1", HONEST)
    for _ in range(2):
        assert said.contradiction("r1-c-1", listed, {1: SPAN}) == ""


def test_what_only_one_side_tells_is_compared_among_those_that_tell_it() -> None:
    """A receipt tells counts and no times, listings times and no links; each is held against what told it first."""
    listed = HONEST._replace(size_bytes=None)
    for later, words in (
        (listed._replace(files=4), "one of 4 files, and was said to have 5 before"),
        (listed._replace(directories=3), "one of 3 directories, and was said to have 2 before"),
        (listed._replace(size_bytes=18), "one of 18 bytes, and was said to have 17 before"),
        (listed._replace(symlinks=2), "one of 2 symbolic links, and was said to have 1 before"),
        (listed._replace(ended_us=NOW), "ended 2 s earlier than was said before"),
    ):
        said = SaidSoFar()
        said.acknowledge("r1-c-1", Particulars(files=5, size_bytes=17, symlinks=1))
        assert said.contradiction("r1-c-1", Particulars(), {1: SPAN}) == ""
        for _ in range(2):
            assert said.contradiction("r1-c-1", listed, {1: SPAN}) == ""
        for _ in range(2):
            assert said.contradiction("r1-c-1", later, {1: SPAN}) == words


def test_a_moment_that_a_receipt_has_not_told_is_held_against_the_clock() -> None:
    """When a listing tells it for the first time."""
    said = SaidSoFar()
    said.acknowledge("r1-c-1", Particulars(files=5))
    wrong = HONEST._replace(began_us=NOW - 3 * DAY)
    assert said.contradiction("r1-c-1", wrong, {1: SPAN}) == "begun 3.0 days too early"


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (
            HONEST._replace(ended_us=None),
            "ended at no time, and was said to be at 1795963015.000000 s since 1970 before",
        ),
        (HONEST._replace(size_bytes=None), "one of an unknown number of bytes, and was said to have 17 before"),
        (HONEST._replace(size_bytes=None, files=6), "one of 6 files, and was said to have 5 before"),
        (Particulars(), "begun at no time, and was said to be at 1795963014.000000 s since 1970 before"),
    ],
)
@pytest.mark.parametrize("receipt", [HONEST, Particulars(files=5), None])
def test_what_a_listing_has_told_later_ones_tell(receipt: Particulars | None, later: Particulars, words: str) -> None:
    """Whatever a receipt has told."""
    said = SaidSoFar()
    if receipt is not None:
        said.acknowledge("r1-c-1", receipt)
    assert said.contradiction("r1-c-1", HONEST, {1: SPAN}) == ""
    for _ in range(2):
        assert said.contradiction("r1-c-1", later, {1: SPAN}) == words
        assert said.contradiction("r1-c-1", HONEST, {1: SPAN}) == ""
