"""Every guarantee is defined in one place, judged by something, and each finding is counted once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.guarantees.judged_guarantee import DEFINED, JudgedGuarantee, JudgedIn, judges
from snapstorm.guarantees.panel import FindingKey, Panel, is_judged_from, known_guarantees, sentence_of
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import ListingSeen, ReceiptSeen, RestoreSeen, Seen, SourceChangesSeen, UnsavedSeen

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "guarantees.md"

SECTIONS = {
    "Judged by every run": JudgedIn.EVERY_RUN,
    "Judged where a scenario measures": JudgedIn.EVERY_RUN,
    "Judged by runs with faults": JudgedIn.RUNS_WITH_FAULTS,
}


def test_every_guarantee_that_has_a_name_is_judged() -> None:
    """And stands where reports expect it: in the order of the names, those of other packages last."""
    assert list(known_guarantees())[: len(Guarantee)] == list(Guarantee)


def test_the_documentation_has_each_in_its_section_with_its_sentence() -> None:
    """As its class says."""
    documented = dict[str, tuple[str, JudgedIn]]()
    section = ""
    for line in DOCUMENTATION.read_text().splitlines():
        section = line.removeprefix("## ") if line.startswith("## ") else section
        row = re.match(r"\| `([a-z-]+)` \| ([^|]+) \|", line)
        if row and section in SECTIONS:
            documented[row[1]] = (row[2], SECTIONS[section])
    ours = {guarantee.value: known_guarantees()[guarantee] for guarantee in Guarantee}
    assert documented == {name: (known.sentence, known.judged_in) for name, known in ours.items()}


@pytest.mark.parametrize("without", ["id", "sentence", "judge"])
def test_a_guarantee_that_is_not_whole_can_not_be_defined(without: str) -> None:
    """Without an id, a sentence, or a method that judges, there is nothing to be judged."""
    before = list(DEFINED)

    @judges(ReceiptSeen)
    def judge(self: object, seen: ReceiptSeen) -> Iterator[Finding]:
        yield Finding("wrong")

    parts: dict[str, object] = {"id": "half-a-guarantee", "sentence": "All is well.", "judge": judge}
    del parts[without]
    with pytest.raises(TypeError, match="method that judges" if without == "judge" else without):
        type("Half", (JudgedGuarantee,), parts)
    assert before == DEFINED


@pytest.mark.parametrize(
    ("kind", "guarantees"),
    [
        (
            ListingSeen,
            {
                Guarantee.ACKNOWLEDGED_STAYS_LISTED,
                Guarantee.DELETED_STAYS_GONE,
                Guarantee.KEPT_AS_PROMISED,
                Guarantee.NOTHING_UNREQUESTED,
                Guarantee.CLIENTS_ISOLATED,
            },
        ),
        (ReceiptSeen, {Guarantee.ACKNOWLEDGED_STAYS_LISTED, Guarantee.PARTIAL_IS_REPORTED}),
        (
            RestoreSeen,
            {Guarantee.RESTORED_EXACTLY, Guarantee.IN_DOUBT_ABSENT_OR_EXACT, Guarantee.DAMAGE_IS_DETECTED},
        ),
        (UnsavedSeen, {Guarantee.PARTIAL_IS_REPORTED}),
        (None, set()),
    ],
)
def test_what_can_be_judged_again(kind: type[Seen] | None, guarantees: set[Guarantee]) -> None:
    """By what was recorded."""
    assert {guarantee for guarantee in Guarantee if is_judged_from(guarantee, kind)} == guarantees


def test_one_of_another_package_that_is_not_here_is_only_a_name() -> None:
    """A record may hold it: the same value each time, without a sentence, and nothing is judged by it."""
    other = Guarantee("no-snapshot-is-empty")
    assert other is Guarantee("no-snapshot-is-empty")
    assert (other.value, str(other), f"{other}") == ("no-snapshot-is-empty",) * 3
    assert other not in list(Guarantee)
    assert sentence_of(other) == ""
    assert not is_judged_from(other, ListingSeen)


def test_each_restore_is_judged_under_one_guarantee() -> None:
    """By what was known of it: storage was damaged, or its creation had been in doubt."""

    def broken(*, is_damaged: bool, is_adopted: bool) -> list[Guarantee]:
        seen = RestoreSeen(
            operation="o", snapshot="k1", expectation="a", is_damaged=is_damaged, is_adopted=is_adopted, differences=1
        )
        return [found.guarantee for found in Panel().judge(seen)]

    assert broken(is_damaged=False, is_adopted=False) == [Guarantee.RESTORED_EXACTLY]
    assert broken(is_damaged=False, is_adopted=True) == [Guarantee.IN_DOUBT_ABSENT_OR_EXACT]
    assert broken(is_damaged=True, is_adopted=False) == [Guarantee.DAMAGE_IS_DETECTED]
    assert broken(is_damaged=True, is_adopted=True) == [Guarantee.DAMAGE_IS_DETECTED]
    assert Panel().judge(RestoreSeen(operation="o", snapshot="k1", expectation="a")) == []


def test_a_restore_is_described_by_its_first_differences() -> None:
    """And says how many more there are."""
    seen = RestoreSeen(
        operation="o", snapshot="k1", expectation="a", sub_path=b"d", differences=5, words=["1", "2", "3", "4"]
    )
    (found,) = Panel().judge(seen)
    assert found.finding.detail == (
        "the restore of snapshot k1 (its part d) differs in 5 place(s) from what was written: 1; 2; 3\nand 2 more"
    )


def test_each_finding_is_counted_once() -> None:
    """By its guarantee, what it is about, and the snapshot."""
    panel = Panel()
    seen = SourceChangesSeen(client="c", operation="o", changes=["a", "b"])
    (found,) = panel.judge(seen)
    assert (found.key, found.client) == (FindingKey(Guarantee.SOURCE_UNTOUCHED, "o", None), "c")
    assert [panel.count(found.key), panel.count(found.key)] == [True, False]
    assert panel.count(found.key._replace(of="p"))
