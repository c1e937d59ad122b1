"""Listings are held against expectations by the rules of concurrency, and nothing is ever forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapstorm.guarantees.panel import Found, Panel
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.model.expectations import Expectation, Listing, Settled, State
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import Counts
from snapstorm.model.seen import ListingSeen, ReceiptSeen
from snapstorm.model.sorted_listings import expected_of, settled_by, tagged_operations

ME, OTHER, BED = "client-1@snapstorm", "client-2@snapstorm", "bed"

LIVE = Expectation("r1-client-1-2", ME, "/data", "m", "{}", State.LIVE, 10, "k1", acknowledged_tick=20)
ENTRY = ListedSnapshot("k1", ME, "/data", BED, LIVE.operation, None)


def listing(*entries: ListedSnapshot, began: int = 100, ended: int = 110, is_quiescent: bool = False) -> Listing:
    return Listing(ME, BED, entries, began, ended, is_quiescent)


class Judgement(NamedTuple):
    findings: list[Found]
    settled: list[Settled]
    of_unknown_runs: list[str]


def judge_listing(shown: Listing, expectations: Iterable[Expectation], panel: Panel | None = None) -> Judgement:
    expected = {expectation.operation: expectation for expectation in expectations}
    seen = ListingSeen(client=shown.client, listing=shown, expected=expected, spans={})
    settled = list(settled_by(shown, expected, seen.entries.complete))
    return Judgement((panel or Panel()).judge(seen), settled, seen.entries.of_unknown_runs)


def guarantees(shown: Listing, *expectations: Expectation) -> list[Guarantee]:
    return [finding.guarantee for finding in judge_listing(shown, expectations).findings]


def test_a_live_snapshot_that_is_listed_is_well() -> None:
    """What was acknowledged and is listed gives no finding and settles nothing."""
    judgement = judge_listing(listing(ENTRY), [LIVE])
    assert not judgement.findings
    assert not judgement.settled


def test_a_lost_snapshot_is_found() -> None:
    """A live snapshot that is not listed breaks acknowledged-stays-listed, and stays expected."""
    judgement = judge_listing(listing(), [LIVE])
    assert [finding.guarantee for finding in judgement.findings] == [Guarantee.ACKNOWLEDGED_STAYS_LISTED]
    assert not judgement.settled


def test_a_snapshot_that_is_listed_under_another_source_is_found() -> None:
    """Who looks for it where it was taken does not find it; a path that was tidied up is the same one."""
    moved = replace(ENTRY, source=f"{LIVE.source}/elsewhere")
    assert guarantees(listing(moved), LIVE) == [Guarantee.ACKNOWLEDGED_STAYS_LISTED]
    assert guarantees(listing(moved), replace(LIVE, acknowledged_tick=105)) == []
    assert guarantees(listing(ENTRY), replace(LIVE, source=f"{LIVE.source}/./x/..")) == []


def test_a_snapshot_that_is_listed_under_another_time_is_found() -> None:
    """Than it was acknowledged with; one that is deleted or created meanwhile is not judged, nor an old record."""
    panel = Panel()
    first = Particulars(5, 6, 1, 1, 9, symlinks=2, failed_entries=0)
    receipt = SnapshotReceipt("k1", 1, 1, 9, 5, 6, symlinks=2, failed_entries=0)
    assert receipt.particulars == first
    there = Counts(files=1, directories=1, size_bytes=9, symlinks=2)
    assert not panel.judge(
        ReceiptSeen(client=ME, operation=LIVE.operation, receipt=receipt, there=there, is_id_of_another=False)
    )

    def found(expectation: Expectation, **changed: int) -> list[Guarantee]:
        shown = replace(ENTRY, particulars=first._replace(**changed))
        return [finding.guarantee for finding in judge_listing(listing(shown), [expectation], panel).findings]

    assert found(LIVE) == []
    for changed in (
        {"began_us": 4}, {"ended_us": 7}, {"files": 2}, {"size_bytes": 0}, {"symlinks": 1}, {"failed_entries": 1},
    ):  # fmt: skip
        assert found(LIVE, **changed) == [Guarantee.ACKNOWLEDGED_STAYS_LISTED]
        assert found(replace(LIVE, acknowledged_tick=105), **changed) == []
        assert found(replace(LIVE, deletion_began_tick=105), **changed) == []
        assert found(IN_DOUBT_CREATION, **changed) == []
    assert judge_listing(listing(ENTRY), [LIVE], panel).findings == []


def test_a_listing_that_contradicts_itself_is_found() -> None:
    """Also one by which something was left out; on a server that is not ours alone an operator may have said so."""
    wrong = [Guarantee.ACKNOWLEDGED_STAYS_LISTED]
    assert guarantees(listing(replace(ENTRY, disagreement="1 files here and 2 files there")), LIVE) == wrong
    left_out = listing(replace(ENTRY, excluded_entries=1))
    assert guarantees(left_out, LIVE) == wrong
    assert guarantees(replace(left_out, is_exclusive=False), LIVE) == []


def test_a_source_that_can_not_be_shown_is_not_judged() -> None:
    """Bytes that are not UTF-8 are shown by each in its own way."""
    assert guarantees(listing(replace(ENTRY, source="/a\ufffd")), replace(LIVE, source="/a\\xff")) == []


def test_a_snapshot_acknowledged_while_the_listing_ran_may_be_missing() -> None:
    """A listing proves presence only of what was acknowledged before it began."""
    assert guarantees(listing(), replace(LIVE, acknowledged_tick=105)) == []


def test_a_snapshot_whose_deletion_began_before_the_listing_ended_may_be_missing() -> None:
    """A deletion that overlaps the listing makes absence no loss."""
    deleting = replace(LIVE, state=State.DELETING, deletion_began_tick=108)
    assert guarantees(listing(), deleting) == []


def test_a_deleted_snapshot_that_is_listed_is_found() -> None:
    """An acknowledged deletion that did nothing breaks deleted-stays-gone."""
    deleted = replace(LIVE, state=State.DELETED, deletion_began_tick=50, deletion_ended_tick=60)
    assert guarantees(listing(ENTRY), deleted) == [Guarantee.DELETED_STAYS_GONE]


def test_a_deletion_acknowledged_while_the_listing_ran_may_still_show() -> None:
    """A listing proves absence only for deletions acknowledged before it began."""
    deleted = replace(LIVE, state=State.DELETED, deletion_began_tick=90, deletion_ended_tick=105)
    assert guarantees(listing(ENTRY), deleted) == []


def test_a_ghost_is_found() -> None:
    """A snapshot of ours that no operation asked for breaks nothing-unrequested, with and without our tag."""
    assert guarantees(listing(replace(ENTRY, operation="r9-nobody-1"))) == [Guarantee.NOTHING_UNREQUESTED]
    assert guarantees(listing(replace(ENTRY, operation=None, testbed=None))) == [Guarantee.NOTHING_UNREQUESTED]


def test_one_operation_asks_for_one_snapshot() -> None:
    """A second complete entry with the tag of the same operation is one that nobody asked for."""
    assert guarantees(listing(ENTRY, replace(ENTRY, id="k2")), LIVE) == [Guarantee.NOTHING_UNREQUESTED]


def test_others_snapshots_on_an_operators_server_are_left_alone() -> None:
    """Without exclusive use of the repository, what does not carry our tag is not judged."""
    shown = replace(listing(replace(ENTRY, testbed=None, operation=None)), is_exclusive=False)
    assert guarantees(shown) == []
    another = listing(replace(ENTRY, testbed="another"), replace(ENTRY, testbed="another", incomplete="canceled"))
    assert guarantees(replace(another, is_exclusive=False)) == []


def test_the_mark_of_another_testbed_does_not_excuse_a_ghost() -> None:
    """In a repository that is ours alone there is no other testbed."""
    another = replace(ENTRY, id="k2", testbed="another")
    assert guarantees(listing(ENTRY, another), LIVE) == [Guarantee.NOTHING_UNREQUESTED]


def test_a_strangers_snapshot_breaks_isolation() -> None:
    """A client that is shown another client's snapshot breaks clients-isolated, unless rights are not promised."""
    stranger = replace(ENTRY, client=OTHER)
    assert guarantees(listing(ENTRY, stranger), LIVE) == [Guarantee.CLIENTS_ISOLATED]
    assert Guarantee.CLIENTS_ISOLATED not in guarantees(replace(listing(ENTRY, stranger), is_isolated=False), LIVE)


