"""The explorer finds each loss at each point that shows it, and after which write it shows first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from tests.unit.exploration.repositories import PlainTarget, make_history, promise

from snapstorm.exploration.explorer import Explorer
from snapstorm.exploration.found_losses import FoundLoss, FoundLosses
from snapstorm.exploration.losses import LossFinder
from snapstorm.exploration.plain_storage import PlainStorage
from snapstorm.exploration.plan import RunEvents, make_plan
from snapstorm.exploration.states import Depth, ExploredTestbed, Since, Tried
from snapstorm.gateway.kept_history import StorageHistory
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.abilities import StoredPlace
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.location import FileStorage
from snapstorm.model.promises import PromiseSpan
from snapstorm.runtime.clock import Clock


@dataclass(frozen=True)
class Explored:
    """What an exploration has found."""

    found: Sequence[FoundLoss]
    tried: Tried
    target: PlainTarget
    read: int


def explore(directory: Path, history: StorageHistory, *spans: PromiseSpan, workers: int = 1) -> Explored:
    target = PlainTarget()
    ledger = Ledger.open(directory / "ledger.sqlite3")
    found = FoundLosses(ledger, history, target, directory / "evidence", lambda _: None)
    finder = LossFinder(ledger, Capabilities())
    place = StoredPlace(FileStorage(directory), directory / "explore", str, {})
    scene = ExploredTestbed(history, spans, target, place, Clock())
    plan = make_plan(history, spans, RunEvents(0, None), 1)
    depth = Depth(in_flight=0, restore_every=1, seed=1)
    explorer = Explorer(scene, plan, depth, finder, found, lambda _: None)
    anyio.run(explorer.explore, workers)
    ledger.close()
    return Explored(found.found, explorer.tried, target, finder.counts.snapshots_read)


HONEST = [("pack", b"p"), ("snapshot one", b"pack"), ("other", b"o"), ("snapshot two", b"pack other"), ("end", b"e")]


@pytest.mark.parametrize("workers", [1, 3])
def test_an_honest_history_has_lost_nothing(tmp_path: Path, workers: int) -> None:
    history = make_history(tmp_path, *HONEST)
    explored = explore(tmp_path, history, promise("one", 21), promise("two", 41), workers=workers)
    assert not explored.found
    assert (explored.tried.points, explored.read) == (4, 6)


def test_a_pack_that_is_missing_is_found_at_each_point_that_needs_it(tmp_path: Path) -> None:
    """As a violation, with the first point at which it shows: that of the promise."""
    history = make_history(tmp_path, *[write for write in HONEST if write[0] != "other"])
    explored = explore(tmp_path, history, promise("one", 21), promise("two", 31))
    (loss,) = explored.found
    assert loss.violation.guarantee is Guarantee.RESTORED_EXACTLY
    assert loss.violation.snapshot == "two"
    assert (loss.states, loss.writes, loss.since) == (2, 3, Since.PROMISE)


def test_the_write_that_loses_something_is_found(tmp_path: Path) -> None:
    """Though the first point that is tried, and shows it, is a later one."""
    writes = [*HONEST, *((f"more {number}", b"m") for number in range(30)), ("pack", None)]
    writes += [(f"yet more {number}", b"m") for number in range(30)]
    explored = explore(tmp_path, make_history(tmp_path, *writes), promise("one", 21), promise("two", 41))
    assert {loss.violation.snapshot for loss in explored.found} == {"one", "two"}
    assert {(loss.since, loss.writes, loss.states) for loss in explored.found} == {(Since.WRITE, 36, 31)}


def test_what_is_not_listed_breaks_another_guarantee(tmp_path: Path) -> None:
    explored = explore(tmp_path, make_history(tmp_path, ("pack", b"p"), ("end", b"e")), promise("one", 11))
    (loss,) = explored.found
    assert loss.violation.guarantee is Guarantee.ACKNOWLEDGED_STAYS_LISTED


def test_one_loss_does_not_hide_another(tmp_path: Path) -> None:
    """What is left is listed and compared all the same."""
    writes = [*(write for write in HONEST if write[0] != "other"), ("hidden one", b""), ("yet more", b"m")]
    explored = explore(tmp_path, make_history(tmp_path, *writes), promise("one", 21), promise("two", 31))
    assert {(loss.violation.guarantee, loss.violation.snapshot, loss.states) for loss in explored.found} == {
        (Guarantee.RESTORED_EXACTLY, "two", 4),
        (Guarantee.ACKNOWLEDGED_STAYS_LISTED, "one", 2),
    }


def test_a_repository_that_can_not_be_opened_is_one_loss(tmp_path: Path) -> None:
    writes = [*HONEST, ("broken", b"b"), ("end", b"e")]
    explored = explore(tmp_path, make_history(tmp_path, *writes), promise("one", 21), promise("two", 41))
    (loss,) = explored.found
    assert (loss.violation.guarantee, loss.violation.snapshot) == (Guarantee.ACKNOWLEDGED_STAYS_LISTED, None)
    assert (loss.writes, loss.states) == (6, 2)


def test_what_somebody_asked_to_be_deleted_may_go(tmp_path: Path) -> None:
    writes = [*HONEST, ("snapshot one", None), ("end", b"e")]
    explored = explore(tmp_path, make_history(tmp_path, *writes), promise("one", 21, 55), promise("two", 41))
    assert not explored.found


def test_the_evidence_shows_the_storage_as_it_was(tmp_path: Path) -> None:
    """With the last writes, what the target said, and commands to look at it."""
    history = make_history(tmp_path, *HONEST, ("pack", None), ("end", b"e"))
    explored = explore(tmp_path, history, promise("one", 21), promise("two", 41))
    evidence = Path(explored.found[0].violation.evidence or "")
    assert {path.name for path in evidence.iterdir()} == {
        "README.md",
        "look.sh",
        "writes.txt",
        "repository",
    }
    assert {path.name for path in (evidence / "repository").iterdir()} == {
        *("layout", "snapshot one.x", "other.x", "snapshot two.x", "end.x"),
    }
    assert "DELETE  pack" in (evidence / "writes.txt").read_text()
    assert f"look {evidence / 'repository'} one" in (evidence / "look.sh").read_text()
    assert json.dumps(explored.found[0].as_json())


def test_nobody_else_is_at_work_in_the_directory_of_a_view(tmp_path: Path) -> None:
    """What a program has left there goes before the next state is shown."""
    history = make_history(tmp_path, *HONEST)
    storage = PlainStorage(tmp_path / "view", history.contents, PlainTarget())
    storage.show(history.past.bucket_after(3))
    (tmp_path / "view" / "stranger").mkdir()
    (tmp_path / "view" / "left.x").write_text("left")
    storage.show(history.past.bucket_after(1))
    assert {path.name for path in (tmp_path / "view").iterdir()} == {"layout", "pack.x"}
