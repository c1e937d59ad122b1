"""Serves a bucket over HTTP on loopback, from a thread with an event loop of its own.

An ASGI application without a framework: most requests are small, and most of their time would be the framework's.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from snapstorm.errors import HarnessError
from snapstorm.gateway.s3 import Answer, S3Error, actor_of, error_answer, read_request
from snapstorm.gateway.storage import BUCKET, Storage, opened

LOOPBACK = "127.0.0.1"
STOP_SECONDS_MAX = 5.0
_DENIED = S3Error(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
_TORN = S3Error(400, "IncompleteBody", "You did not provide the number of bytes specified by Content-Length.")
_FAILED = S3Error(500, "InternalError", "The gateway could not keep this; its run tells why.")


class Gateway:
    """A bucket that programs reach over HTTP."""

    def __init__(self, storage: Storage, port: int) -> None:
        self.endpoint = f"http://{LOOPBACK}:{port}"
        self.storage = storage
        self._actors: dict[str, str] = {}
        self._failure: OSError | sqlite3.Error | None = None

    def admit(self, actor: str, access_key: str) -> None:
        """Let in whoever names this access key, and know him as this actor. Secret keys are not checked."""
        self._actors[access_key] = actor

    def check(self) -> None:
        """Raise HarnessError if something could not be kept: what programs met since is not their storage's doing."""
        if self._failure is not None:
            raise HarnessError(f"the gateway could not keep what was written: {self._failure}") from self._failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: the ASGI application."""
        arrived = self.storage.history.next_event()
        applied = None
        try:
            body = await _read_body(receive)
            answer, applied = self._answer(scope, body, arrived)
        except S3Error as error:
            answer = error_answer(error)
        except (OSError, sqlite3.Error) as error:
            self._failure = error
            answer = error_answer(_FAILED)
        await _send(answer, send, has_body=scope["method"] != "HEAD")
        if applied is not None:
            self.storage.history.acknowledge(applied)

    def _answer(self, scope: Scope, body: bytes, arrived: int) -> tuple[Answer, int | None]:
        headers = dict(scope["headers"])
        actor = self._actors.get(actor_of(headers) or "")
        if actor is None:
            raise _DENIED
        asked = read_request(scope["method"], scope["raw_path"], scope["query_string"], headers, BUCKET)
        return self.storage.answer(asked, actor, body, arrived)


async def _read_body(receive: Receive) -> bytes:
    """The body of a request. Raises S3Error if the sender goes before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _TORN
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _send(answer: Answer, send: Send, *, has_body: bool) -> None:
    headers = [*answer.headers, (b"content-type", answer.content_type)]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if has_body else b""})


@contextmanager
def serving(directory: Path, now_ns: Callable[[], int], *, port: int = 0) -> Iterator[Gateway]:
    """Serve the bucket that is kept in a directory, during the block. Port 0 is any that is free.

    Raises HarnessError if the port can't be had, or the directory can't be used.
    """
    with contextlib.ExitStack() as stack:
        try:
            listening = stack.enter_context(socket.create_server((LOOPBACK, port)))
            # Connections inherit it. Without it each answer waits 40 ms for the client to acknowledge its headers.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            storage = stack.enter_context(opened(directory, now_ns))
        except (OSError, sqlite3.Error) as error:
            raise HarnessError(f"the gateway can't be started on {directory}: {error}") from error
        gateway = Gateway(storage, listening.getsockname()[1])
        with _in_thread(gateway, listening):
            yield gateway


@contextmanager
def _in_thread(app: ASGIApp, listening: socket.socket) -> Iterator[None]:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).disabled = True
    config = uvicorn.Config(app, http="httptools", log_config=None, access_log=False, lifespan="off", ws="none")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), name="gateway", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(STOP_SECONDS_MAX)
