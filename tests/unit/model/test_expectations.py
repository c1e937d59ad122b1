"""What a ledger has very many of stays small."""

from __future__ import annotations

import gc
import sys

from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.expectations import Expectation, State

LIVE = Expectation(
    "r1-client-1-2", "client-1@snapstorm", "/data", "m", "{}", State.LIVE, 10, "k1", acknowledged_tick=20
)
ENTRY = ListedSnapshot("k1", LIVE.client, "/data", "bed", LIVE.operation, None)


def test_what_there_may_be_a_hundred_thousand_of_is_small() -> None:
    """No dictionary for each, and nothing that the garbage collector has to look at again and again."""
    for one in (LIVE, ENTRY):
        assert not hasattr(one, "__dict__")
        assert not gc.is_tracked(one)
        assert sys.getsizeof(one) <= 8 * (len(one.__struct_fields__) + 2)
