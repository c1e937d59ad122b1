"""What a machine does for the coordinator: methods by name, each with the types of its request and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from snapstorm.errors import HarnessError

RequestType = TypeVar("RequestType")
AnswerType = TypeVar("AnswerType")
Value = TypeVar("Value")
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True)
class Method(Generic[RequestType, AnswerType]):
    """A method that can be called from afar. Both types must be such as msgspec can encode."""

    name: str
    request: type[RequestType]
    answer: type[AnswerType]

    def encode(self, value: RequestType | AnswerType) -> bytes:
        """A request or an answer as it travels."""
        return _encoder.encode(value)

    def read_request(self, payload: bytes) -> RequestType:
        """Raises HarnessError if it makes no sense."""
        return _read(self, payload, self.request)

    def read_answer(self, payload: bytes) -> AnswerType:
        """Raises HarnessError if it makes no sense."""
        return _read(self, payload, self.answer)


def _read(method: Method[Any, Any], payload: bytes, kind: type[Value]) -> Value:
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except msgspec.DecodeError as error:
        raise HarnessError(f"the method {method.name} got a {kind.__name__} that makes no sense: {error}") from error


Work = Callable[[bytes], Awaitable[bytes]]
Closer = Callable[[], Awaitable[None]]


@dataclass
class Services:
    """The methods of one incarnation of a machine, and how to end what they use."""

    facts: dict[str, str] = field(default_factory=dict)
    """What the coordinator is told of this machine before it is admitted, and may compare with its own."""
    _works: dict[str, Work] = field(default_factory=dict)
    _closers: list[Closer] = field(default_factory=list)

    @property
    def works(self) -> Mapping[str, Work]:
        """What is done for each method."""
        return self._works

    def offer(
        self, method: Method[RequestType, AnswerType], work: Callable[[RequestType], Awaitable[AnswerType]]
    ) -> None:
        """Have calls of a method answered by this."""
        if method.name in self._works:
            raise ValueError(f"the method {method.name} is offered twice")

        async def answer(payload: bytes) -> bytes:
            return method.encode(await work(method.read_request(payload)))

        self._works[method.name] = answer

    def on_close(self, closer: Closer) -> None:
        """Call this when the incarnation ends. The last one is called first."""
        self._closers.append(closer)

    async def aclose(self) -> None:
        """End all that the services use. The first failure is raised once all have been called."""
        failures: list[Exception] = []
        while self._closers:
            try:
                await self._closers.pop()()
            except Exception as error:  # noqa: BLE001 - the others must be called, too
                failures.append(error)
        if failures:
            raise failures[0]
