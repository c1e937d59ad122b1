"""An error of a machine is the same error at the coordinator."""

from __future__ import annotations

import msgspec
import pytest

from snapstorm import errors
from snapstorm.errors import (
    ANY_BLOB,
    AccessDenied,
    ConfigError,
    FaultNotPossible,
    GuaranteeViolated,
    HarnessError,
    OperationTimedOut,
    SnapstormError,
    TargetError,
)
from snapstorm.machines.wire import CallFailure, decode_to_hub, encode
from snapstorm.machines.wire_errors import error_of, failure_of

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SnapstormError)]


def travelled(error: BaseException) -> SnapstormError:
    failure = decode_to_hub(encode(failure_of(7, error)))
    assert isinstance(failure, CallFailure)
    assert failure.call == 7
    return error_of(failure)


def example(kind: type[SnapstormError]) -> SnapstormError:
    if issubclass(kind, TargetError):
        return kind("words", evidence="what it printed", blobs=("a", "b"))
    if issubclass(kind, FaultNotPossible):
        return kind("cut", "no rights")
    return kind("one", "two") if issubclass(kind, ConfigError) else kind("words")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (SnapstormError, GuaranteeViolated)])
def test_each_kind_comes_back_with_its_words_and_fields(kind: type[SnapstormError]) -> None:
    """Also kinds that will be added: what their constructors keep must travel."""
    error = example(kind)
    back = travelled(error)
    assert type(back) is kind
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_any_blob_stays_any_blob() -> None:
    """It is told by its identity."""
    back = travelled(AccessDenied("no", blobs=ANY_BLOB))
    assert isinstance(back, TargetError)
    assert back.blobs is ANY_BLOB


def test_a_class_that_the_coordinator_does_not_know_becomes_the_nearest_that_it_does() -> None:
    """A target's own subclass says as much about the effect as its base."""

    class SlowServer(OperationTimedOut):
        pass

    assert type(travelled(SlowServer("slow"))) is OperationTimedOut


@pytest.mark.parametrize("error", [ValueError("a\nb"), GuaranteeViolated("no", [])])
def test_what_can_not_travel_is_a_harness_error_of_one_line(error: Exception) -> None:
    """So it never looks like a failure of the target."""
    back = travelled(error)
    assert type(back) is HarnessError
    assert str(back) in ("ValueError: a b", "GuaranteeViolated: no")


def test_of_a_group_the_first_failure_travels() -> None:
    """As where a task group is used on one machine."""
    group = BaseExceptionGroup("several", [ExceptionGroup("inner", [AccessDenied("no")]), ValueError("x")])
    assert type(travelled(group)) is AccessDenied


def test_an_unknown_kind_is_a_harness_error() -> None:
    """Rather than an exception in the hub."""
    assert type(error_of(CallFailure(1, "__doc__", "w"))) is HarnessError


def test_a_failure_is_small() -> None:
    """It is made of what was said, and nothing else."""
    assert len(encode(failure_of(1, HarnessError("words")))) < 40
    assert msgspec.msgpack.decode(encode(failure_of(1, HarnessError("words"))))[2] == "HarnessError"
