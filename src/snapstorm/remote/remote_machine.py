"""The coordinator's side: a machine elsewhere, behind the protocols by which the engine knows machines."""

from __future__ import annotations

import contextlib
import random
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from snapstorm.errors import MachineLost, SnapstormError
from snapstorm.filesystem.client_machine import RestorePlace
from snapstorm.filesystem.explain import ContentExplained
from snapstorm.filesystem.kept_tree import unpack_tree
from snapstorm.filesystem.local_machine import TREE, restore_directory
from snapstorm.model.action_results import WriteReport
from snapstorm.model.actions import FileAction
from snapstorm.model.judging import Promise, digest_of
from snapstorm.model.manifest import Entry, Manifest, decode_manifest
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.protocols import FileWriter
from snapstorm.remote import requests
from snapstorm.remote.draws_state import encode_draws, set_draws
from snapstorm.runtime.threads import run_file_work

Answer = TypeVar("Answer")


class Caller(Protocol):
    """Carries requests to one machine, and their answers back."""

    async def __call__(self, request: requests.HostRequest[Answer]) -> Answer:
        """Ask once. Raises what the machine raised, and MachineLost when no answer can come any more."""
        ...


@dataclass
class RemoteWriter:
    """The files of a client on another machine. Implements `FileWriter`."""

    client: str
    data_directory: Path
    call: Caller
    state: requests.FilesState
    _changes: list[str] = field(default_factory=list)
    """By others, found by a scan, and not told yet."""
    _is_just_scanned: bool = False
    """Nobody was asked for anything since the files were scanned, so the scan has found all changes."""

    def begin_again(self, state: requests.FilesState) -> None:
        """The files were opened anew."""
        self.state, self._changes, self._is_just_scanned = state, [], False

    def can_apply(self, action: type[FileAction]) -> bool:
        return action.key in self.state.can_apply

    async def apply(self, action: FileAction, draws: random.Random) -> Ok[WriteReport] | NoOp:
        request = requests.ApplyAction(self.client, action.key, action.options_json, encode_draws(draws))
        applied = await self._change(request, draws)
        return NoOp(applied.reason) if applied.report is None else Ok(applied.report)

    async def free_space(self, draws: random.Random) -> WriteReport:
        applied = await self._change(requests.FreeSpace(self.client, encode_draws(draws)), draws)
        return applied.report or WriteReport()

    async def _change(self, request: requests.HostRequest[requests.Applied], draws: random.Random) -> requests.Applied:
        self._is_just_scanned = False
        applied = await self.call(request)
        set_draws(draws, applied.draws)
        self.state = applied.state
        return applied

    async def scan(self) -> Manifest:
        manifest = self._take(await self.call(requests.ScanFiles(self.client)))
        self._is_just_scanned = True
        return manifest

    async def adopt(self, tree: Path) -> Manifest:
        return self._take(await self.call(requests.Adopt(self.client, tree.parent.name)))

    def _take(self, scanned: requests.Scanned) -> Manifest:
        self._changes += scanned.changes
        self.state = scanned.state
        return decode_manifest(scanned.manifest)

    async def watch(self) -> None:
        self._is_just_scanned = False
        await self.call(requests.WatchFiles(self.client))

    async def changes_by_others(self) -> Sequence[str]:
        if not self._is_just_scanned:
            found = await self.call(requests.FindChanges(self.client))
            self._changes += found.lines
            self.state = found.state
        changes, self._changes = self._changes, []
        return changes

    async def pick_directory(self, draws: random.Random) -> bytes | None:
        picked = await self.call(requests.PickDirectory(self.client, encode_draws(draws)))
        set_draws(draws, picked.draws)
        return picked.path


@dataclass
class RemoteRestore:
    """A place for one restore on another machine. Implements `RestorePlace`."""

    client: str
    operation: str
    directory: Path
    call: Caller
    scratch: Path
    """A directory of this machine, for what is fetched."""
    _strays: Sequence[bytes] = ()

    @property
    def tree(self) -> Path:
        return self.directory / TREE

    async def clear(self) -> None:
        await self.call(requests.ClearRestore(self.client, self.operation))

    async def strays(self) -> Sequence[bytes]:
        return self._strays

    async def scan(self, promise: Promise) -> Manifest:
        request = requests.ScanRestore(
            self.client,
            self.operation,
            wanted=digest_of(promise.wanted, promise),
            capabilities=promise.capabilities.as_json,
            is_detailed=promise.wanted.is_detailed,
            is_small=promise.wanted.is_small,
        )
        restored = await self.call(request)
        self._strays = restored.strays
        return promise.wanted if restored.manifest is None else decode_manifest(restored.manifest)

    async def explain(self, expected: Sequence[Entry]) -> Mapping[bytes, ContentExplained]:
        if not expected:
            return {}
        try:
            return (await self.call(requests.ExplainRestore(self.client, self.operation, list(expected)))).contents
        except SnapstormError as error:  # An explanation decides nothing, so neither does its failure.
            return {entry.path: ContentExplained(problem=f"it can't be explained: {error}") for entry in expected}

    @asynccontextmanager
    async def at_hand(self, differing: Sequence[bytes], bytes_total: int) -> AsyncIterator[Path]:
        request = requests.FetchRestore(self.client, self.operation, list(differing), bytes_total)
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            try:
                fetched = await self.call(request)
                tree = await run_file_work(unpack_tree, fetched.archive, Path(directory))
            except (SnapstormError, OSError, tarfile.TarError):
                tree = Path(directory) / "lost"  # What was found stands without its evidence.
            yield tree

    async def remove(self, *, entries: int, is_small: bool) -> None:
        with contextlib.suppress(MachineLost):  # Its next incarnation removes it.
            await self.call(requests.RemoveRestore(self.client, self.operation, entries, is_small))


@dataclass(frozen=True)
class RemoteMachine:
    """Another machine, on which clients run. Implements `Machine`."""

    name: str
    workdir: Path
    """Of this run on that machine: holds a directory for each client."""
    call: Caller
    scratch: Path
    """A directory of this machine, for what is fetched."""
    _writers: dict[str, RemoteWriter] = field(default_factory=dict)

    @property
    def clients(self) -> Sequence[str]:
        """Those whose files are there, sorted."""
        return sorted(self._writers)

    async def open_writers_again(self) -> None:
        """Open the files of all clients in another incarnation of the machine. What was changed there while nobody
        looked is how they are now."""
        for client, writer in self._writers.items():
            writer.begin_again(await self.call(requests.OpenWriter(client, None)))

    def directory(self, client: str) -> Path:
        return self.workdir / client

    async def open_writer(self, client: str, remembered: Manifest | None) -> FileWriter:
        known = None if remembered is None else remembered.encoded
        state = await self.call(requests.OpenWriter(client, known))
        writer = RemoteWriter(client, self.directory(client) / "data", self.call, state)
        self._writers[client] = writer
        return writer

    async def new_restore(self, client: str, operation: str) -> RestorePlace:
        await self.call(requests.NewRestore(client, operation))
        directory = restore_directory(self.directory(client), operation)
        return RemoteRestore(client, operation, directory, self.call, self.scratch)

    async def make_tree(self, tree: Path, text: str) -> Manifest:
        made = await self.call(requests.MakeTree(tree.parent.name, tree.name, text))
        return decode_manifest(made.manifest)

    async def remove_tree(self, tree: Path) -> None:
        await self.call(requests.RemoveTree(tree.parent.name, tree.name))
