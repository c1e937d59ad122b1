"""One call to a machine elsewhere: for which operation, and what its commands were.

The commands that ran there on behalf of a call come back with its answer, also with an error, so that the ledger and
the evidence have them as they have those of this machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import msgspec

from snapstorm.machines.services import Method
from snapstorm.machines.wire import CallFailure
from snapstorm.machines.wire_errors import error_of, failure_of
from snapstorm.remote.client_host import ClientHost
from snapstorm.remote.codec import decode_answer, decode_request, encode
from snapstorm.remote.requests import HostRequest
from snapstorm.runtime.process import CompletedCommand, Listener, on_behalf_of

OUTPUT_BYTES_MAX = 64 << 10
"""So much of what a command wrote comes along, of the beginning of its output and of the end of its errors."""

Answer = TypeVar("Answer")

_ended_commands: ContextVar[list[CompletedCommand] | None] = ContextVar("snapstorm_ended_commands", default=None)


class Question(msgspec.Struct, frozen=True):
    """A request, and the operation on whose behalf it is."""

    operation: str | None
    request: bytes


class SentCommand(msgspec.Struct, frozen=True):
    """A command that has ended. Words and paths are bytes, because those of files are."""

    argv: tuple[bytes, ...]
    env: Mapping[str, str]
    exit_code: int
    stdout: bytes
    stderr: bytes
    ended_ago_seconds: float
    """Before the answer was sent."""
    seconds: float
    timed_out: bool
    cwd: bytes | None
    left_files: tuple[str, ...]

    @classmethod
    def of(cls, command: CompletedCommand, now_seconds: float) -> SentCommand:
        """The command, sent at this moment of the monotonic clock."""
        return cls(
            argv=tuple(map(os.fsencode, command.argv)),
            env={name: os.fsencode(value).decode("utf-8", "backslashreplace") for name, value in command.env.items()},
            exit_code=command.exit_code,
            stdout=command.stdout[:OUTPUT_BYTES_MAX],
            stderr=command.stderr[-OUTPUT_BYTES_MAX:],
            ended_ago_seconds=now_seconds - command.began_seconds - command.seconds,
            seconds=command.seconds,
            timed_out=command.timed_out,
            cwd=None if command.cwd is None else os.fsencode(command.cwd),
            left_files=tuple(command.left_files),
        )

    def completed(self, now_seconds: float) -> CompletedCommand:
        """The command as if it had run here. The answer came at this moment of this machine's monotonic clock."""
        return CompletedCommand(
            argv=tuple(map(os.fsdecode, self.argv)),
            env=self.env,
            exit_code=self.exit_code,
            stdout=self.stdout,
            stderr=self.stderr,
            began_seconds=now_seconds - self.ended_ago_seconds - self.seconds,
            seconds=self.seconds,
            timed_out=self.timed_out,
            cwd=None if self.cwd is None else Path(os.fsdecode(self.cwd)),
            left_files=self.left_files,
        )


class Reply(msgspec.Struct, frozen=True):
    """An answer, or an error, and the commands that have run for it."""

    answer: bytes
    failure: CallFailure | None
    commands: tuple[SentCommand, ...]


def note_command(command: CompletedCommand) -> None:
    """Take a command that has ended on this machine: the listener of the host's runner."""
    commands = _ended_commands.get()
    if commands is not None:
        commands.append(command)


CLIENTS = Method("clients", Question, Reply)
"""By which machines are asked for what concerns clients."""


async def reply_to(host: ClientHost, asked: Question) -> Reply:
    """What the host says to a question. Only a cancellation is raised."""
    commands: list[CompletedCommand] = []
    tokens = on_behalf_of.set(asked.operation), _ended_commands.set(commands)
    answer, failure = b"", None
    try:
        answer = encode(await host.answer(decode_request(asked.request)))
    except Exception as error:  # noqa: BLE001 - the other side is told of it
        failure = failure_of(0, error)
    finally:
        on_behalf_of.reset(tokens[0])
        _ended_commands.reset(tokens[1])
    now_seconds = time.monotonic()
    sent = tuple(SentCommand.of(command, now_seconds) for command in commands)
    return Reply(answer, failure, sent)


class MachineCaller:
    """Implements `Caller` for one machine."""

    def __init__(self, ask: Callable[[Question], Awaitable[Reply]], on_command: Listener) -> None:
        """`ask` carries a question there, and the reply back. `on_command` takes the commands that ran there."""
        self._ask = ask
        self._on_command = on_command

    async def __call__(self, request: HostRequest[Answer]) -> Answer:
        reply = await self._ask(Question(on_behalf_of.get(), encode(request)))
        now_seconds = time.monotonic()
        for command in reply.commands:
            self._on_command(command.completed(now_seconds))
        if reply.failure is not None:
            raise error_of(reply.failure)
        return decode_answer(request, reply.answer)
