"""A storage that does not level off is one finding, the same in each run."""

from __future__ import annotations

import pytest

from snapstorm.guarantees.panel import Panel
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.seen import HeldSeen
from snapstorm.model.stored_size import allowed_bytes


@pytest.mark.parametrize("more_bytes", [0, 1])
def test_what_is_held_beyond_the_allowed_is_a_leak(more_bytes: int) -> None:
    """Not one byte more; all three figures are told."""
    allowed = allowed_bytes(2_000_000)
    found = Panel().judge(HeldSeen(held_bytes=allowed + more_bytes, needed_bytes=2_000_000, collections=5))
    assert len(found) == more_bytes
    for one in found:
        assert (one.guarantee, one.finding.fingerprint) == (Guarantee.NO_LEAK, "storage over time")
        for figure in (allowed, allowed + 1, 2_000_000):
            assert f"{figure:,}" in one.finding.detail
