"""Draws follow from seeds, and the generator never offers a vain action while another is possible."""

from __future__ import annotations

import random
from collections import Counter

from snapstorm.model.actions import Action, SnapshotRoot
from snapstorm.plan.generator import MadeActions, choose
from snapstorm.plan.seeds import stream

WEIGHTS = {"snapshot-root": 1, "restore-random-snapshot": 100, "delete-files": 0}


def test_an_action_that_could_only_be_a_noop_is_not_offered() -> None:
    """However heavy its weight, what can't act is not chosen while something else can."""
    for seed in range(200):
        chosen = choose(WEIGHTS, MadeActions({}), lambda action: isinstance(action, SnapshotRoot), random.Random(seed))
        assert isinstance(chosen, SnapshotRoot)


def test_when_nothing_can_act_a_noop_is_better_than_a_standstill() -> None:
    """With no possible action one of the weighted ones is chosen all the same."""
    assert choose(WEIGHTS, MadeActions({}), lambda action: False, random.Random(1)) is not None


def test_weights_are_kept() -> None:
    """An action of weight 100 comes about 100 times as often as one of weight 1; weight 0 never comes."""
    draws = random.Random(3)
    seen: Counter[str] = Counter()
    for _ in range(3000):
        action = choose(WEIGHTS, MadeActions({}), lambda action: True, draws)
        assert isinstance(action, Action)
        seen[action.key] += 1
    assert seen["delete-files"] == 0
    assert 10 <= seen["snapshot-root"] <= 60


def test_without_weights_there_is_nothing_to_choose() -> None:
    """All weights zero gives None."""
    assert choose({"snapshot-root": 0}, MadeActions({}), lambda action: True, random.Random(1)) is None


def test_streams_depend_on_every_part_of_their_name() -> None:
    """Two streams are equal only if seed, run, client and step are; numbers and their texts are not the same name."""
    names = [(7, 1, "c", 1), (8, 1, "c", 1), (7, 2, "c", 1), (7, 1, "d", 1), (7, 1, "c", 2), ("7", 1, "c", 1)]
    first = [stream(*name).random() for name in names]
    assert len(set(first)) == len(names)
    assert first == [stream(*name).random() for name in names]


def test_streams_are_the_same_everywhere() -> None:
    """The first draw of a known stream is pinned: a change would make old seeds mean something else."""
    assert stream(7, 1, "client-1@snapstorm", 1).getrandbits(64) == PINNED


PINNED = 5767903394790000268
