"""What becomes of a request that falls under a rule."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from snapstorm.gateway.bucket import Bucket, Page, StoredObject
from snapstorm.gateway.contents import digest_of
from snapstorm.gateway.rules import Rule, RuleEffect, target_of
from snapstorm.gateway.s3 import Answer, Asked, GetObject, ListObjects, PutObject, S3Error, put_answer, without_chunks
from snapstorm.gateway.storage import Answered, Request, Storage


class Outcome(NamedTuple):
    """What the sender of a request gets."""

    answer: Answer | None
    """None: the connection is closed."""
    applied: int | None = None
    """The event at which it changed something and is acknowledged."""
    is_cut: bool = False
    """Half of the body is sent, then the connection is closed."""


Later: TypeAlias = Callable[[float, Callable[[], object]], None]
"""Calls a function after so many seconds."""


async def misbehave(rule: Rule, storage: Storage, request: Request, later: Later) -> Outcome:
    """Treat a request as a rule says. Raises what `Storage.answer` raises."""
    match rule.effect:
        case RuleEffect.ERROR:
            raise S3Error(rule.status, "ServiceUnavailable", "The storage refuses this request on purpose.")
        case RuleEffect.DROP:
            return Outcome(None)
        case RuleEffect.LATE:
            later(rule.seconds, lambda: _attempt(storage, request))
            return Outcome(None)
        case RuleEffect.LOST_ANSWER:
            _attempt(storage, request)
            return Outcome(None)
        case RuleEffect.SLOW:
            await asyncio.sleep(rule.seconds)
            return _honest(storage.answer(request))
        case RuleEffect.DOUBLED:
            storage.answer(request)
            return _honest(storage.answer(request))
        case RuleEffect.TORN:
            return _torn(storage, request)
        case RuleEffect.STALE | RuleEffect.PARTIAL_LIST | RuleEffect.OLD_BYTES:
            return _honest(storage.answer(request, shown=_shown_under(rule, storage, request.asked)))
        case RuleEffect.NOT_STORED | RuleEffect.HALF_STORED | RuleEffect.FLIPPED:
            return _lie(rule.effect, storage, request)


def changes(rule: Rule, storage: Storage, asked: Asked) -> bool:
    """Whether the rule makes a difference: the past may be as the present."""
    shown = _shown_under(rule, storage, asked)
    return shown is None or _told_of(shown, asked) != _told_of(storage.bucket, asked)


def _shown_under(rule: Rule, storage: Storage, asked: Asked) -> Bucket | None:
    """The bucket that the rule shows in place of the real one; None for a rule that shows the real one."""
    match rule.effect:
        case RuleEffect.STALE:
            return _recently(rule, storage)
        case RuleEffect.PARTIAL_LIST:
            return _recently(rule, storage, _is_of_half)
        case RuleEffect.OLD_BYTES:
            return _with_overwritten(storage, asked)
        case _:
            return None


def _told_of(bucket: Bucket, asked: Asked) -> Page | StoredObject | None:
    match asked:
        case GetObject(key=key):
            return bucket.get(key)
        case ListObjects():
            return bucket.page(
                asked.prefix, delimiter=asked.delimiter, after=asked.after, entries_max=asked.entries_max
            )
        case _:
            return None


def _honest(answered: Answered) -> Outcome:
    return Outcome(answered.answer, answered.applied)


def _attempt(storage: Storage, request: Request) -> None:
    """Do it, if it can be done; nobody learns of it."""
    try:
        storage.answer(request)
    except S3Error:
        return


def _torn(storage: Storage, request: Request) -> Outcome:
    if isinstance(request.asked, GetObject):
        return Outcome(storage.answer(request).answer, is_cut=True)
    asked, body = _plain(request)
    with contextlib.suppress(S3Error):
        storage.keep_instead(request._replace(asked=asked, body=body), body[: len(body) // 2])
    return Outcome(None)


def _lie(effect: RuleEffect, storage: Storage, request: Request) -> Outcome:
    asked, body = _plain(request)
    middle = len(body) // 2
    kept: bytes | None = body[:middle]
    if effect is RuleEffect.NOT_STORED:
        kept = None
    elif effect is RuleEffect.FLIPPED and body:
        kept = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
    applied = storage.keep_instead(request._replace(asked=asked, body=body), kept)
    return Outcome(put_answer(digest_of(body)), applied)


def _recently(rule: Rule, storage: Storage, is_shown: Callable[[str], bool] = lambda _: False) -> Bucket:
    return storage.before(rule.seconds, since_event=rule.since_event, is_shown=is_shown)


def _is_of_half(key: str) -> bool:
    return digest_of(key.encode("utf-8", "surrogateescape"))[0] % 2 == 0


def _with_overwritten(storage: Storage, asked: Asked) -> Bucket:
    _, key = target_of(asked)
    bucket, before = storage.bucket.copy(), storage.overwritten(key)
    if before is not None:
        bucket.put(key, before)
    return bucket


def _plain(request: Request) -> tuple[PutObject, bytes]:
    """The bytes to be stored, and what is asked if they come as they are."""
    asked = request.asked
    assert isinstance(asked, PutObject), "rules about stored bytes are for PUT alone"
    body = without_chunks(request.body) if asked.is_chunked else request.body
    return replace(asked, is_chunked=False), body
