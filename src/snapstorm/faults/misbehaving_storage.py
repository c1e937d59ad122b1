"""Faults at the interface of the storage: a storage that refuses, lags or lies, as rules of the gateway.

What a rule strikes is drawn: which requests, which keys, how many. Each is on for some seconds only, because a listing
that is refused for ever may be asked for again for ever.

- *Refuses*: what is acknowledged is done. Operations that met it may fail.
- *Lags*: what was done since the fault began is shown late. Operations that met it may fail, and a listing may not show
  yet what has just happened.
- *Lies*: what is acknowledged is not kept. Nothing may come back wrong without an error. Once it has healed, the
  storage holds what it should, as when a broken copy is replaced by a whole one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import anyio.to_thread

from snapstorm.errors import OperationTimedOut, TargetError
from snapstorm.faults.fault import Fault, FaultKind, NothingToBreak, Record, Scene
from snapstorm.gateway.app import Served
from snapstorm.gateway.rules import Misbehaviour, Operation, Rule, RuleEffect, Strikes
from snapstorm.gateway.storage import put_right_in

_WAIT_FOR_STRIKE_SECONDS_MAX = 10.0
_POLL_SECONDS = 0.02
_LISTINGS_REMEMBERED_SECONDS = 35.0
"""Somewhat longer than any target remembers a listing of its storage."""
_NEVER = Strikes(0, None)
_STATUSES = (500, 503, 503, 429, 403)
_HEALER = "snapstorm"
"""Who puts right what was lied about."""

_PUT, _GET, _DELETE, _LIST, _LOCK = (
    frozenset({one})
    for one in (Operation.PUT, Operation.GET, Operation.DELETE, Operation.LIST, Operation.LOCK)
)  # fmt: skip


class _MisbehavingStorage(Fault):
    """Puts a rule on, and takes it off."""

    needs = "a repository behind the gateway"
    needs_gateway = True
    delays = True
    hold_seconds = (1.0, 6.0)
    aftermath_seconds = 8.0
    misbehaviour: ClassVar[Misbehaviour]
    effect: ClassVar[RuleEffect]
    operations: ClassVar[Sequence[frozenset[Operation]]]
    """The kinds of requests that a rule may strike. One set is drawn, from those of which the storage is being asked
    something."""
    counts_max: ClassVar[Sequence[int | None]] = (1, 3, 20, None)
    """How many requests a rule strikes at most; one is drawn. None for all while it is on."""
    of_one_kind_share: ClassVar[float] = 0.5
    """How many rules are for objects of one kind only."""
    seconds_range: ClassVar[tuple[float, float]] = (0.0, 0.0)
    """How long the rule's effect takes."""

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        super().__init__(scene, draws)
        self._rule: Rule | None = None
        self._number: int | None = None
        self._strikes = _NEVER
        """Those of a rule that was taken off."""

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        return None if scene.gateway is not None else "the repository is not behind the gateway here"

    @property
    def gateway(self) -> Served:
        assert self.scene.gateway is not None
        return self.scene.gateway

    def draw_rule(self) -> Rule:
        """What will go wrong."""
        draws = self.draws
        event = self.gateway.last_event
        # What nobody has asked for as long as we would wait, nobody will.
        asked = self.gateway.asked_lately(_WAIT_FOR_STRIKE_SECONDS_MAX)
        operations = draws.choice([some for some in self.operations if some & asked.keys()] or self.operations)
        kinds = sorted({first for operation in operations for first in asked.get(operation, ())})
        kind = draws.choice(kinds or [""])
        is_of_one_kind = draws.random() < self.of_one_kind_share
        return Rule(
            self.effect,
            operations,
            key_pattern=re.escape(kind) if is_of_one_kind else "",
            requests_max=draws.choice(self.counts_max),
            every=draws.choice((1, 1, 2, 3)),
            status=draws.choice(_STATUSES),
            seconds=draws.uniform(*self.seconds_range),
            since_event=event,
        )

    async def inject(self, record: Record) -> None:
        self._rule = rule = self.draw_rule()
        record(_in_words(rule))
        self._number = self.gateway.put_on(rule)
        with self.scene.clock.move_on_after(_WAIT_FOR_STRIKE_SECONDS_MAX):
            while not self.has_struck and not self.scene.is_calm_awaited():
                await self.scene.clock.sleep(_POLL_SECONDS)
        if not self.has_struck:
            raise NothingToBreak("nobody asked the storage for what it was to do wrong")

    async def hold(self, seconds: float) -> None:
        """Let it last, until somebody wants time to go on."""
        clock = self.scene.clock
        with clock.move_on_after(seconds):
            while not self.scene.is_calm_awaited():
                await clock.sleep(_POLL_SECONDS)

    async def heal(self) -> None:
        if self._number is not None:
            await anyio.to_thread.run_sync(self.gateway.take_off, self._number)
            self._strikes, self._number = self.gateway.strikes(self._number), None

    @property
    def strikes(self) -> Strikes:
        """How often the rule has struck."""
        return self._strikes if self._number is None else self.gateway.strikes(self._number)

    @property
    def has_struck(self) -> bool:
        return self.strikes.requests > 0

    def touches(self, age_seconds: float) -> bool:
        """An operation that had ended before the first request was struck, or began long after the last one, was not
        touched."""
        last_seconds = self.strikes.last_seconds
        if last_seconds is None or self._rule is None:
            return False
        since_seconds = self.scene.clock.monotonic_seconds() - last_seconds
        return since_seconds <= age_seconds + self._rule.seconds + self.aftermath_seconds


