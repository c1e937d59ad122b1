"""The table of known bugs, what is held against it, and what the layout of a repository's indexes says."""

from __future__ import annotations

import pytest

from snapstorm.cli import known_bugs
from snapstorm.errors import ConfigError, HarnessError
from snapstorm.model.guarantees import Guarantee
from snapstorm.targets.known_bug import BrokenGuarantee, Row
from snapstorm.targets.kopia.known_bugs import epochs
from snapstorm.targets.kopia.known_bugs.bench import MEASURED
from snapstorm.targets.kopia.known_bugs.table import BUGS, KNOWN_BUGS

LEAK = BrokenGuarantee(Guarantee.NO_LEAK, "open files")
SET = "f07131cb8f8f49a22636315d60ec59e2"


def row(key: str, version: str, finding: BrokenGuarantee | None = None, problem: str | None = None) -> Row:
    return Row(BUGS[key], version, finding, 1.0, problem)


def test_every_row_is_complete() -> None:
    """Each bug says how it is provoked, and is bad in at least one of the versions that were measured."""
    for key, bug in BUGS.items():
        assert key == bug.key
        assert bug.title
        assert bug.provoked.endswith(".")
        assert bug.bad
        assert bug.bad <= set(MEASURED)
        assert bug.bad | bug.good == set(MEASURED)


@pytest.mark.parametrize("name", ["5371", "#5371"])
def test_a_bug_is_chosen_by_its_number(name: str) -> None:
    """With the sign or without."""
    assert [bug.key for bug in KNOWN_BUGS.choose(name)] == ["5371"]


def test_all_are_chosen_by_default() -> None:
    """In the order of the table."""
    assert [bug.key for bug in KNOWN_BUGS.choose(None)] == list(BUGS)


@pytest.mark.parametrize(("typo", "meant"), [("5731", "5371"), ("positiv-control", "positive-control")])
def test_an_unknown_name_is_refused_with_the_nearest(typo: str, meant: str) -> None:
    """One line, which lists the others too."""
    with pytest.raises(ConfigError, match=f"did you mean '{meant}'") as refused:
        KNOWN_BUGS.choose(typo)
    assert len(refused.value.problems) == 1
    assert "deleted-comes-back" in str(refused.value)


@pytest.mark.parametrize(
    ("tried", "expected", "seen", "is_as_expected", "differs"),
    [
        (row("4866", "0.19.0", LEAK), "no-leak", "no-leak", True, False),
        (row("4866", "0.19.0"), "no-leak", "pass", False, True),
        (row("4866", "0.22.3"), "pass", "pass", True, False),
        (row("4866", "0.23.1", LEAK), "pass", "no-leak", False, True),
        (row("4866", "0.19.0", BrokenGuarantee(Guarantee.AVAILABLE, "x")), "no-leak", "available", False, True),
        (row("4866", "1.0.0"), None, "pass", None, False),
        (row("4866", "1.0.0", LEAK), None, "no-leak", None, True),
        (row("4866", "0.19.0", problem="no disk"), "no-leak", None, None, False),
        (row("positive-control", "1.0.0"), "restored-exactly", "pass", False, True),
    ],
)
def test_what_is_seen_is_held_against_what_is_expected(
    tried: Row, expected: str | None, seen: str | None, is_as_expected: bool | None, differs: bool
) -> None:
    """A missed bug differs, and so does another guarantee than the known one; of an unknown version, any does."""
    assert (tried.expected, tried.seen, tried.is_as_expected) == (expected, seen, is_as_expected)
    assert tried.is_different is differs


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([row("4866", "0.22.3")], 0),
        ([row("4866", "0.22.3"), row("4866", "0.19.0")], 1),
        ([row("4866", "0.22.3", problem="x")], 3),
        ([row("4866", "0.22.3", problem="x"), row("4866", "0.19.0")], 1),
    ],
)
def test_exit_status(rows: list[Row], status: int) -> None:
    """A difference outweighs what could not be found out, which is no success either."""
    assert known_bugs.exit_status(rows) == status


def test_a_row_as_json_has_every_key() -> None:
    """What is absent is null."""
    assert row("4866", "1.0.0").as_json() == {
        "bug": "4866",
        "version": "1.0.0",
        "expected": None,
        "seen": "pass",
        "is_as_expected": None,
        "detail": None,
        "seconds": 1.0,
    }


def test_bugs_that_predict_are_chosen_once_each() -> None:
    """With the sign or without, as often as they are named."""
    assert [bug.key for bug in KNOWN_BUGS.predicting(["weeks-expire", "#weeks-expire"])] == ["weeks-expire"]
    assert KNOWN_BUGS.predicting([]) == ()


@pytest.mark.usefixtures("no_kopia")
def test_a_missing_version_says_what_to_do() -> None:
    """The environment's fault, before anything starts."""
    with pytest.raises(HarnessError, match="make tools-all"):
        known_bugs.known_bugs()


def test_layout_of_a_healthy_repository() -> None:
    """An epoch each has one set, and the next one to be compacted is behind the range."""
    blobs = ["xe1", "xe3", "xn3_aa-s1-c1", f"xr0_1_{SET}-s9-c1", *(f"xs{n}_{SET}-s{n}-c1" for n in range(2))]
    assert epochs.write_epoch(blobs) == 3
    assert epochs.compacted_sets(blobs) == {0: {"s0"}, 1: {"s1"}}
    assert epochs.last_in_ranges(blobs) == 1
    assert not epochs.has_gap(blobs)
    assert epochs.stuck_epoch(blobs) is None


def test_layout_in_which_an_epoch_is_stuck() -> None:
    """The range has taken in epoch 1 without a set of its own; epoch 2 has two."""
    gap = [f"xr0_1_{SET}-s9-c1", f"xs0_{SET}-s0-c1"]
    assert epochs.has_gap(gap)
    assert epochs.stuck_epoch(gap) is None
    stuck = [*gap, f"xs2_{SET}-s2-c2", f"xs2_{SET}-s2-c2", f"xs2_{SET}-s5-c1"]
    assert epochs.stuck_epoch(stuck) == 2
    assert epochs.compacted_sets(stuck)[2] == {"s2", "s5"}


def test_sets_of_equal_contents_are_told_from_others() -> None:
    """Whoever has written them; the first one is read."""
    same, other = f"xs2_{SET}-s2-c1", f"xs2_{SET}-s5-c1"
    assert epochs.contents_of_first([same]) == epochs.contents_of_first([other, same])
    assert epochs.contents_of_first([f"xs2_{SET[::-1]}-s2-c1", same]) != epochs.contents_of_first([same])


def test_layout_of_a_new_repository() -> None:
    """Nothing is there yet."""
    assert (epochs.write_epoch([]), epochs.last_in_ranges([]), epochs.stuck_epoch([])) == (0, -1, None)
