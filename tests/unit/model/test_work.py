"""Work: counted by kind, from what a run has tallied."""

from __future__ import annotations

from snapstorm.model.actions import ACTIONS
from snapstorm.model.verdict import Tally
from snapstorm.model.work import _ASKS_FOR, WorkKind, under_fault, work_done


def test_actions_of_a_kind_are_summed_and_those_left_out_that_did_nothing() -> None:
    """Whether they ended well or not, they would have shown a defect."""
    tally = Tally()
    tally.actions["snapshot-subpath"]["unknown"] += 1
    for outcome in ("ok", "no_op", "locked"):
        tally.actions["snapshot-root"][outcome] += 1
    assert work_done(tally, 1)[WorkKind.CREATE] == 2


def test_every_kind_of_work_is_told() -> None:
    """Also what was not done; faults by their key."""
    tally = Tally()
    tally.count_fault("kill-server")
    done = work_done(tally, 2)
    assert done.keys() == {*WorkKind, under_fault("kill-server")}
    assert done[under_fault("kill-server")] == 1


def test_kinds_are_made_of_actions_that_there_are() -> None:
    """Each kind is what some action asks for."""
    assert set(_ASKS_FOR.values()) <= {action.asks_for for action in ACTIONS.values()}
