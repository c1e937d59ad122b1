"""Methods are found by name, typed at both ends, and closed in the end."""

from __future__ import annotations

import msgspec
import pytest

from snapstorm.errors import HarnessError
from snapstorm.machines.services import Method, Services

pytestmark = pytest.mark.anyio


class Question(msgspec.Struct):
    number: int


DOUBLE = Method("double", Question, int)


async def double(question: Question) -> int:
    return 2 * question.number


async def test_a_method_gets_and_gives_its_own_types() -> None:
    """Bytes are only on the way."""
    services = Services()
    services.offer(DOUBLE, double)
    answer = await services.works["double"](DOUBLE.encode(Question(4)))
    assert DOUBLE.read_answer(answer) == 8


async def test_what_makes_no_sense_is_refused_with_the_name_of_the_method() -> None:
    """At either end."""
    services = Services()
    services.offer(DOUBLE, double)
    with pytest.raises(HarnessError, match="double got a Question that makes no sense"):
        await services.works["double"](b"\x01")
    with pytest.raises(HarnessError, match="double got a int that makes no sense"):
        DOUBLE.read_answer(b"\xc0")


def test_a_name_stands_for_one_method() -> None:
    """A slip in the code is told at once."""
    services = Services()
    services.offer(DOUBLE, double)
    with pytest.raises(ValueError, match="offered twice"):
        services.offer(DOUBLE, double)


async def test_all_is_closed_once_and_backwards_whatever_fails() -> None:
    """The first failure is raised afterwards."""
    closed: list[str] = []
    services = Services()

    async def first() -> None:
        closed.append("first")

    async def second() -> None:
        closed.append("second")
        raise HarnessError("it hangs")

    services.on_close(first)
    services.on_close(second)
    with pytest.raises(HarnessError, match="it hangs"):
        await services.aclose()
    await services.aclose()
    assert closed == ["second", "first"]
