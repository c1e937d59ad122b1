"""The generator: which action a client does next, decided purely from weights, history and what is possible now."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from snapstorm.model.actions import ACTIONS, Action, SnapshotRoot, WriteRandomFiles
from snapstorm.model.amounts import Span

FILLERS_MAX = 3
"""How many actions a deck adds to make the ones that it holds possible."""

FIRST_SIZE_BYTES_MAX = 64 << 10
STEPS_TO_DOUBLE = 2
_DOUBLINGS_MAX = 40


def choose(
    weights: Mapping[str, int],
    made: Callable[[str], Action[Any]],
    can_act: Callable[[Action[Any]], bool],
    draws: random.Random,
) -> Action[Any] | None:
    """A random action by weight, never one that could only be a no-op while another is possible.

    None when every weight is zero. `made` gives the action of a key, with the options that it is to have.
    """
    candidates = [made(key) for key, weight in weights.items() if weight > 0]
    possible = [action for action in candidates if can_act(action)] or candidates
    if not possible:
        return None
    return draws.choices(possible, [weights[action.key] for action in possible])[0]


class Deck:
    """What one client does first: it writes, takes a snapshot, and does its share of all actions that have weight, each
    once. So a short run is broad whatever its weights. After that, actions are drawn by weight."""

    def __init__(self, weights: Mapping[str, int], draws: random.Random, place: int = 0, clients: int = 1) -> None:
        """The share of the client at `place` among so many; `draws` are to be the same for all of them, so that
        together they do all actions and begin with different ones."""
        opening = (WriteRandomFiles.key, SnapshotRoot.key)
        keys = sorted(key for key, weight in weights.items() if weight > 0 and key not in opening)
        draws.shuffle(keys)
        self._share = _dealt(keys, clients, draws.randrange(clients))[place]
        self._opening = [key for key in opening if weights.get(key, 0) > 0]
        self._fillers = tuple(reversed(self._opening))
        self._fillers_left = FILLERS_MAX
        self._has_written = False

    @property
    def left(self) -> int:
        """How many of its actions are still to be done."""
        return len(self._opening) + len(self._share)

    def take(self, weights: Mapping[str, int], can_act: Callable[[str], bool]) -> str | None:
        """The next action of those that are possible and have weight now; the others are put off. None for one that is
        to be drawn by weight."""

        def is_possible(key: str) -> bool:
            return weights.get(key, 0) > 0 and can_act(key)

        if self._opening and is_possible(self._opening[0]):
            return self._opening.pop(0)
        for key in filter(is_possible, self._share):
            self._share.remove(key)
            return key
        if self._share and self._fillers_left:
            self._fillers_left -= 1
            return next(filter(is_possible, self._fillers), None)
        return None

    def is_first(self, action: Action[Any]) -> bool:
        """Whether this, which the client does now, is the first of its kind that writes files."""
        is_first = isinstance(action, WriteRandomFiles) and not self._has_written
        self._has_written |= is_first
        return is_first


def _dealt(keys: Sequence[str], clients: int, begin: int) -> list[list[str]]:
    """The keys in as many shares, which take about as many steps each. The first key goes to the share at `begin`."""
    shares: list[list[str]] = [[] for _ in range(clients)]
    steps = [0] * clients
    order = [*range(begin, clients), *range(begin)]
    for key in sorted(keys, key=lambda key: -ACTIONS[key].deck_places):
        place = min(order, key=lambda place: steps[place])
        shares[place].append(key)
        steps[place] += ACTIONS[key].deck_places
    return shares


def making(options: Mapping[str, Mapping[str, Any]]) -> Callable[[str], Action[Any]]:
    """What gives the action of a key, with its `options` that differ from the defaults.

    Each is made once: making one checks its options, which takes longer than choosing among ten.
    """
    return functools.cache(lambda key: ACTIONS[key](**options.get(key, {})))


def as_drawn(action: Action[Any], step: int, *, is_first: bool) -> Action[Any]:
    """The action as a client does it at this step of its own: with small files early on, where that is asked for, and
    one of each kind if it is the first that it draws."""
    if not isinstance(action, WriteRandomFiles):
        return action
    has_specimens = is_first and action.odd_percent > 0
    if not has_specimens and not action.small_first:
        return action
    options = {name: getattr(action, name) for name in action.model_fields_set - {"small_first"}}
    if has_specimens:
        options["one_of_each"] = True
    if action.small_first:
        options["size_bytes"] = bounded(action.size_bytes, size_bytes_max(step))
    return WriteRandomFiles(**options)


def size_bytes_max(step: int) -> int:
    """How large a client's files may be at this step, where small ones come first."""
    return FIRST_SIZE_BYTES_MAX << min((step - 1) // STEPS_TO_DOUBLE, _DOUBLINGS_MAX)


def bounded(size_bytes: int | Span, most: int) -> int | Span:
    """A size, or a range of sizes, that goes no further than `most`."""
    if isinstance(size_bytes, Span):
        return Span(low=min(size_bytes.low, most), high=min(size_bytes.high, most))
    return min(size_bytes, most)