def test_an_acknowledged_id_must_be_the_listed_one() -> None:
    """A snapshot acknowledged under one id and listed under another was acknowledged wrongly."""
    assert guarantees(listing(replace(ENTRY, id="k9")), LIVE) == [Guarantee.ACKNOWLEDGED_STAYS_LISTED]


IN_DOUBT_CREATION = replace(LIVE, state=State.CREATION_IN_DOUBT, snapshot=None, acknowledged_tick=None)


def test_a_creation_in_doubt_is_adopted_when_listed() -> None:
    """Presence settles a doubt at any time, with the id that the listing shows."""
    judgement = judge_listing(listing(ENTRY), [IN_DOUBT_CREATION])
    assert judgement.settled == [Settled(LIVE.operation, State.LIVE, "k1")]
    assert not judgement.findings


def test_a_creation_that_left_entries_out_is_adopted_as_such() -> None:
    """The target says itself how many: what is missing was not promised. What was acknowledged stays promised whole."""
    partial = replace(ENTRY, failed_entries=3)
    for state in (State.CREATION_IN_DOUBT, State.ABSENT):
        judgement = judge_listing(listing(partial), [replace(IN_DOUBT_CREATION, state=state)])
        assert judgement.settled == [Settled(LIVE.operation, State.LIVE, "k1", failed_entries=3)]
    doubted = replace(LIVE, state=State.DELETION_IN_DOUBT, deletion_began_tick=30)
    judgement = judge_listing(listing(partial, is_quiescent=True), [doubted])
    assert judgement.settled == [Settled(LIVE.operation, State.LIVE, "k1")]


