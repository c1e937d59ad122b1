"""A machine's end: performs the calls of the coordinator with its services, one incarnation at a time.

An incarnation ends when the coordinator dismisses it, when it is gone or has not been heard for some time, or when this
process is told to end. Then all calls are cancelled, and all that the services use is ended.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskGroup

from snapstorm.errors import HarnessError
from snapstorm.machines.handshake import own_hello
from snapstorm.machines.join_file import Credentials
from snapstorm.machines.liveness import Liveness
from snapstorm.machines.services import Services
from snapstorm.machines.transport import CoordinatorUnreachable, HostSender, Sender, wait_for_listener
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
    decode_to_host,
    encode,
    split_payload,
)
from snapstorm.machines.wire_errors import failure_of
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.tasks import plain_task_group

CONNECT_SECONDS_MAX = 30.0
REJOIN_SECONDS_MAX = 60.0
"""How long a machine that was lost tries to join again."""
_REJOIN_CONNECT_SECONDS = 2.0
_REJOIN_PAUSE_SECONDS = 0.5
CLOSE_SECONDS_MAX = 30.0
"""How long services may take to end what they use."""


class End(Enum):
    """Why an incarnation ended."""

    DISMISSED = "the run is over"
    GIVEN_UP = "the coordinator has given this machine up"
    COORDINATOR_LOST = "the coordinator is gone"


@dataclass(frozen=True)
class Ending:
    """How an incarnation ended."""

    end: End
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.end.value}: {self.reason}" if self.reason else self.end.value


@dataclass(frozen=True)
class HostSettings:
    """Which machine this is, and where it joins."""

    address: str
    credentials: Credentials
    name: str
    directory: Path
    """Its own, for the transport; made and removed."""
    connect_seconds_max: float = CONNECT_SECONDS_MAX
    is_patient: bool = True
    """Whether to wait for a coordinator that does not listen yet."""
    clock: Clock = field(default_factory=Clock)
    hello: Hello | None = None
    """What this machine says of itself, for tests; its name and incarnation are replaced."""


class _Host:
    """One incarnation, once it is admitted."""

    def __init__(self, services: Services, incarnation: str, liveness: Liveness) -> None:
        self._services = services
        self._incarnation = incarnation
        self._liveness = liveness
        self._group: TaskGroup | None = None
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._parts = PartialPayloads()
        self.ending: Ending | None = None
        self.link: Sender | None = None

    def receive(self, message: bytes) -> None:
        """A message of the hub."""
        self._liveness.hear()
        try:
            came = decode_to_host(message)
        except msgspec.DecodeError:
            self.end(Ending(End.COORDINATOR_LOST, "it sent something that makes no sense"))
            return
        match came:
            case CallRequest(call) if self._group is not None:
                self._scopes[call] = anyio.CancelScope()
                self._group.start_soon(self._perform, came)
            case CancelCall(call):
                self._on_cancel(call)
            case Part():
                self._parts.add(came)
            case Dismissal(reason):
                self.end(Ending(End.GIVEN_UP if reason else End.DISMISSED, reason))
            case Beat() | CallRequest():
                pass  # Calls come only once the hub has heard a beat.

    async def run(self, link: HostSender, clock: Clock) -> Ending:
        """Perform calls until the incarnation ends."""
        self.link = link
        async with plain_task_group() as self._group:
            if self.ending is None:
                self._group.start_soon(self.beat, clock)
                await link.ended()
                self.end(Ending(End.COORDINATOR_LOST, "its connection has ended"))
        assert self.ending is not None
        return self.ending

    def end(self, ending: Ending) -> None:
        """End the incarnation; the first reason counts."""
        if self.ending is None:
            self.ending = ending
            if self._group is not None:
                self._group.cancel_scope.cancel()

    def _on_cancel(self, call: int) -> None:
        self._parts.forget(call)
        scope = self._scopes.get(call)
        if scope is None:
            self._send(encode(CallCancelled(call)))
        else:
            scope.cancel()

    async def _perform(self, request: CallRequest) -> None:
        scope = self._scopes[request.call]
        result: CallAnswer | CallFailure | None = None
        try:
            with scope:
                scope.deadline = anyio.current_time() + request.deadline_seconds
                result = await self._result(request)
        finally:
            del self._scopes[request.call]
        if result is None:
            self._send(encode(CallCancelled(request.call)))
        elif isinstance(result, CallFailure):
            self._send(encode(result))
        else:
            await self._send_answer(result)

    async def _result(self, request: CallRequest) -> CallAnswer | CallFailure:
        payload = self._parts.joined(request.call, request.payload)
        try:
            if request.incarnation != self._incarnation:
                raise HarnessError("a call for another incarnation of this machine")  # noqa: TRY301 - one way to fail
            work = self._services.works.get(request.method)
            if work is None:
                raise HarnessError(f"this machine has no method {request.method}")  # noqa: TRY301
            return CallAnswer(request.call, await work(payload))
        except Exception as error:  # noqa: BLE001 - whatever it is, the coordinator is told
            return failure_of(request.call, error)

    async def _send_answer(self, answer: CallAnswer) -> None:
        try:
            ahead, rest = split_payload("an answer", answer.payload)
        except HarnessError as error:
            self._send(encode(failure_of(answer.call, error)))
            return
        for part in ahead:
            self._send(encode(Part(answer.call, part)))
            if self.link is not None:
                try:
                    await self.link.sent()
                except ConnectionError:
                    return
        self._send(encode(CallAnswer(answer.call, rest)))

    def _send(self, message: bytes) -> None:
        if self.link is not None:
            try:
                self.link.send(message)
            except ConnectionError:
                self.end(Ending(End.COORDINATOR_LOST, "its connection has ended"))

    async def beat(self, clock: Clock) -> None:
        """Give signs of life, and end the incarnation if nothing comes back for too long. Until cancelled."""
        number = 0
        while True:
            self._send(encode(Beat(number)))
            number += 1
            await clock.sleep(self._liveness.interval_seconds)
            if self._liveness.is_lost():
                silence = f"nothing was heard of it for {self._liveness.lost_after_seconds:g} s"
                self.end(Ending(End.COORDINATOR_LOST, silence))


class NotAdmitted(HarnessError):
    """The coordinator has not admitted this machine."""

    def __init__(self, problems: Sequence[str], *, is_taken: bool) -> None:
        super().__init__("\n".join(f"not admitted to the run: {problem}" for problem in problems))
        self.is_taken = is_taken
        """Whether the only problem is that the name is taken."""


async def stay(
    settings: HostSettings,
    open_services: Callable[[], Awaitable[Services]],
    tell: Callable[[str], None],
    *,
    rejoin_seconds_max: float = REJOIN_SECONDS_MAX,
) -> None:
    """Be a machine of a run until the run is over. After each loss, joins again as another incarnation, with new
    services.

    Raises HarnessError if it is not admitted, and when the coordinator is gone or does not let it in again in time.
    """
    ending = await host(settings, await open_services())
    while ending.end is not End.DISMISSED:
        tell(f"{ending}; joining again")
        ending = await _host_again(settings, open_services, rejoin_seconds_max)


async def _host_again(
    settings: HostSettings, open_services: Callable[[], Awaitable[Services]], seconds_max: float
) -> Ending:
    """Join again once it is possible, and perform calls until that ends."""
    settings = replace(settings, connect_seconds_max=_REJOIN_CONNECT_SECONDS, is_patient=False)
    deadline = settings.clock.monotonic_seconds() + seconds_max
    while True:
        try:
            return await host(settings, await open_services())
        except (CoordinatorUnreachable, NotAdmitted) as error:
            may_pass = error.is_taken if isinstance(error, NotAdmitted) else not error.is_gone
            if not may_pass or settings.clock.monotonic_seconds() > deadline:
                raise
        await settings.clock.sleep(_REJOIN_PAUSE_SECONDS)


async def host(settings: HostSettings, services: Services) -> Ending:
    """Join as a new incarnation, and perform calls until it ends. The services are closed however this ends.

    Raises CoordinatorUnreachable, NotAdmitted, and HarnessError for a join file of another run.
    """
    try:
        return await _host(settings, services)
    finally:
        await _close(services)


async def _host(settings: HostSettings, services: Services) -> Ending:
    hello = own_hello(settings.name, secrets.token_hex(16), services.facts)
    if settings.hello is not None:
        hello = msgspec.structs.replace(settings.hello, name=hello.name, incarnation=hello.incarnation)
    from snapstorm.machines.worker_side import connected, say_hello  # noqa: PLC0415 - 0.6 s, and optional

    await wait_for_listener(settings.address, settings.connect_seconds_max, is_patient=settings.is_patient)
    answer = await say_hello(
        settings.address,
        settings.credentials,
        msgspec.msgpack.encode(hello),
        settings.clock.wall_ns,
    )
    welcome = msgspec.msgpack.decode(answer, type=Welcome)
    if welcome.problems:
        raise NotAdmitted(welcome.problems, is_taken=welcome.is_taken)
    running = _Host(services, hello.incarnation, Liveness(welcome.lost_after_seconds, settings.clock))
    async with connected(
        settings.address, settings.credentials, hello.incarnation, settings.directory, running.receive
    ) as link:
        try:
            return await running.run(link, settings.clock)
        finally:
            await _close(services)  # Before the connection ends: the hub then knows that nothing is left running.


async def _close(services: Services) -> None:
    """End what the services use, if that was not done yet."""
    with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_SECONDS_MAX):
        await services.aclose()
