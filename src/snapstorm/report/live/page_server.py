"""Serves the live page and Prometheus metrics while a run goes on, from a thread of its own.

The address holds a random token. Only those who know it can see the page or act on the run; requests without it get
404, so a foreign page in the same browser can do nothing either. `/metrics` holds only counts, and needs no token.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snapstorm.errors import ConfigError, HarnessError, SnapstormError
from snapstorm.report.html import live_page
from snapstorm.report.live.board import Board, Patience, Viewers
from snapstorm.report.live.metrics import CONTENT_TYPE
from snapstorm.report.live.view import LiveView
from snapstorm.report.text import dump_json

Found = TypeVar("Found")

STATE_SECONDS = 0.5
"""How often viewers are told what has changed."""
KEEP_ALIVE_SECONDS = 15.0
STOP_SECONDS_MAX = 5.0

_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "frame-ancestors 'none'",
}


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    @property
    def is_of_this_machine_alone(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class LiveServer:
    """The pages of one command's runs. Made by `serving`."""

    def __init__(self, board: Board, viewers: Viewers, view: LiveView, *, has_page: bool) -> None:
        self._board = board
        self._viewers = viewers
        self._view = view
        self._token = secrets.token_urlsafe(24)
        self.path = f"/{self._token}/"
        """The path of the page."""
        routes = [
            Route("/", self._page),
            Route("/events", lambda _: StreamingResponse(self._states(), media_type="text/event-stream")),
            Route("/run", self._run),
            Route("/operations/{number:int}", self._operation),
            Route("/pause", self._acting(lambda _: board.control.pause()), methods=["POST"]),
            Route("/resume", self._acting(lambda _: board.control.resume()), methods=["POST"]),
            Route("/stop", self._acting(lambda _: board.stop()), methods=["POST"]),
            Route("/interrupt", self._acting(lambda _: os.kill(os.getpid(), signal.SIGINT)), methods=["POST"]),
            Route(
                "/faults/{key}",
                self._acting(lambda asked: board.control.inject(asked.path_params["key"])),
                methods=["POST"],
            ),
        ]
        self.app = Starlette(
            routes=[
                Route("/metrics", lambda _: Response(board.metrics.text(), headers={"content-type": CONTENT_TYPE})),
                *([Mount("/{token}", routes=routes, middleware=[Middleware(self._guard)])] if has_page else []),
            ],
        )

    def _guard(self, app: ASGIApp) -> ASGIApp:
        """Admit only requests with the token."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            token = str(scope.get("path_params", {}).get("token", ""))
            if not secrets.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
                raise HTTPException(404)

            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                    message = {**message, "headers": [*message.get("headers", []), *added]}
                await send(message)

            with self._viewers.asking():
                await app(scope, receive, send_with_headers)

        return guarded

    def _page(self, _: Request) -> Response:
        found = self._readable(self._view.run)
        return HTMLResponse(live_page(None if found is None else found[0]))

    def _run(self, request: Request) -> Response:
        try:
            first = int(request.query_params.get("first", "0"))
        except ValueError:
            raise HTTPException(400, "first must be a number") from None
        return JSONResponse(self._readable(lambda: self._view.news(first)))

    def _operation(self, request: Request) -> Response:
        # Null, and no error, for another run's: when the next run begins, the page may still show the last one.
        run, number = request.query_params.get("run"), request.path_params["number"]
        return JSONResponse(self._readable(lambda: self._view.details(number, run)))

    @staticmethod
    def _readable(read: Callable[[], Found]) -> Found:
        try:
            return read()
        except (SnapstormError, OSError) as error:
            raise HTTPException(503, f"the run can't be read now: {error}") from error

    def _acting(self, act: Callable[[Request], None]) -> Callable[[Request], Response]:
        def do(request: Request) -> Response:
            try:
                act(request)
            except ConfigError as error:
                return PlainTextResponse(str(error), status_code=409)
            return Response(status_code=204)

        return do

    async def _states(self) -> AsyncIterator[str]:
        """The state whenever it has changed, as server-sent events, until the last one."""
        sent, quiet_seconds = "", 0.0
        while True:
            text = dump_json(self._board.state())
            if text != sent:
                sent, quiet_seconds = text, 0.0
                yield f"data: {text}\n\n"
            elif quiet_seconds >= KEEP_ALIVE_SECONDS:
                quiet_seconds = 0.0
                yield ": still there\n\n"
            await anyio.sleep(STATE_SECONDS)
            quiet_seconds += STATE_SECONDS


@contextmanager
def serving(page: Address | None, metrics: Address | None, patience: Patience | None = None) -> Iterator[Board]:
    """Serve the page and the metrics of all runs that report to the board, during the block.

    Raises HarnessError, before anything is served, if an address can't be listened on.
    """
    patience = patience or Patience()
    viewers = Viewers(patience)
    board = Board(viewers)
    server = LiveServer(board, viewers, LiveView(board, patience, time.monotonic), has_page=page is not None)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_listening(address)) for address in (page, metrics) if address is not None]
        if page is not None:
            host, port = sockets[0].getsockname()[:2]
            shown = Address(page.host or host, port)
            _tell(f"live page: http://{shown}{server.path}")
            if not page.is_of_this_machine_alone:
                _tell("whoever reaches this machine and knows the address can end the run; nothing is encrypted")
        if metrics is not None:
            shown = Address(metrics.host, sockets[-1].getsockname()[1])
            _tell(f"metrics: http://{shown}/metrics")
        with _in_thread(server.app, sockets):
            try:
                yield board
            finally:
                board.end()


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    """A socket that listens at the address. Raises HarnessError."""
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise HarnessError(f"{address} can't be listened on: {error}") from error
    with listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(found)
            listening.listen()
        except OSError as error:
            raise HarnessError(
                f"{address} can't be listened on: {error.strerror}; name another port, or 0 for any that is free"
            ) from error
        yield listening


@contextmanager
def _in_thread(app: ASGIApp, sockets: list[socket.socket]) -> Iterator[None]:
    """Serve from another thread with an event loop of its own, so that requests don't delay the run."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # Addresses contain the token, and must not be logged.
        logging.getLogger(name).disabled = True
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=(sockets,), name="live-page", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(STOP_SECONDS_MAX)