def test_an_incomplete_entry_is_never_adopted() -> None:
    """A canceled creation's entry neither settles the doubt as live nor is a violation by itself."""
    judgement = judge_listing(listing(replace(ENTRY, incomplete="canceled")), [IN_DOUBT_CREATION])
    assert judgement.settled == []
    assert judgement.findings == []


def test_an_incomplete_left_over_after_a_later_snapshot_is_found() -> None:
    """Once a later snapshot of the source has completed, the left-over of a canceled one must be gone."""
    later = replace(LIVE, operation="r1-client-1-3", began_tick=30, acknowledged_tick=40, snapshot="k2")
    shown = listing(replace(ENTRY, id="k2", operation=later.operation), replace(ENTRY, incomplete="canceled"))
    assert guarantees(shown, replace(IN_DOUBT_CREATION, state=State.ABSENT), later) == [Guarantee.NOTHING_UNREQUESTED]


@pytest.mark.parametrize(("is_quiescent", "settled"), [(False, []), (True, [Settled(LIVE.operation, State.ABSENT)])])
def test_absence_settles_a_creation_only_when_all_is_quiet(is_quiescent: bool, settled: list[Settled]) -> None:
    """While anything may still be at work, an unlisted creation stays in doubt."""
    assert judge_listing(listing(is_quiescent=is_quiescent), [IN_DOUBT_CREATION]).settled == settled


DELETION_IN_DOUBT = replace(LIVE, state=State.DELETION_IN_DOUBT, deletion_began_tick=50, deletion_ended_tick=60)


@pytest.mark.parametrize(
    ("is_quiescent", "settled"), [(False, []), (True, [Settled(LIVE.operation, State.LIVE, "k1")])]
)
def test_presence_settles_a_deletion_only_when_all_is_quiet(is_quiescent: bool, settled: list[Settled]) -> None:
    """A snapshot whose deletion was cut off is live again only when nothing can still delete it."""
    assert judge_listing(listing(ENTRY, is_quiescent=is_quiescent), [DELETION_IN_DOUBT]).settled == settled


def test_absence_settles_a_deletion() -> None:
    """A snapshot whose deletion was cut off and that is not listed is deleted."""
    assert judge_listing(listing(), [DELETION_IN_DOUBT]).settled == [Settled(LIVE.operation, State.DELETED, "k1")]


@given(
    acknowledged=st.one_of(st.none(), st.integers(0, 200)),
    deletion=st.one_of(st.none(), st.integers(0, 200)),
    is_listed=st.booleans(),
    state=st.sampled_from(list(State)),
    is_quiescent=st.booleans(),
)
def test_only_an_asked_deletion_ends_a_live_expectation(
    acknowledged: int | None, deletion: int | None, is_listed: bool, state: State, is_quiescent: bool
) -> None:
    """Whatever a listing shows, a live expectation is never settled away, and never silently missing."""
    expectation = replace(
        LIVE, state=state, acknowledged_tick=acknowledged, deletion_began_tick=deletion, deletion_ended_tick=deletion
    )
    judgement = judge_listing(listing(*([ENTRY] if is_listed else []), is_quiescent=is_quiescent), [expectation])
    if state is State.LIVE:
        assert judgement.settled == []
        if not is_listed and acknowledged is not None and acknowledged < 100 and deletion is None:
            assert judgement.findings


def test_a_snapshot_of_a_run_that_the_ledger_does_not_know_is_not_judged() -> None:
    """Within the gap only: of a known run, and of none, it is one that nobody asked for."""
    entry = replace(ENTRY, operation="r7-client-1-1")
    shown = replace(listing(entry), unknown_runs=[range(7, 1001)])
    judgement = judge_listing(shown, [])
    assert (judgement.findings, judgement.of_unknown_runs) == ([], [entry.id])
    for operation in ("r6-client-1-1", "r1001-client-1-1", "other", None):
        other = replace(shown, entries=[replace(entry, operation=operation)])
        assert guarantees(other) == [Guarantee.NOTHING_UNREQUESTED]
    incomplete = replace(shown, entries=[replace(entry, incomplete="canceled")])
    assert guarantees(incomplete) == []
    assert guarantees(replace(shown, entries=[replace(entry, client=OTHER)])) == [Guarantee.CLIENTS_ISOLATED]


