"""Serves a bucket over HTTP on loopback, from a thread with an event loop of its own.

An ASGI application without a framework: most requests are small, and most of their time would be the framework's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from snapstorm.errors import HarnessError
from snapstorm.gateway.actor_clocks import clock_answer, clock_url, is_of_clock
from snapstorm.gateway.misbehaving import Outcome, changes, misbehave
from snapstorm.gateway.rules import Operation, Rule, RuleBook, Strikes, target_of
from snapstorm.gateway.s3 import S3Error, actor_of, error_answer, read_request
from snapstorm.gateway.storage import BUCKET, Clocks, Request, Storage, opened
from snapstorm.gateway.write_log import Strike

Found = TypeVar("Found")

LOOPBACK = "127.0.0.1"
_CLOSE = "snapstorm.close"
_DENIED = S3Error(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
_TORN = S3Error(400, "IncompleteBody", "You did not provide the number of bytes specified by Content-Length.")
FAILED = S3Error(500, "InternalError", "The gateway could not keep this; its run tells why.")


class Gateway:
    """A bucket that programs reach over HTTP. To be used from the thread that serves it; others use `Served`."""

    def __init__(self, storage: Storage, now_ns_of: Callable[[str], int]) -> None:
        """`now_ns_of`: what an actor's own clock says, by his name."""
        self.storage = storage
        self._now_ns_of = now_ns_of
        self.rules = RuleBook(storage.monotonic_seconds)
        self.actors: dict[str, str] = {}
        """By access key: who that is. Secret keys are not checked."""
        self.failure: OSError | sqlite3.Error | None = None
        self._late: set[asyncio.Future[None]] = set()
        """Work that rules have put off, and requests that a rule is changing now."""

    async def drain(self) -> None:
        """Return once all that was to be done later has been done, for those who wait for it as well."""
        while self._late:
            await asyncio.wait(self._late)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: the ASGI application."""
        if is_of_clock(scope["raw_path"]):
            answer = clock_answer(scope["method"], scope["raw_path"], scope["query_string"], self._now_ns_of)
            await send_outcome(Outcome(answer), send, scope)
            return
        try:
            arrived = self.storage.log.next_event()
            outcome = await self._outcome(scope, await read_body(receive), arrived)
        except S3Error as error:
            outcome = Outcome(error_answer(error))
        except (OSError, sqlite3.Error) as error:
            self.failure = error
            outcome = Outcome(error_answer(FAILED))
        await send_outcome(outcome, send, scope)
        if outcome.applied is not None:
            try:
                self.storage.log.acknowledge(outcome.applied)
            except sqlite3.Error as error:
                self.failure = error

    async def _outcome(self, scope: Scope, body: bytes, arrived: int) -> Outcome:
        headers = dict(scope["headers"])
        actor = self.actors.get(actor_of(headers) or "")
        if actor is None:
            raise _DENIED
        asked = read_request(scope["method"], scope["raw_path"], scope["query_string"], headers, BUCKET)
        request = Request(asked, actor, body, arrived)
        rule = self.rules.draw(asked, actor, lambda rule: changes(rule, self.storage, asked))
        if rule is None:
            answered = self.storage.answer(request)
            return Outcome(answered.answer, answered.applied)
        self.storage.log.strike(Strike(arrived, rule.effect, actor, target_of(asked)[1]))
        done = asyncio.get_running_loop().create_future()
        self._late.add(done)
        try:
            return await misbehave(rule, self.storage, request, self._later)
        finally:
            self._late.discard(done)
            done.set_result(None)

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        async def wait_and_do() -> None:
            await asyncio.sleep(seconds)
            try:
                do()
            except (OSError, sqlite3.Error) as error:
                self.failure = error

        task = asyncio.create_task(wait_and_do())
        self._late.add(task)
        task.add_done_callback(self._late.discard)


class Served:
    """A gateway that is being served by another thread."""

    def __init__(self, gateway: Gateway, portal: BlockingPortal, endpoint: str) -> None:
        self.endpoint = endpoint
        """Where programs reach it: `http://127.0.0.1:PORT`."""
        self._gateway = gateway
        self._portal = portal

    @property
    def last_event(self) -> int:
        """The number of the latest event: everything that was answered before it was asked for has a lower one."""
        return self._gateway.storage.log.last_event

    @property
    def directory(self) -> Path:
        """Where the bucket is kept."""
        return self._gateway.storage.directory

    def admit(self, actor: str, access_key: str) -> None:
        """Let in whoever names this access key, and know him as this actor."""
        self._portal.call(self._gateway.actors.__setitem__, access_key, actor)

    def clock_url(self, actor: str, valid_seconds: float) -> str:
        """Where a program asks for the time that lives by this actor's clock, again after so many seconds."""
        return clock_url(self.endpoint, actor, valid_seconds)

    def check(self) -> None:
        """Raise HarnessError if something could not be kept: what programs met since is not their storage's doing."""
        failure = self._gateway.failure
        if failure is not None:
            raise HarnessError(f"the gateway could not keep what was written: {failure}") from failure

    @contextmanager
    def misbehaving(self, rule: Rule) -> Iterator[None]:
        """The rule is on during the block. On return, nothing that it put off is left."""
        number = self.put_on(rule)
        try:
            yield
        finally:
            self.take_off(number)

    def put_on(self, rule: Rule) -> int:
        """Put a rule on. Returns its number."""
        return self._portal.call(self._gateway.rules.add, rule)

    def take_off(self, number: int) -> None:
        """Take a rule off. Returns once nothing is left that rules have put off, which may take `Rule.seconds`."""
        self._portal.call(self._gateway.rules.remove, number)
        self._portal.call(self._gateway.drain)

    def asked_lately(self, seconds: float) -> dict[Operation, set[str]]:
        """The kinds of requests that have arrived in the last so many seconds, each with the first characters of the
        keys that they were about."""
        return self._portal.call(self._gateway.rules.asked_lately, seconds)

    def strikes(self, number: int) -> Strikes:
        """How often this rule has struck until now."""
        return self._portal.call(self._gateway.rules.strikes, number)

    def ask(self, question: Callable[[Storage], Found]) -> Found:
        """The answer to a question about the storage, between two requests."""
        return self._portal.call(question, self._gateway.storage)


