"""A run on another machine, from the first request to the end of the incarnation: what it starts ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError
from snapstorm.filesystem.cleaner import Cleaner
from snapstorm.filesystem.descriptors import explain_os_error
from snapstorm.filesystem.local_machine import LocalMachine, clear_restores
from snapstorm.filesystem.temporaries import temporaries_in
from snapstorm.model.capabilities import Capabilities
from snapstorm.remote import requests
from snapstorm.remote.client_host import ClientHost
from snapstorm.remote.codec import decode_request, encode
from snapstorm.remote.exchange import Question, Reply, note_command, reply_to
from snapstorm.remote.opened_clients import OpenClients, opening_clients
from snapstorm.runtime.meter import Meter
from snapstorm.runtime.process import ProcessRunner, end_processes_of
from snapstorm.runtime.threads import run_file_work


class HostedRun:
    """What one incarnation of a machine does for its run. Nothing of it goes on once it is closed."""

    def __init__(self, workdir: Path, name: str, open_clients: OpenClients = opening_clients) -> None:
        self._workdir = workdir
        self._name = name
        self._open_clients = open_clients
        self._asked: requests.BeginRun | None = None
        self._is_asked = anyio.Event()
        self._has_begun = anyio.Event()
        self.host: ClientHost | None = None
        """Once the run has begun."""
        self._failure: HarnessError | None = None
        self._holding: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Be ready for requests."""
        # A plain task, because whoever closes this is inside of other blocks than whoever started it.
        self._holding = asyncio.get_running_loop().create_task(self._hold_when_asked())

    async def aclose(self) -> None:
        """End all that the run uses."""
        if self._holding is not None:
            self._holding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._holding

    async def answer(self, asked: Question) -> Reply:
        """The answer to any request; the first one begins the run."""
        request = decode_request(asked.request)
        if isinstance(request, requests.BeginRun):
            return Reply(encode(await self._begin(request)), None, ())
        if self.host is None:
            raise HarnessError(f"no run has begun on the machine {self._name}")
        return await reply_to(self.host, asked)

    async def _begin(self, request: requests.BeginRun) -> requests.Begun:
        if self._asked is not None:
            raise HarnessError(f"a run has begun already on the machine {self._name}")
        self._asked = request
        self._is_asked.set()
        await self._has_begun.wait()
        if self.host is None:
            raise self._failure or HarnessError(f"the run did not begin on the machine {self._name}")
        return requests.Begun(os.fsencode(self.host.machine.workdir))

    async def _hold_when_asked(self) -> None:
        """Hold all that the run uses, from its beginning until this is cancelled."""
        await self._is_asked.wait()
        assert self._asked is not None
        try:
            await self._hold(self._asked)
        except HarnessError as error:
            if self.host is not None:
                raise
            self._failure = error
        finally:
            self._has_begun.set()

    async def _hold(self, request: requests.BeginRun) -> None:
        directory, workdir = self._places(request)
        owner = f"{request.testbed}@{self._name}"
        await end_processes_of(owner)  # Of an incarnation that was killed together with its watchdog.
        await run_file_work(_prepare, directory, workdir, request.shared_workdir is not None)
        with temporaries_in(directory / f"tmp-{self._name}") as temporaries:
            async with ProcessRunner(owner, on_command=note_command, temporaries=temporaries) as runner:
                cleaner = Cleaner(Meter(time.monotonic), runner)
                async with cleaner.cleaning():
                    capabilities = Capabilities.model_validate_json(request.capabilities)
                    machine = LocalMachine(workdir, capabilities, request.data_bytes_max, cleaner, self._name)
                    programs = [Path(os.fsdecode(program)) for program in request.programs]
                    open_client = self._open_clients(directory / "clients", runner, programs)
                    self.host = ClientHost(machine, runner, open_client)
                    self._has_begun.set()
                    await anyio.sleep_forever()

    def _places(self, request: requests.BeginRun) -> tuple[Path, Path]:
        """The directory of the testbed on this machine, and that of clients' files."""
        if request.shared_directory is not None and request.shared_workdir is not None:
            return Path(os.fsdecode(request.shared_directory)), Path(os.fsdecode(request.shared_workdir))
        directory = self._workdir / f"snapstorm-{request.testbed}"
        return directory, directory / "clients"


def _prepare(directory: Path, workdir: Path, is_shared: bool) -> None:
    for path in (directory, workdir):
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(os.fsencode(path), error) from error
    if not is_shared:  # Otherwise others are at work there. The coordinator removes what is left.
        clear_restores(workdir)