def _in_words(rule: Rule) -> Mapping[str, Any]:
    """A rule as it is recorded."""
    return {
        "effect": rule.effect.value,
        "operations": sorted(rule.operations),
        "key_pattern": rule.key_pattern,
        "requests_max": rule.requests_max,
        "every": rule.every,
        "status": rule.status,
        "seconds": rule.seconds,
    }


class _SpoilsObjects(_MisbehavingStorage):
    """Of a storage that keeps something else than what it was sent. When it heals, it gets what it should have."""

    async def inject(self, record: Record) -> None:
        directory = str(self.gateway.directory)
        await super().inject(lambda details: record({**details, "gateway": directory}))

    async def heal(self) -> None:
        if self._number is not None:
            await self._put_right()
        await super().heal()

    async def _put_right(self) -> None:
        number = self._number
        assert number is not None

        def take_off_and_put_right() -> None:
            self.gateway.take_off(number)
            self.gateway.ask(lambda storage: storage.put_right(_HEALER))

        await anyio.to_thread.run_sync(take_off_and_put_right)

    @classmethod
    def heal_left_over(cls, details: Mapping[str, Any]) -> str | None:
        if not details or not Path(details["gateway"]).is_dir():
            return None
        count = put_right_in(Path(details["gateway"]), _HEALER)
        return f"stored {count} object(s) as they were sent" if count else None


class _Refuses(_MisbehavingStorage):
    """Of a storage that does not do what it does not acknowledge, or does more than it acknowledges."""

    kind = FaultKind.REFUSES
    misbehaviour = Misbehaviour.REFUSES
    # Long enough, at times, to outlast whoever tries again.
    hold_seconds = (1.0, 15.0)
    operations: ClassVar[Sequence[frozenset[Operation]]] = (
        _PUT,
        _GET,
        _DELETE,
        _LIST,
        _PUT | _DELETE,
        _GET | _LIST,
        _PUT | _GET | _DELETE | _LIST | _LOCK,
    )


class StorageError(_Refuses):
    """The storage answers some requests with an error (403, 429, 500, 503) and does nothing."""

    key = "storage-error"
    weight = 4
    effect = RuleEffect.ERROR


class StorageLostAnswer(_Refuses):
    """The storage does what some requests ask, and closes the connection instead of an answer."""

    key = "storage-lost-answer"
    weight = 3
    effect = RuleEffect.LOST_ANSWER
    operations = (_PUT, _DELETE, _PUT | _DELETE | _LOCK)


class StorageDrop(_Refuses):
    """The storage closes the connection of some requests and does nothing."""

    key = "storage-drop"
    weight = 2
    effect = RuleEffect.DROP


class StorageTorn(_SpoilsObjects, _Refuses):
    """The storage stores or sends half of some objects, then closes the connection; when it heals, none is half."""

    key = "storage-torn"
    weight = 3
    effect = RuleEffect.TORN
    operations = (_PUT, _GET, _PUT | _GET)

    def touches(self, age_seconds: float) -> bool:
        """Half an object may stay until it has healed: whoever sent it may be dead."""
        is_stored = self._rule is not None and Operation.PUT in self._rule.operations
        return super().touches(age_seconds) or (is_stored and self.has_struck)


class StorageLate(_Refuses):
    """The storage closes the connection of some writes and deletions, and does them seconds later."""

    key = "storage-late"
    weight = 3
    effect = RuleEffect.LATE
    operations = (_PUT, _DELETE, _PUT | _DELETE)
    seconds_range = (0.1, 5.0)


