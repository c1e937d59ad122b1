"""After a storm clients get on their feet: what counts is what they do, not how fast this machine is."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from snapstorm.faults.weather import Weather
from snapstorm.guarantees.panel import Found, Panel
from snapstorm.model.actions import Action
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.outcomes import Failed, Ok, Outcome
from snapstorm.run.aftermath import Aftermath

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("outcome", [Ok(SimpleNamespace(id="k1")), Failed("no session")])
async def test_a_client_that_gets_its_turn_late_is_tried_once(outcome: Outcome[Any]) -> None:
    """The time is up before the first try; the try is made all the same, and decides."""
    minutes = itertools.count()
    done, reported, panel = list[str](), list[Found](), Panel()

    def now_seconds() -> float:
        return 60.0 * next(minutes)

    async def execute(action: Action[Any]) -> Outcome[Any]:
        done.append(action.key)
        return outcome

    run: Any = SimpleNamespace(now_seconds=now_seconds, weather=Weather(now_seconds))
    engine: Any = SimpleNamespace(execute=execute)
    checker: Any = SimpleNamespace(observe=lambda seen: reported.extend(panel.judge(seen)))
    server: Any = SimpleNamespace()
    await Aftermath(run, engine, server, server, checker, server).recover(["ada"], 30.0)
    if isinstance(outcome, Ok):
        assert (done, reported) == (["snapshot-root", "restore-snapshot"], [])
    else:
        assert done == ["snapshot-root"]
        assert [found.guarantee for found in reported] == [Guarantee.RECOVERS]
        assert reported[0].finding.detail.endswith("no session")
