"""The server's process, which can be ended and started again on the same address."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from snapstorm.errors import ConfigError, HarnessError
from snapstorm.model.protocols import LOOPBACK
from snapstorm.runtime.process import RunningProcess
from snapstorm.targets.command_output import last_line

_START_SECONDS_MAX = 60.0
_START_AGAIN_TRIES = 5
_START_AGAIN_PAUSE_SECONDS = 1.0
_END_SECONDS_MAX = 15.0

Launch = Callable[[str], AbstractAsyncContextManager[RunningProcess]]
"""Starts the server for a block, to listen at this `HOST:PORT`."""


def is_address(host: str) -> bool:
    """Whether it is an IP address, rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def host_and_port(address: str) -> tuple[str, int]:
    """Both parts of `HOST:PORT`; an IPv6 address without its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class ServerProcess:
    """One server after the other, always at the same address. The last one ends with the block."""

    def __init__(
        self,
        launch: Launch,
        listening: re.Pattern[str],
        name: str,
        last_words: Callable[[str], str] = last_line,
        *,
        host: str = LOOPBACK,
    ) -> None:
        """`listening`: the line that says that it listens, with the host and the port as groups; `name`: what people
        call it; `last_words`: of its log, the reason why it has ended; `host`: where it listens, and by which clients
        reach it. Raises ConfigError for a host that stands for all addresses: no client can reach that."""
        if not host or (is_address(host) and ip_address(host).is_unspecified):
            raise ConfigError(f"{name} can't listen on {host!r}: name the address by which clients reach this machine")
        self._launch = launch
        self._listening = listening
        self._name = name
        self._last_words = last_words
        self._host = f"[{host}]" if ":" in host else host
        self._block = AsyncExitStack()
        self._process: RunningProcess | None = None
        self._changing = anyio.Lock()
        self._port = 0
        """0 until a free one was found."""
        self.address = ""
        """Where it listens, `HOST:PORT`, once `wait` has returned."""

    async def __aenter__(self) -> Self:
        self._process = await self._block.enter_async_context(self._launch(f"{self._host}:0"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._block.aclose()

    @property
    def url(self) -> str:
        """Where one that speaks HTTPS listens."""
        return f"https://{self.address}"

    @property
    def pid(self) -> int | None:
        """Its process id; None while it is ended."""
        child = self._process.child if self._process is not None else None
        return child.pid if child is not None and child.exit_code is None else None

    @property
    def temporary_directory(self) -> Path | None:
        """Where it keeps temporary files; None while it is ended."""
        return self._process.child.temporary if self._process is not None and self.pid is not None else None

    @property
    def obituary(self) -> str:
        """How the server ended, and its last words; empty while it lives."""
        process = self._process
        if process is None:
            return "\nthe server had been ended"
        exit_code = process.child.exit_code
        if exit_code is None:
            return ""
        return f"\nthe server has ended, with {exit_code}; its last words:\n{process.log_tail()}"

    async def wait(self) -> None:
        """Wait until it listens. Raises HarnessError, one line, when it does not start."""
        process = self._process
        assert process is not None
        match = await process.line_matching(self._listening, seconds_max=_START_SECONDS_MAX)
        if match is not None:
            self._port, self.address = int(match[2]), f"{self._host}:{match[2]}"
            return
        if process.child.exit_code is None:
            raise HarnessError(f"{self._name} did not start within {_START_SECONDS_MAX:.0f} s; see {process.log}")
        raise HarnessError(f"{self._name} did not start: {self._last_words(process.log_tail())}")

    async def end(self, number: signal.Signals) -> None:
        """End it by this signal, and wait until it has gone; killed if the signal does not do."""
        async with self._changing:
            if self._process is not None:
                self._process.child.signal(number)
                with anyio.move_on_after(_END_SECONDS_MAX):
                    await self._process.child.exited()
                await self._forget()

    async def start(self) -> None:
        """Start it again, where it was; returns once it listens. Does nothing while it runs."""
        async with self._changing:
            if self.pid is not None:
                return
            await self._forget()
            for tries_left in reversed(range(_START_AGAIN_TRIES)):
                self._process = await self._block.enter_async_context(self._launch(f"{self._host}:{self._port}"))
                try:
                    await self.wait()
                except HarnessError:
                    # Somebody else may have the port for a moment, as the near end of a connection.
                    await self._forget()
                    if tries_left == 0:
                        raise
                    await anyio.sleep(_START_AGAIN_PAUSE_SECONDS)
                else:
                    return

    async def _forget(self) -> None:
        """Leave the block of the process that has ended, or must."""
        self._process = None
        await self._block.aclose()
