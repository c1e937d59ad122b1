"""What a target says that it has taken is held against what was there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snapstorm.guarantees.panel import Found, Panel
from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.dating import TimeSpan
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import Counts, Entry, EntryType, Manifest
from snapstorm.model.seen import ReceiptSeen


def judge_receipt(
    receipt: SnapshotReceipt,
    there: Counts,
    *,
    is_id_of_another: bool = False,
    span: TimeSpan | None = None,
    excluded_entries: int = 0,
) -> list[Found]:
    return Panel().judge(
        ReceiptSeen(
            client="c",
            operation="r1-c-1",
            receipt=receipt,
            there=there,
            is_id_of_another=is_id_of_another,
            span=span,
            excluded_entries=excluded_entries,
        )
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"files": 0}, "0 files where there were 1"),
        ({"directories": 3}, "3 directories where there were 1"),
        ({"symlinks": 0}, "0 symbolic links where there were 2"),
        ({"size_bytes": 6}, "6 bytes where there were 5"),
        ({"failed_entries": 1}, "1 entries that failed where there were 0"),
        ({"excluded_entries": 0}, "0 entries left out where there were 3"),
        ({"disagreement": "1 files here and 2 files there"}, "1 files here and 2 files there"),
    ],
)
def test_every_count_of_a_receipt_is_judged(changed: dict[str, Any], words: str) -> None:
    """Each alone; what a receipt does not say is not judged."""
    there = Counts(files=1, directories=1, size_bytes=5, symlinks=2)
    honest = SnapshotReceipt("k1", 1, 1, 5, symlinks=2, failed_entries=0, excluded_entries=3)

    def found(receipt: SnapshotReceipt) -> list[Found]:
        return judge_receipt(receipt, there, excluded_entries=3)

    assert found(honest) == found(SnapshotReceipt("k1")) == []
    (finding,) = found(replace(honest, **changed))
    assert finding.guarantee is Guarantee.PARTIAL_IS_REPORTED
    assert words in finding.finding.detail


def test_a_receipt_is_held_against_what_was_there() -> None:
    """Counts that differ, an id of another, and a time outside of that in which it was asked for."""
    tree = Manifest.of([Entry(b"", EntryType.DIRECTORY, 0o755, 0, 0, 1), Entry(b"f", EntryType.FILE, 0, 0, 0, 1, 5)])
    honest = SnapshotReceipt("k1", 1, 1, 5)
    assert not judge_receipt(honest, tree.counts)
    found = judge_receipt(SnapshotReceipt("k1", 2, 1, 4), tree.counts, is_id_of_another=True)
    assert [finding.guarantee for finding in found] == [
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        Guarantee.PARTIAL_IS_REPORTED,
    ]
    assert found[1].finding.detail.endswith("with 2 files where there were 1, 4 bytes where there were 5")
    dated = replace(honest, began_us=0, ended_us=10**9)
    in_time = judge_receipt(dated, tree.counts, span=TimeSpan(0, 10**9))
    too_late = judge_receipt(dated, tree.counts, span=TimeSpan(0, 10**6))
    assert in_time == []
    assert [finding.guarantee for finding in too_late] == [Guarantee.ACKNOWLEDGED_STAYS_LISTED]
