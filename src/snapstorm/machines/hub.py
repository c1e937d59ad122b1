"""The coordinator's end: knows which machines are there, and calls their methods.

A call is sent once and never again, so that an operation can't happen twice. A machine is lost when its connection
ends, when nothing is heard of it for some time, or when it does not answer a call before its deadline. Then all calls
that wait for it fail at once, and it is told to end. It can only come back as another incarnation. What an incarnation
that was given up still answers is counted and dropped.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import anyio
import msgspec

from snapstorm.errors import HarnessError, MachineLost
from snapstorm.machines.handshake import ClockOffset, differences, measure_clock, own_hello
from snapstorm.machines.join_file import Credentials
from snapstorm.machines.liveness import LOST_AFTER_SECONDS, Liveness
from snapstorm.machines.services import AnswerType, Method, RequestType
from snapstorm.machines.transport import Greeting, Link, check_address
from snapstorm.machines.wire import (
    Beat,
    CallAnswer,
    CallCancelled,
    CallFailure,
    CallRequest,
    CancelCall,
    Dismissal,
    Hello,
    Part,
    PartialPayloads,
    Welcome,
    decode_to_hub,
    encode,
    split_payload,
)
from snapstorm.machines.wire_errors import error_of
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.tasks import plain_task_group

_TICKET_SECONDS = 30.0
"""How long a machine that was let in may take to connect. Its name is taken meanwhile."""
_DISMISS_SECONDS_MAX = 10.0
_CANCEL_SECONDS_MAX = 15.0
"""How long a cancelled call waits for the machine to have ended what it did."""


@dataclass(frozen=True)
class JoinedMachine:
    """An incarnation of a machine that has joined."""

    name: str
    incarnation: str
    peer: str
    """Its address, for people."""
    clock: ClockOffset
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Joined:
    """A machine has joined."""

    machine: JoinedMachine


@dataclass(frozen=True)
class Lost:
    """A machine is gone, or was given up."""

    machine: JoinedMachine
    reason: str


@dataclass(frozen=True)
class Refused:
    """A machine was not admitted."""

    name: str
    peer: str
    problems: tuple[str, ...]


Change: TypeAlias = Joined | Lost | Refused


def _ignore(_: Change) -> None:
    """A listener that does nothing."""


@dataclass(frozen=True)
class HubSettings:
    """How a hub is run."""

    listen: str = "tls://127.0.0.1:0"
    lost_after_seconds: float = LOST_AFTER_SECONDS
    facts: Mapping[str, str] = field(default_factory=dict)
    """Each machine must say the same of itself, for example that it has the same programs."""
    on_change: Callable[[Change], None] = _ignore


@dataclass(eq=False)
class _Admitted:
    """The connection to one incarnation."""

    machine: JoinedMachine
    liveness: Liveness
    link: Link | None = None
    has_joined: bool = False
    waiting: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)
    parts: PartialPayloads = field(default_factory=PartialPayloads)


class Hub:
    """The machines that have joined, and calls to them. See `open_hub`."""

    def __init__(self, settings: HubSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lines: dict[str, _Admitted] = {}
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()
        self._is_closing = False
        self.address = ""
        """Where machines connect to."""
        self.late_answers = 0
        """Answers for which nobody waited any more."""

    @property
    def machines(self) -> Mapping[str, JoinedMachine]:
        """Those that are there, by name."""
        return {line.machine.name: line.machine for line in self._lines.values() if line.has_joined}

    async def wait_for(self, count: int, seconds_max: float) -> None:
        """Wait until so many machines are there. Raises HarnessError if they don't come in time."""
        with self._clock.move_on_after(seconds_max):
            while len(self.machines) < count:
                await self._changed.wait()
            return
        names = ", ".join(sorted(self.machines)) or "none"
        raise HarnessError(f"{len(self.machines)} of {count} machines joined within {seconds_max:g} s: {names}")

    async def ask(
        self, machine: str, method: Method[RequestType, AnswerType], request: RequestType, deadline_seconds: float
    ) -> AnswerType:
        """Call a method by its types. Raises what `call` raises."""
        return method.read_answer(await self.call(machine, method.name, method.encode(request), deadline_seconds))

    async def call(self, machine: str, method: str, payload: bytes, deadline_seconds: float) -> bytes:
        """Call a method of a machine once, and return its answer.

        Raises the error of `snapstorm.errors` that the method raised, and MachineLost if the machine is not there, is
        lost meanwhile, or has not answered by the deadline. It is given up then. If the caller is cancelled, so is the
        call: this returns once the machine has ended it.
        """
        line = next((line for line in self._lines.values() if line.has_joined and line.machine.name == machine), None)
        if line is None or line.link is None:
            raise MachineLost(f"the machine {machine} is not there")
        ahead, rest = split_payload(f"a request for {method}", payload)
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        line.waiting[number] = answer
        late = f"it did not answer {method} within {deadline_seconds:g} s"
        timer = loop.call_later(deadline_seconds, self._lose, line, late)
        try:
            for part in ahead:
                line.link.send(encode(Part(number, part)))
                await line.link.sent()
            line.link.send(encode(CallRequest(number, line.machine.incarnation, method, deadline_seconds, rest)))
            return await answer
        except ConnectionError:
            self._lose(line, "its connection has ended")
            return await answer
        except asyncio.CancelledError:
            await self._cancel(line, number, answer)
            raise
        finally:
            timer.cancel()
            line.waiting.pop(number, None)

    def give_up(self, machine: str, reason: str) -> None:
        """Take a machine for lost, and tell it to end. Does nothing if it is not there."""
        for line in tuple(self._lines.values()):
            if line.machine.name == machine:
                self._lose(line, reason)

    async def _cancel(self, line: _Admitted, number: int, answer: asyncio.Future[bytes]) -> None:
        """Have a call ended at the machine, and wait for that."""
        has_answered = answer.done() and not answer.cancelled()  # What waits for it cancels it.
        if has_answered or line.link is None or line.machine.incarnation not in self._lines:
            return
        try:
            line.link.send(encode(CancelCall(number)))
        except ConnectionError:
            return
        ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        line.waiting[number] = ended
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CANCEL_SECONDS_MAX):
            await asyncio.wait([ended])
        if not ended.done():
            self._lose(line, f"it did not end a call within {_CANCEL_SECONDS_MAX:g} s after that was cancelled")
        ended.exception()  # Whatever came of it, nobody wants to know.

    async def greet(self, greeting: Greeting) -> bytes:
        """Compare what a machine says of itself, read its clock, and let it in or not."""
        try:
            hello = msgspec.msgpack.decode(greeting.hello, type=Hello)
        except msgspec.DecodeError:
            return self._refuse("?", greeting.peer, ("its hello makes no sense: is it another snapstorm?",))
        problems = tuple(differences(hello, own_hello("", "", self._settings.facts)))
        if problems or self._is_closing:
            return self._refuse(hello.name, greeting.peer, problems or ("the run is ending",))
        reading = await measure_clock(greeting.read_clock, self._clock)
        if any(line.machine.name == hello.name for line in self._lines.values()):
            taken = f"a machine named {hello.name} has joined already: choose another --name"
            return self._refuse(hello.name, greeting.peer, (taken,), is_taken=True)
        machine = JoinedMachine(hello.name, hello.incarnation, greeting.peer, reading, MappingProxyType(hello.facts))
        line = _Admitted(machine, Liveness(self._settings.lost_after_seconds, self._clock))
        self._lines[hello.incarnation] = line
        asyncio.get_running_loop().call_later(_TICKET_SECONDS, self._expire, line)
        return msgspec.msgpack.encode(Welcome(lost_after_seconds=self._settings.lost_after_seconds))

    def _refuse(self, name: str, peer: str, problems: tuple[str, ...], *, is_taken: bool = False) -> bytes:
        self._settings.on_change(Refused(name, peer, problems))
        return msgspec.msgpack.encode(Welcome(problems, is_taken))

    def on_foreign(self, peer: str) -> None:
        """Somebody has not proved that the run's authority let it in."""
        self._settings.on_change(Refused("?", peer, ("it has no join file of this run",)))

    def _expire(self, line: _Admitted) -> None:
        if not line.has_joined and self._lines.get(line.machine.incarnation) is line:
            self._lose(line, "it did not connect")

    def on_registered(self, ticket: str, link: Link) -> bool:
        """A host has connected. It has joined once it is heard, so that both directions are known to work."""
        line = self._lines.get(ticket)
        if line is None or line.link is not None:
            return False
        line.link = link
        line.liveness.hear()
        return True

    def on_message(self, ticket: str, message: bytes) -> None:
        """An answer or a sign of life."""
        line = self._lines.get(ticket)
        try:
            came = decode_to_hub(message)
        except msgspec.DecodeError:
            if line is not None:
                self._lose(line, "it sent something that makes no sense")
            return
        if line is None:
            self.late_answers += isinstance(came, CallAnswer | CallFailure)
            return
        line.liveness.hear()
        match came:
            case CallAnswer(call, payload):
                if (answer := self._awaited(line, call)) is not None:
                    answer.set_result(line.parts.joined(call, payload))
            case CallFailure(call):
                if (answer := self._awaited(line, call)) is not None:
                    answer.set_exception(error_of(came))
            case CallCancelled(call):
                line.parts.forget(call)
                if (answer := line.waiting.get(call)) is not None and not answer.done():
                    answer.set_exception(MachineLost(f"the machine {line.machine.name} ended the call at its deadline"))
            case Part():
                line.parts.add(came)
            case Beat():
                self._on_beat(line, came)

    def _awaited(self, line: _Admitted, call: int) -> asyncio.Future[bytes] | None:
        """The future of a call; None for a late answer, which is counted."""
        answer = line.waiting.get(call)
        if answer is None or answer.done():
            self.late_answers += 1
            line.parts.forget(call)
            return None
        return answer

    def _on_beat(self, line: _Admitted, beat: Beat) -> None:
        if not line.has_joined:
            line.has_joined = True
            self._settings.on_change(Joined(line.machine))
            self._tell()
        if line.link is not None:
            self._send_unless_ended(line.link, encode(beat))

    def on_closed(self, ticket: str) -> None:
        """A connection has ended."""
        line = self._lines.get(ticket)
        if line is not None:
            self._lose(line, "its connection has ended")

    def _lose(self, line: _Admitted, reason: str) -> None:
        """Take a machine for lost: fail what waits for it, tell it and whoever listens."""
        if self._lines.pop(line.machine.incarnation, None) is None:
            return
        for answer in line.waiting.values():
            if not answer.done():
                answer.set_exception(MachineLost(f"the machine {line.machine.name} was lost: {reason}"))
        if line.link is not None:
            self._send_unless_ended(line.link, encode(Dismissal(reason)))
            line.link.close()
        if line.has_joined:
            if not self._is_closing:
                self._settings.on_change(Lost(line.machine, reason))
            self._tell()

    @staticmethod
    def _send_unless_ended(link: Link, message: bytes) -> None:
        try:
            link.send(message)
        except ConnectionError:
            return  # Its end is reported by itself.

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def watch(self) -> None:
        """Give up machines that are silent for too long. Until cancelled."""
        interval_seconds = Liveness(self._settings.lost_after_seconds, self._clock).interval_seconds
        while True:
            await self._clock.sleep(interval_seconds)
            for line in tuple(self._lines.values()):
                if line.liveness.is_lost() and line.has_joined:
                    self._lose(line, f"nothing was heard of it for {self._settings.lost_after_seconds:g} s")

    async def dismiss(self) -> None:
        """Tell all machines that the run is over, and wait shortly for them to end. Admits no more."""
        self._is_closing = True
        for line in tuple(self._lines.values()):
            if line.link is not None:
                self._send_unless_ended(line.link, encode(Dismissal("")))
        with anyio.move_on_after(_DISMISS_SECONDS_MAX):
            while self.machines:
                await self._changed.wait()


@asynccontextmanager
async def open_hub(credentials: Credentials, settings: HubSettings, clock: Clock | None = None) -> AsyncIterator[Hub]:
    """A hub that listens while the block lasts. Machines are dismissed at its end.

    Raises HarnessError if the transport is not installed or can't listen.
    """
    check_address(settings.listen)
    own_hello("", "", {})  # Says what to install.
    from snapstorm.machines.scheduler_side import listening  # noqa: PLC0415 - 0.6 s, and optional

    hub = Hub(settings, clock or Clock())
    async with listening(settings.listen, credentials, hub) as hub.address, plain_task_group() as group:
        group.start_soon(hub.watch)
        try:
            yield hub
        finally:
            with anyio.CancelScope(shield=True):
                await hub.dismiss()
            group.cancel_scope.cancel()
