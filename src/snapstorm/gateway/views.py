"""Buckets of the past, served over HTTP: each holds what the gateway's held at some event, and has a clock of its own.

They can be written. What is written is kept beside the history, and goes with the view.
"""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import Receive, Scope, Send

from snapstorm.errors import HarnessError
from snapstorm.gateway.actor_clocks import clock_answer, clock_url, is_of_clock
from snapstorm.gateway.app import FAILED, LOOPBACK, read_body, send_outcome, served_app
from snapstorm.gateway.bucket import Bucket
from snapstorm.gateway.contents import Content, Contents
from snapstorm.gateway.misbehaving import Outcome
from snapstorm.gateway.s3 import S3Error, error_answer, read_request
from snapstorm.gateway.storage import Clocks, Request, Storage
from snapstorm.gateway.write_log import WriteLog
from snapstorm.runtime.clock import Clock

_ACTOR = "view"


class OverlaidContents(Contents):
    """Contents of a view: what was written to it, in a file of its own, over those of the history, which stay as they
    are."""

    def __init__(self, path: Path, base: Contents) -> None:
        super().__init__(path)
        self.directory = path.parent
        self._base = base
        self._own: set[bytes] = set()

    def store(self, data: bytes) -> Content:
        """Write bytes into the file of the view."""
        content = super().store(data)
        self._own.add(content.digest)
        return content

    def know(self, content: Content) -> None:
        """Count these bytes as written, if they are the view's own."""
        if content.digest in self._own:
            super().know(content)

    def read(self, content: Content, first: int, count: int) -> bytes:
        """Bytes of a content, from where it lies."""
        if content.digest in self._own:
            return super().read(content, first, count)
        return self._base.read(content, first, count)


class ViewServer:
    """Answers requests to views. To be used from the thread that serves it; others use `ServedViews`."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self.clocks: dict[str, Clock] = {}
        self.failure: OSError | sqlite3.Error | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: the ASGI application."""
        raw_path = scope["raw_path"]
        try:
            if is_of_clock(raw_path):
                outcome = Outcome(clock_answer(scope["method"], raw_path, scope["query_string"], self._now_ns))
            else:
                outcome = self._outcome(scope, await read_body(receive))
        except S3Error as error:
            outcome = Outcome(error_answer(error))
        except (OSError, sqlite3.Error) as error:
            self.failure = error
            outcome = Outcome(error_answer(FAILED))
        await send_outcome(outcome, send, scope)

    def _outcome(self, scope: Scope, body: bytes) -> Outcome:
        name = scope["raw_path"].decode("ascii", "replace").split("/")[1]
        storage = self.storages.get(name)
        if storage is None:
            raise S3Error(404, "NoSuchBucket", f"The specified bucket does not exist: {name}")
        asked = read_request(scope["method"], scope["raw_path"], scope["query_string"], dict(scope["headers"]), name)
        answered = storage.answer(Request(asked, _ACTOR, body, storage.log.next_event()))
        return Outcome(answered.answer, answered.applied)

    def _now_ns(self, name: str) -> int:
        return self.clocks[name].virtual_ns()


class ServedViews:
    """Views that are being served by another thread."""

    def __init__(self, server: ViewServer, portal: BlockingPortal, endpoint: str) -> None:
        self.endpoint = endpoint
        """Where programs reach them: `http://127.0.0.1:PORT`."""
        self._server = server
        self._portal = portal

    def set_clock(self, name: str, clock: Clock) -> None:
        """Have the clock of this view be this one."""
        self._portal.call(self._server.clocks.__setitem__, name, clock)

    def clock_url(self, name: str, valid_seconds: float) -> str:
        """Where a program asks for the time of a view, again after so many seconds."""
        return clock_url(self.endpoint, name, valid_seconds)

    @contextmanager
    def showing(self, name: str, bucket: Bucket, contents: OverlaidContents, clock: Clock) -> Iterator[Storage]:
        """The bucket of this name holds this at first, during the block; with this clock. Raises HarnessError."""
        clocks = Clocks(clock.virtual_ns, clock.monotonic_seconds)
        with WriteLog(None) as log:
            storage = Storage(contents.directory, log, contents, clocks, has_versions=True, bucket=bucket)
            self.set_clock(name, clock)
            self._portal.call(self._server.storages.__setitem__, name, storage)
            try:
                yield storage
            finally:
                self._portal.call(self._server.storages.pop, name)

    def check(self) -> None:
        """Raise HarnessError if something could not be read or kept: what programs met is not their storage's doing."""
        failure = self._server.failure
        if failure is not None:
            raise HarnessError(f"a view of the storage could not be served: {failure}") from failure


@contextmanager
def serving_views() -> Iterator[ServedViews]:
    """Serve views during the block. Raises HarnessError if no port can be had."""
    with contextlib.ExitStack() as stack:
        try:
            listening = stack.enter_context(socket.create_server((LOOPBACK, 0)))
            # Connections inherit it. Without it each answer waits 40 ms for the client to acknowledge its headers.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise HarnessError(f"views of the storage can't be served: {error}") from error
        server = ViewServer()
        portal = stack.enter_context(start_blocking_portal("asyncio", name="views"))
        stack.enter_context(served_app(server, listening, portal))
        yield ServedViews(server, portal, f"http://{LOOPBACK}:{listening.getsockname()[1]}")
