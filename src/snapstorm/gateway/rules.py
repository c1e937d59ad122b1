"""Rules: what the storage does wrong, with which requests, and how badly. Pure.

Three classes, by what a backup system owes under them:

- A storage that *refuses* never acknowledges what it has not done. Operations may fail, nothing may get lost.
- A storage that *lags* shows what was true a while ago. The same holds.
- A storage that *lies* acknowledges what it has not kept. A loss can't be prevented then, but it must be noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from snapstorm.gateway.s3 import Asked, DeleteObject, GetObject, ListObjects, PutObject, PutRetention


class Misbehaviour(StrEnum):
    """How badly a storage behaves."""

    REFUSES = "refuses"
    LAGS = "lags"
    LIES = "lies"


class Operation(StrEnum):
    """What a request does."""

    PUT = "put"
    GET = "get"
    DELETE = "delete"
    LIST = "list"
    LOCK = "lock"


class RuleEffect(StrEnum):
    """What becomes of a request."""

    ERROR = "error"
    """It is answered with an error, and nothing is done."""
    LOST_ANSWER = "lost-answer"
    """It is done, and the connection is closed instead of an answer."""
    DROP = "drop"
    """The connection is closed, and nothing is done."""
    SLOW = "slow"
    """It is done later, and answered then."""
    TORN = "torn"
    """Half of the object is stored, or sent, then the connection is closed."""
    LATE = "late"
    """The connection is closed, and it is done later."""
    DOUBLED = "doubled"
    """It is done twice, then answered."""
    STALE = "stale"
    """What was there a while ago is shown: in a listing, or of an object."""
    PARTIAL_LIST = "partial-list"
    """A listing does not show half of the recent changes."""
    NOT_STORED = "not-stored"
    """A write is acknowledged, and nothing is done."""
    HALF_STORED = "half-stored"
    """A write is acknowledged, and half of the object is stored."""
    FLIPPED = "flipped"
    """A write is acknowledged, and the object is stored with one bit changed."""
    OLD_BYTES = "old-bytes"
    """An object is read as it was before it was overwritten."""


_ALL = frozenset(Operation)

CAN_HAVE: dict[RuleEffect, tuple[Misbehaviour, frozenset[Operation]]] = {
    RuleEffect.ERROR: (Misbehaviour.REFUSES, _ALL),
    RuleEffect.LOST_ANSWER: (Misbehaviour.REFUSES, _ALL),
    RuleEffect.DROP: (Misbehaviour.REFUSES, _ALL),
    RuleEffect.SLOW: (Misbehaviour.REFUSES, _ALL),
    RuleEffect.TORN: (Misbehaviour.REFUSES, frozenset({Operation.PUT, Operation.GET})),
    RuleEffect.LATE: (Misbehaviour.REFUSES, frozenset({Operation.PUT, Operation.DELETE})),
    RuleEffect.DOUBLED: (Misbehaviour.REFUSES, frozenset({Operation.PUT, Operation.DELETE})),
    RuleEffect.STALE: (Misbehaviour.LAGS, frozenset({Operation.GET, Operation.LIST})),
    RuleEffect.PARTIAL_LIST: (Misbehaviour.LAGS, frozenset({Operation.LIST})),
    RuleEffect.NOT_STORED: (Misbehaviour.LIES, frozenset({Operation.PUT})),
    RuleEffect.HALF_STORED: (Misbehaviour.LIES, frozenset({Operation.PUT})),
    RuleEffect.FLIPPED: (Misbehaviour.LIES, frozenset({Operation.PUT})),
    RuleEffect.OLD_BYTES: (Misbehaviour.LIES, frozenset({Operation.GET})),
}
"""The class of each effect, and the operations that it makes sense for."""


@dataclass(frozen=True)
class Rule:
    """One thing that the storage does wrong, as long as the rule is on."""

    effect: RuleEffect
    operations: frozenset[Operation]
    key_pattern: str = ""
    """A regular expression that keys begin with; a listing's prefix is matched in its place."""
    actors: frozenset[str] = frozenset()
    """Whose requests; all without any."""
    requests_max: int | None = None
    """How many requests at most; None for all."""
    every: int = 1
    """It strikes every so many-th request that matches and that it would change."""
    status: int = 503
    """Of an error."""
    seconds: float = 1.0
    """How long `slow` and `late` take, and what counts as recent."""
    since_event: int = 0
    """What happened up to this event is never hidden, however recent it is."""

    def __post_init__(self) -> None:
        if not self.operations <= CAN_HAVE[self.effect][1]:
            raise ValueError(f"{self.effect} does not fit {', '.join(sorted(self.operations))}")
        re.compile(self.key_pattern)

    @property
    def misbehaviour(self) -> Misbehaviour:
        """Its class."""
        return CAN_HAVE[self.effect][0]

    def matches(self, asked: Asked, actor: str) -> bool:
        """Whether it is for such a request."""
        operation, key = target_of(asked)
        return (
            operation in self.operations
            and (not self.actors or actor in self.actors)
            and re.match(self.key_pattern, key) is not None
        )