class StorageSlow(_Refuses):
    """The storage takes up to three seconds for some requests."""

    key = "storage-slow"
    effect = RuleEffect.SLOW
    seconds_range = (0.1, 3.0)

    def excuses(self, error: TargetError) -> bool:
        return isinstance(error, OperationTimedOut)


class StorageDoubled(_Refuses):
    """The storage does some writes and deletions twice."""

    key = "storage-doubled"
    effect = RuleEffect.DOUBLED
    operations = (_PUT, _DELETE, _PUT | _DELETE)

    def excuses(self, error: TargetError) -> bool:
        return False


class StorageKeepsAll(_Refuses):
    """The storage refuses to delete anything, as if all was locked."""

    key = "storage-keeps-all"
    effect = RuleEffect.ERROR
    operations = (_DELETE,)
    counts_max = (None,)

    def draw_rule(self) -> Rule:
        return Rule(self.effect, self.operations[0], status=403)


class _MisleadingStorage(_MisbehavingStorage):
    """Whose state must be looked at anew when it has healed."""

    is_veil = True

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        super().__init__(scene, draws)
        if not scene.server.authenticates:
            # Without a server, clients remember listings of the storage themselves. Their caches are theirs: while they
            # are at work, deleting one may make an operation fail (measured).
            self.aftermath_seconds = self.veil_seconds = _LISTINGS_REMEMBERED_SECONDS

    async def heal(self) -> None:
        await super().heal()
        if self.has_struck:
            await self.scene.server.forget_caches([])
            await self.scene.server.refresh()


class _Lags(_MisleadingStorage):
    """Of a storage that shows what was true a while ago."""

    kind = FaultKind.LAGS
    misbehaviour = Misbehaviour.LAGS
    seconds_range = (0.5, 30.0)
    counts_max = (3, 20, None)

    def touches(self, age_seconds: float) -> bool:
        """What somebody was shown is believed for longer than it was true."""
        return self.has_struck


class StorageStaleList(_Lags):
    """Listings of the storage do not show yet what has just been written or deleted."""

    key = "storage-stale-list"
    weight = 3
    effect = RuleEffect.STALE
    operations = (_LIST,)


class StoragePartialList(_Lags):
    """Listings of the storage show only half of what has just been written or deleted."""

    key = "storage-partial-list"
    weight = 3
    effect = RuleEffect.PARTIAL_LIST
    operations = (_LIST,)


class StorageStaleRead(_Lags):
    """What has just been written can't be read yet, or is read as it was before."""

    key = "storage-stale-read"
    weight = 2
    effect = RuleEffect.STALE
    operations = (_GET, _GET | _LIST)


class _Lies(_SpoilsObjects, _MisleadingStorage):
    """Of a storage that acknowledges what it does not keep."""

    kind = FaultKind.LIES
    misbehaviour = Misbehaviour.LIES
    is_damage = True
    spoils_collections = True
    hold_seconds = (1.0, 4.0)
    operations: ClassVar[Sequence[frozenset[Operation]]] = (_PUT,)
    counts_max: ClassVar[Sequence[int | None]] = (1, 3, None)

    async def hold(self, seconds: float) -> None:
        """Clients write, and read. Then it is looked at what nobody's cache can hide any more."""
        await super().hold(seconds)
        await self.scene.server.forget_caches([])
        await self.scene.judge.probe_damage()

    def touches(self, age_seconds: float) -> bool:
        """What it has not kept is missing until it has healed."""
        return self.has_struck


class StorageForgets(_Lies):
    """The storage acknowledges some writes and stores nothing; when it heals, it has what it should."""

    key = "storage-forgets"
    weight = 2
    effect = RuleEffect.NOT_STORED


class StorageKeepsHalf(_Lies):
    """The storage acknowledges some writes and stores only half; when it heals, it has what it should."""

    key = "storage-keeps-half"
    weight = 2
    effect = RuleEffect.HALF_STORED


class StorageFlipsBit(_Lies):
    """The storage stores some objects with one bit flipped; when it heals, it has what it should."""

    key = "storage-flips-bit"
    weight = 2
    effect = RuleEffect.FLIPPED


class StorageOldBytes(_Lies):
    """Objects that were overwritten are read as they were before."""

    key = "storage-old-bytes"
    effect = RuleEffect.OLD_BYTES
    operations = (_GET,)
    counts_max = (None,)

    def draw_rule(self) -> Rule:
        return Rule(self.effect, self.operations[0])
