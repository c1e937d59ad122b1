"""Draws follow from seeds, and the generator never offers a vain action while another is possible."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

import pytest

from snapstorm.model.actions import Action, SnapshotRoot, WriteRandomFiles
from snapstorm.model.amounts import Span
from snapstorm.scenario.generator import FILLERS_MAX, FIRST_SIZE_BYTES_MAX, Deck, as_drawn, choose, making
from snapstorm.scenario.seeds import stream
from snapstorm.scenario.shipped_scenarios import shipped

WEIGHTS = {"snapshot-root": 1, "restore-random-snapshot": 100, "delete-files": 0}


def test_an_action_that_could_only_be_a_noop_is_not_offered() -> None:
    """However heavy its weight, what can't act is not chosen while something else can."""
    for seed in range(200):
        chosen = choose(WEIGHTS, making({}), lambda action: isinstance(action, SnapshotRoot), random.Random(seed))
        assert isinstance(chosen, SnapshotRoot)


def test_when_nothing_can_act_a_noop_is_better_than_a_standstill() -> None:
    """With no possible action one of the weighted ones is chosen all the same."""
    assert choose(WEIGHTS, making({}), lambda action: False, random.Random(1)) is not None


def test_weights_are_kept() -> None:
    """An action of weight 100 comes about 100 times as often as one of weight 1; weight 0 never comes."""
    draws = random.Random(3)
    seen: Counter[str] = Counter()
    for _ in range(3000):
        action = choose(WEIGHTS, making({}), lambda action: True, draws)
        assert isinstance(action, Action)
        seen[action.key] += 1
    assert seen["delete-files"] == 0
    assert 10 <= seen["snapshot-root"] <= 60


def test_without_weights_there_is_nothing_to_choose() -> None:
    """All weights zero gives None."""
    assert choose({"snapshot-root": 0}, making({}), lambda action: True, random.Random(1)) is None


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


# The deck.

RANDOMIZED = shipped("randomized").weights
MANY = dict.fromkeys(RANDOMIZED, 1)
SNAPSHOT_NEEDING = {"restore-random-snapshot", "restore-subpath", "restore-into-data-directory", "snapshot-subpath"}


