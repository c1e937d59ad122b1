"""Choosing: which action a client does next where its scenario leaves that open."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any

from snapstorm.actions.performer import Performers
from snapstorm.actions.quota import Quota
from snapstorm.model.actions import Action
from snapstorm.scenario.generator import Deck, as_drawn, choose, making
from snapstorm.testbed.context import RunContext


class Choosing:
    """Chooses for all clients of one run."""

    def __init__(self, run: RunContext, quota: Quota, refused_actions: Collection[str], performers: Performers) -> None:
        self._run = run
        self._quota = quota
        self._refused_actions = refused_actions
        self._performers = performers
        self._options: Mapping[str, Mapping[str, Any]] | None = None
        self._made = making({})
        """The actions of the options that were given last, which are the same through a scenario."""

    def deal(self, weights: Mapping[str, int], place: int, clients: int) -> Deck:
        """The deck of first actions for the client at `place` among `clients`."""
        possible = {key: weight for key, weight in weights.items() if key not in self._refused_actions}
        return Deck(possible, self._run.stream("deck"), place, clients)

    def choose(
        self,
        client: str,
        number: int,
        weights: Mapping[str, int],
        options: Mapping[str, Mapping[str, Any]] | None,
        deck: Deck | None,
    ) -> Action[Any] | None:
        """The action of this client's step of this number: of the deck, while that has one, or else by weight.
        None if nothing has weight."""
        if options is not self._options:
            self._options, self._made = options, making(options or {})
        now = self._quota.weights(weights, self._run.ledger.count_live(client))
        key = None if deck is None else deck.take(now, lambda key: self._may_deal(client, self._made(key)))
        if key is not None:
            action: Action[Any] | None = self._made(key)
        else:
            # From a stream of its own, so that an action that is done again without having been chosen draws the same.
            draws = self._run.stream(client, number, "choice")
            action = choose(now, self._made, functools.partial(self._performers.can_act, client), draws)
        if action is None:
            return None
        return as_drawn(action, number, is_first=deck is not None and deck.is_first(action))

    def _may_deal(self, client: str, action: Action[Any]) -> bool:
        """Whether the client can act, and still has a snapshot to verify afterwards, if it has any."""
        leaves_a_snapshot = not action.needs_right_to_delete or self._run.ledger.count_live(client) > 1
        return self._performers.can_act(client, action) and leaves_a_snapshot
