"""The generator: which action a client does next, decided purely from weights and what is possible now."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from snapstorm.model.actions import ACTIONS, Action


def choose(
    weights: Mapping[str, int],
    made: Callable[[str], Action],
    can_act: Callable[[Action], bool],
    draws: random.Random,
) -> Action | None:
    """A random action by weight, never one that could only be a no-op while another is possible.

    None when every weight is zero. `made` gives the action of a key, with the options that it is to have.
    """
    candidates = [made(key) for key, weight in weights.items() if weight > 0]
    possible = [action for action in candidates if can_act(action)] or candidates
    if not possible:
        return None
    return draws.choices(possible, [weights[action.key] for action in possible])[0]


class MadeActions:
    """Actions by key, each made once: making one checks its options, which takes longer than choosing among ten."""

    def __init__(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """`options` holds for each key the options that differ from the defaults."""
        self._options = options
        self._made: dict[str, Action] = {}

    def __call__(self, key: str) -> Action:
        """The action of that key."""
        action = self._made.get(key)
        if action is None:
            action = self._made[key] = ACTIONS[key](**self._options.get(key, {}))
        return action
