"""The generator: which action a client does next, decided purely from weights and what is possible now."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from snapstorm.model.actions import ACTIONS, Action


def choose(
    weights: Mapping[str, int],
    options: Mapping[str, Mapping[str, Any]],
    can_act: Callable[[Action], bool],
    draws: random.Random,
) -> Action | None:
    """A random action by weight, never one that could only be a no-op while another is possible.

    None when every weight is zero. `options` holds for each key the options that differ from the defaults.
    """
    candidates = [make_action(key, options.get(key, {})) for key, weight in weights.items() if weight > 0]
    possible = [action for action in candidates if can_act(action)] or candidates
    if not possible:
        return None
    return draws.choices(possible, [weights[action.key] for action in possible])[0]


def make_action(key: str, options: Mapping[str, Any]) -> Action:
    """The action of that key with these options."""
    return ACTIONS[key](**options)