OTHERS = replace(LIVE, operation="r1-client-2-2", client=OTHER, source="/other", snapshot="k2")
OTHERS_ENTRY = replace(ENTRY, id="k2", client=OTHER, source="/other", operation=OTHERS.operation)
OTHERS_DELETED = replace(OTHERS, state=State.DELETED, deletion_began_tick=50, deletion_ended_tick=60)


def judge_shared(*entries: ListedSnapshot, others: Expectation = OTHERS, is_isolated: bool = False) -> Judgement:
    """What a client is shown that has one snapshot, and shares the repository with one that has another."""
    shown = replace(listing(*entries, is_quiescent=True), is_isolated=is_isolated)
    tagged = [one for one in (LIVE, others) if one.operation in tagged_operations(shown)]
    return judge_listing(shown, expected_of(shown, {LIVE.operation: LIVE}, tagged).values())


@pytest.mark.parametrize("shown", [[ENTRY], [ENTRY, OTHERS_ENTRY]])
def test_a_listing_of_a_shared_repository_may_show_others_snapshots(shown: list[ListedSnapshot]) -> None:
    """Or not: how much it shows is up to the target. Whether one is lost, the listings of its own client tell."""
    assert judge_shared(*shown) == ([], [], [])
    in_part = replace(OTHERS_ENTRY, incomplete="checkpoint")
    creating = replace(OTHERS, state=State.CREATING, snapshot=None, acknowledged_tick=None)
    for entry in (OTHERS_ENTRY, in_part):
        assert judge_shared(ENTRY, entry, others=creating) == ([], [], [])


@pytest.mark.parametrize(
    ("entry", "others", "guarantee"),
    [
        (OTHERS_ENTRY, OTHERS_DELETED, Guarantee.DELETED_STAYS_GONE),
        (replace(OTHERS_ENTRY, id="k3"), OTHERS, Guarantee.ACKNOWLEDGED_STAYS_LISTED),
        (replace(OTHERS_ENTRY, source="/data"), OTHERS, Guarantee.ACKNOWLEDGED_STAYS_LISTED),
        (replace(OTHERS_ENTRY, client=ME), OTHERS, Guarantee.ACKNOWLEDGED_STAYS_LISTED),
        (replace(OTHERS_ENTRY, excluded_entries=1), OTHERS, Guarantee.ACKNOWLEDGED_STAYS_LISTED),
    ],
)
def test_others_snapshots_that_are_shown_are_held_against_what_their_clients_did(
    entry: ListedSnapshot, others: Expectation, guarantee: Guarantee
) -> None:
    """What is wrong of one is told of its own client."""
    (found,) = judge_shared(ENTRY, entry, others=others).findings
    assert (found.guarantee, found.client) == (guarantee, OTHER)


def test_a_listing_of_a_shared_repository_shows_its_clients_own_snapshots() -> None:
    """One that is not there is lost, whatever else is shown."""
    (found,) = judge_shared(OTHERS_ENTRY).findings
    assert (found.guarantee, found.client) == (Guarantee.ACKNOWLEDGED_STAYS_LISTED, ME)


@pytest.mark.parametrize("operation", ["r9-nobody-1", None, OTHERS.operation])
def test_a_ghost_among_others_snapshots_is_found(operation: str | None) -> None:
    """It is one that nobody asked for, or a second one of an operation, whosever it is said to be."""
    ghost = replace(OTHERS_ENTRY, id="k9", operation=operation)
    (found,) = judge_shared(ENTRY, OTHERS_ENTRY, ghost).findings
    assert (found.guarantee, found.finding.snapshot) == (Guarantee.NOTHING_UNREQUESTED, "k9")


@pytest.mark.parametrize("state", [State.CREATION_IN_DOUBT, State.DELETION_IN_DOUBT])
def test_others_doubts_wait_for_their_own_listings(state: State) -> None:
    """That nothing of this client is at work says nothing of what another one is doing."""
    doubted = replace(OTHERS, state=state, deletion_began_tick=50 if state is State.DELETION_IN_DOUBT else None)
    assert judge_shared(ENTRY, OTHERS_ENTRY, others=doubted) == ([], [], [])


def test_others_snapshots_are_strangers_where_clients_are_kept_apart() -> None:
    """Though they are known."""
    (found,) = judge_shared(ENTRY, OTHERS_ENTRY, is_isolated=True).findings
    assert found.guarantee is Guarantee.CLIENTS_ISOLATED
