"""Errors on the wire: an error of `snapstorm.errors` comes back as the same class, with its words and its fields."""

from __future__ import annotations

from collections.abc import Container, Iterable

from snapstorm import errors
from snapstorm.errors import (
    ANY_BLOB,
    ConfigError,
    FaultNotPossible,
    GuaranteeViolated,
    HarnessError,
    SnapstormError,
    TargetError,
)
from snapstorm.machines.wire import CallFailure
from snapstorm.runtime.tasks import first_failure

_CAN_NOT_TRAVEL = (SnapstormError, GuaranteeViolated)
"""The base says too little, and a violated guarantee holds findings, which only the coordinator makes."""
_CAN_TRAVEL: dict[str, type[SnapstormError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, SnapstormError) and kind not in _CAN_NOT_TRAVEL
}


def failure_of(call: int, error: BaseException) -> CallFailure:
    """The error as it travels. What is no error of ours becomes a HarnessError of one line."""
    if isinstance(error, BaseExceptionGroup):
        error = first_failure(error)
    kind = next((known for known in type(error).__mro__ if _CAN_TRAVEL.get(known.__name__) is known), None)
    if kind is None:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return CallFailure(call, HarnessError.__name__, words)
    evidence, blobs = (error.evidence, error.blobs) if isinstance(error, TargetError) else ("", ())
    return CallFailure(call, kind.__name__, str(error), evidence, _named(blobs), _details(error))


def error_of(failure: CallFailure) -> SnapstormError:
    """The error that travelled."""
    kind = _CAN_TRAVEL.get(failure.kind, HarnessError)
    if issubclass(kind, TargetError):
        return kind(
            failure.words, evidence=failure.evidence, blobs=ANY_BLOB if failure.blobs is None else failure.blobs
        )
    if issubclass(kind, ConfigError):
        return kind(*failure.details)
    error = kind.__new__(kind)
    Exception.__init__(error, failure.words)  # Its own constructor would make the words anew.
    if isinstance(error, FaultNotPossible):
        (error.why,) = failure.details
    return error


def _details(error: BaseException) -> tuple[str, ...]:
    if isinstance(error, ConfigError):
        return error.problems
    return (error.why,) if isinstance(error, FaultNotPossible) else ()


def _named(blobs: Container[str]) -> tuple[str, ...] | None:
    if blobs is ANY_BLOB:
        return None
    assert isinstance(blobs, Iterable), "blobs are either any or listed"
    return tuple(blobs)