class Client:
    """Stands for a client of which only the number of its files and snapshots matters."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def can_act(self, key: str) -> bool:
        snapshots = self.done.count("snapshot-root") - self.done.count("delete-random-snapshot")
        if key in SNAPSHOT_NEEDING:
            return snapshots > 0
        if key == "delete-random-snapshot":
            return snapshots > 1
        if key == "expire":
            return snapshots > 2
        return key in ("write-random-files", "list-snapshots", "run-gc", "verify-repository") or bool(self.done)

    def take_from(self, deck: Deck, weights: Mapping[str, int]) -> bool:
        """Do what the deck says; False where it says nothing."""
        key = deck.take(weights, self.can_act)
        if key is not None:
            assert self.can_act(key)
            self.done.append(key)
        return key is not None


def decks(seed: int, clients: int, weights: Mapping[str, int] = RANDOMIZED) -> list[Deck]:
    return [Deck(weights, stream(seed, 1, "deck"), place, clients) for place in range(clients)]


@pytest.mark.parametrize("clients", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(20))
def test_thirty_actions_leave_none_with_weight_out(seed: int, clients: int) -> None:
    """Of all clients together, whichever weights, and none that has weight 0 is done."""
    weights = {**RANDOMIZED, "list-snapshots": 0}
    everybody = [(Client(), deck) for deck in decks(seed, clients, weights)]
    for _ in range(30):
        for client, deck in everybody:
            if sum(len(one.done) for one, _ in everybody) < 30:
                client.take_from(deck, weights)
    done = {key for client, _ in everybody for key in client.done}
    assert done == {key for key, weight in weights.items() if weight}


def test_each_client_writes_and_takes_a_snapshot_first_and_then_does_something_of_its_own() -> None:
    """What they do after that is shared out: nobody does what another one does."""
    shares = []
    for deck in decks(5, 3):
        client = Client()
        while client.take_from(deck, RANDOMIZED):
            pass
        assert client.done[:2] == ["write-random-files", "snapshot-root"]
        shares.append([key for key in client.done[2:] if key != "snapshot-root"])
    assert sorted(key for share in shares for key in share) == sorted(
        RANDOMIZED.keys() - {"write-random-files", "snapshot-root"}
    )
    assert len({share[0] for share in shares}) == len(shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 3


def test_what_is_not_possible_is_put_off_and_not_lost() -> None:
    """It comes as soon as it is possible, although weights have decided for a while."""
    deck = Deck({"expire": 1, "snapshot-root": 1}, stream(1), 0, 1)
    assert deck.take({"expire": 1, "snapshot-root": 1}, lambda key: False) is None
    for _ in range(50):
        deck.take({"expire": 1, "snapshot-root": 1}, lambda key: key == "snapshot-root")
    assert deck.take({"expire": 1, "snapshot-root": 1}, lambda key: True) == "expire"
    assert deck.take({"expire": 1, "snapshot-root": 1}, lambda key: True) is None


def test_what_never_gets_possible_takes_few_steps() -> None:
    """Snapshots are added to make it possible, but not for ever."""
    weights = {"snapshot-root": 1, "write-random-files": 1, "expire": 1}
    deck = Deck(weights, stream(1), 0, 1)
    dealt = [deck.take(weights, lambda key: key != "expire") for _ in range(50)]
    assert [key for key in dealt if key] == ["write-random-files", *["snapshot-root"] * (1 + FILLERS_MAX)]


def test_what_has_no_weight_now_is_put_off() -> None:
    """Room may be short for a while."""
    deck = Deck({"snapshot-root": 5, "run-gc": 1}, stream(1), 0, 1)
    assert deck.take({"snapshot-root": 0, "run-gc": 4}, lambda key: True) == "run-gc"
    assert deck.take({"snapshot-root": 5, "run-gc": 1}, lambda key: True) == "snapshot-root"


def test_decks_follow_from_the_seed() -> None:
    """Equal seeds deal the same, whatever the order of the weights; other seeds deal otherwise."""

    def dealt(seed: int, weights: Mapping[str, int]) -> list[str | None]:
        deck = Deck(weights, stream(seed, 1, "deck"), 0, 1)
        return [deck.take(weights, lambda key: True) for _ in weights]

    assert dealt(1, MANY) == dealt(1, dict(reversed(MANY.items())))
    assert len({tuple(dealt(seed, MANY)) for seed in range(10)}) == 10


# As drawn.


def test_small_files_come_first_where_that_is_asked_for() -> None:
    """The bound grows with the client's own steps, until the whole range is drawn from."""
    action = WriteRandomFiles(size_bytes=Span(low=0, high=64 << 20), small_first=True)
    tops = []
    for step in range(1, 30):
        drawn = as_drawn(action, step, is_first=False)
        assert isinstance(drawn, WriteRandomFiles)
        assert isinstance(drawn.size_bytes, Span)
        assert not drawn.small_first
        tops.append(drawn.size_bytes.high)
    assert tops[0] == FIRST_SIZE_BYTES_MAX
    assert tops == sorted(tops)
    assert tops[-1] == 64 << 20
    assert len(set(tops)) > 5


@pytest.mark.parametrize("size_bytes", [Span(low=1 << 20, high=2 << 20), 5 << 20])
def test_sizes_that_all_are_above_the_bound_become_the_bound(size_bytes: int | Span) -> None:
    """A range stays one."""
    drawn = as_drawn(WriteRandomFiles(size_bytes=size_bytes, small_first=True), 1, is_first=False)
    assert isinstance(drawn, WriteRandomFiles)
    assert drawn.size_bytes in (FIRST_SIZE_BYTES_MAX, Span(low=FIRST_SIZE_BYTES_MAX, high=FIRST_SIZE_BYTES_MAX))


def test_what_was_typed_is_left_as_it_is() -> None:
    """Without being asked for, sizes are not bounded, and nothing but the first write has one of each."""
    typed = WriteRandomFiles(size_bytes=Span(low=0, high=64 << 20))
    assert as_drawn(typed, 1, is_first=False) is typed
    plain = WriteRandomFiles(odd_percent=0)
    assert as_drawn(plain, 1, is_first=True) is plain
    first = as_drawn(typed, 1, is_first=True)
    assert first == WriteRandomFiles(size_bytes=Span(low=0, high=64 << 20), one_of_each=True)


def test_only_the_first_write_is_the_first() -> None:
    """Whichever other actions come before it."""
    deck = Deck(RANDOMIZED, stream(1))
    assert not deck.is_first(SnapshotRoot())
    assert deck.is_first(WriteRandomFiles())
    assert not deck.is_first(WriteRandomFiles())