class _Protocol(HttpToolsProtocol):
    """Lets the application close a connection without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope.setdefault("state", {})[_CLOSE] = self.transport.abort


async def read_body(receive: Receive) -> bytes:
    """The body of a request. Raises S3Error if the sender goes before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _TORN
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def send_outcome(outcome: Outcome, send: Send, scope: Scope) -> None:
    """Send an answer, or a part of it, or close the connection."""
    answer = outcome.answer
    if answer is None:
        scope["state"][_CLOSE]()
        return
    headers = [*answer.headers, (b"content-type", answer.content_type)]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(answer.body)))
    body = b"" if scope["method"] == "HEAD" else answer.body
    if outcome.is_cut:
        body = body[: len(body) // 2]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": outcome.is_cut})
    if outcome.is_cut:
        scope["state"][_CLOSE]()


@contextmanager
def serving(
    directory: Path, clocks: Clocks, *, port: int = 0, has_versions: bool = False, bytes_max: int | None = None
) -> Iterator[Served]:
    """Serve the bucket that is kept in a directory, during the block. Port 0 is any that is free; the others: see
    `Storage`.

    Raises HarnessError if the port can't be had, or the directory can't be used.
    """
    with contextlib.ExitStack() as stack:
        try:
            listening = stack.enter_context(socket.create_server((LOOPBACK, port)))
            # Connections inherit it. Without it each answer waits 40 ms for the client to acknowledge its headers.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            storage = stack.enter_context(opened(directory, clocks, has_versions=has_versions, bytes_max=bytes_max))
        except (OSError, sqlite3.Error) as error:
            raise HarnessError(f"the gateway can't be started on {directory}: {error}") from error
        gateway = Gateway(storage, clocks.of_actor)
        portal = stack.enter_context(start_blocking_portal("asyncio", name="gateway"))
        stack.enter_context(served_app(gateway, listening, portal))
        yield Served(gateway, portal, f"http://{LOOPBACK}:{listening.getsockname()[1]}")


@contextmanager
def served_app(app: ASGIApp, listening: socket.socket, portal: BlockingPortal) -> Iterator[None]:
    """Serve an application in the portal's thread, during the block."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).disabled = True
    config = uvicorn.Config(app, http=_Protocol, log_config=None, access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    ended = portal.start_task_soon(server.serve, [listening])
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        ended.result()