def target_of(asked: Asked) -> tuple[Operation | None, str]:
    """What a request does, and with which key, or which beginning of keys."""
    match asked:
        case PutObject(key=key):
            return Operation.PUT, key
        case PutRetention(key=key):
            return Operation.LOCK, key
        case GetObject(key=key):
            return Operation.GET, key
        case DeleteObject(key=key):
            return Operation.DELETE, key
        case ListObjects(prefix=prefix):
            return Operation.LIST, prefix
        case _:
            return None, ""


class Strikes(NamedTuple):
    """How often a rule has struck."""

    requests: int
    last_seconds: float | None
    """When it did last, on the monotonic clock; None if it never did."""


class RuleBook:
    """The rules that are on, and how often each has struck."""

    def __init__(self, monotonic_seconds: Callable[[], float] = lambda: 0.0) -> None:
        self._monotonic_seconds = monotonic_seconds
        self._on: dict[int, Rule] = {}
        self._struck_seconds: dict[int, float] = {}
        self._matched: dict[int, int] = {}
        self._asked_seconds: dict[tuple[Operation, str], float] = {}
        self.struck: dict[int, int] = {}
        """By the number of a rule: how many requests it has changed, also after it was taken away."""

    def add(self, rule: Rule) -> int:
        """Put a rule on. Returns its number."""
        number = len(self.struck) + 1
        self._matched[number] = self.struck[number] = 0
        self._on[number] = rule
        return number

    def remove(self, number: int) -> None:
        """Take a rule away."""
        self._on.pop(number, None)

    def draw(self, asked: Asked, actor: str, changes: Callable[[Rule], bool] = lambda _: True) -> Rule | None:
        """The rule that this request falls under, which counts as struck: the oldest that is on and `changes` what
        comes of it. None without one."""
        operation, key = target_of(asked)
        if operation is not None:
            self._asked_seconds[operation, key[:1]] = self._monotonic_seconds()
        for number, rule in self._on.items():
            is_used_up = rule.requests_max is not None and self.struck[number] >= rule.requests_max
            if is_used_up or not rule.matches(asked, actor) or not changes(rule):
                continue
            self._matched[number] += 1
            if self._matched[number] % rule.every == 0:
                self.struck[number] += 1
                self._struck_seconds[number] = self._monotonic_seconds()
                return rule
        return None

    def asked_lately(self, seconds: float) -> dict[Operation, set[str]]:
        """The kinds of requests that have arrived in the last so many seconds, each with the first characters of the
        keys that they were about: objects of one kind begin alike. An empty one is that of a listing of all."""
        since_seconds = self._monotonic_seconds() - seconds
        lately: dict[Operation, set[str]] = {}
        for (operation, first), when in self._asked_seconds.items():
            if when >= since_seconds:
                lately.setdefault(operation, set()).add(first)
        return lately

    def strikes(self, number: int) -> Strikes:
        """How often this rule has struck, also after it was taken away."""
        return Strikes(self.struck[number], self._struck_seconds.get(number))
