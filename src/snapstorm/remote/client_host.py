"""The other machine's side: holds the files of the clients that run there, and answers requests about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from snapstorm.errors import HarnessError
from snapstorm.filesystem.client_machine import RestorePlace
from snapstorm.filesystem.kept_tree import pack_tree
from snapstorm.filesystem.local_machine import LocalMachine
from snapstorm.filesystem.scanner import scan_if_there
from snapstorm.filesystem.tree_changes import TREE_CHANGES
from snapstorm.model.actions import ACTIONS, FileAction
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.judging import Promise, digest_of
from snapstorm.model.manifest import Manifest, decode_manifest
from snapstorm.model.outcomes import Ok
from snapstorm.model.protocols import FileWriter
from snapstorm.remote import requests
from snapstorm.remote.draws_state import decode_draws, encode_draws
from snapstorm.remote.hosted_clients import HostedClients
from snapstorm.remote.opened_clients import OpenClient
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.threads import run_file_work

Answer = TypeVar("Answer")
_DONE = requests.Done()


class ClientHost:
    """Answers requests. One for each run."""

    def __init__(self, machine: LocalMachine, runner: ProcessRunner, open_client: OpenClient) -> None:
        """`runner` starts the processes of its clients."""
        self.machine = machine
        self._runner = runner
        self._writers: dict[str, FileWriter] = {}
        self._restores: dict[str, RestorePlace] = {}
        """By their operations."""
        self._answers: Mapping[type[requests.HostRequest[Any]], Callable[[Any], Awaitable[Any]]] = {
            requests.OpenWriter: self._open_writer,
            requests.ApplyAction: self._apply,
            requests.FreeSpace: self._free_space,
            requests.ScanFiles: self._scan,
            requests.Adopt: self._adopt,
            requests.WatchFiles: self._watch,
            requests.FindChanges: self._find_changes,
            requests.PickDirectory: self._pick_directory,
            requests.NewRestore: self._new_restore,
            requests.ClearRestore: self._clear_restore,
            requests.ScanRestore: self._scan_restore,
            requests.ExplainRestore: self._explain_restore,
            requests.FetchRestore: self._fetch_restore,
            requests.RemoveRestore: self._remove_restore,
            requests.MakeTree: self._make_tree,
            requests.RemoveTree: self._remove_tree,
            requests.SignalOperation: self._signal,
            requests.EndStrays: self._end_strays,
            **HostedClients(open_client).answers,
        }

    @property
    def answered(self) -> Collection[type[requests.HostRequest[Any]]]:
        """The kinds of requests that are answered."""
        return self._answers.keys()

    async def answer(self, request: requests.HostRequest[Answer]) -> Answer:
        """Do what is asked for. Raises HarnessError, and TargetError for what the target did."""
        answer: Answer = await self._answers[type(request)](request)
        return answer

    # Clients' files.

    async def _open_writer(self, request: requests.OpenWriter) -> requests.FilesState:
        remembered = None if request.remembered is None else decode_manifest(request.remembered)
        self._writers[request.client] = await self.machine.open_writer(request.client, remembered)
        return self._state(request.client)

    def _state(self, client: str) -> requests.FilesState:
        writer = self._writers[client]
        return requests.FilesState(frozenset(action.key for action in TREE_CHANGES if writer.can_apply(action)))

    async def _apply(self, request: requests.ApplyAction) -> requests.Applied:
        action, draws = ACTIONS[request.action].model_validate_json(request.options), decode_draws(request.draws)
        if not isinstance(action, FileAction):
            raise HarnessError(f"{request.action} does not change files")
        outcome = await self._writers[request.client].apply(action, draws)
        report, reason = (outcome.value, "") if isinstance(outcome, Ok) else (None, outcome.reason)
        return requests.Applied(report, reason, encode_draws(draws), self._state(request.client))

    async def _free_space(self, request: requests.FreeSpace) -> requests.Applied:
        draws = decode_draws(request.draws)
        report = await self._writers[request.client].free_space(draws)
        return requests.Applied(report, "", encode_draws(draws), self._state(request.client))

    async def _scan(self, request: requests.ScanFiles) -> requests.Scanned:
        writer = self._writers[request.client]
        return await self._scanned(request.client, await writer.scan())

    async def _adopt(self, request: requests.Adopt) -> requests.Scanned:
        tree = self._restores[request.operation].tree
        return await self._scanned(request.client, await self._writers[request.client].adopt(tree))

    async def _scanned(self, client: str, manifest: Manifest) -> requests.Scanned:
        changes = await self._writers[client].changes_by_others()
        return requests.Scanned(manifest.encoded, list(changes), self._state(client))

    async def _watch(self, request: requests.WatchFiles) -> requests.Done:
        await self._writers[request.client].watch()
        return _DONE

    async def _find_changes(self, request: requests.FindChanges) -> requests.Changes:
        changes = await self._writers[request.client].changes_by_others()
        return requests.Changes(list(changes), self._state(request.client))

    async def _pick_directory(self, request: requests.PickDirectory) -> requests.Picked:
        draws = decode_draws(request.draws)
        path = await self._writers[request.client].pick_directory(draws)
        return requests.Picked(path, encode_draws(draws))

    # Restores.

    async def _new_restore(self, request: requests.NewRestore) -> requests.Done:
        self._restores[request.operation] = await self.machine.new_restore(request.client, request.operation)
        return _DONE

    async def _clear_restore(self, request: requests.ClearRestore) -> requests.Done:
        await self._restores[request.operation].clear()
        return _DONE

    async def _scan_restore(self, request: requests.ScanRestore) -> requests.Restored:
        place = self._restores[request.operation]
        capabilities = Capabilities.model_validate_json(request.capabilities)
        # Only whether the promised manifest is detailed counts for the digest of another.
        promise = Promise(Manifest((), request.is_detailed), capabilities)
        manifest = await run_file_work(scan_if_there, place.tree, is_small=request.is_small)
        is_equal = digest_of(manifest, promise) == request.wanted
        return requests.Restored(None if is_equal else manifest.encoded, list(await place.strays()))

    async def _explain_restore(self, request: requests.ExplainRestore) -> requests.Explained:
        return requests.Explained(dict(await self._restores[request.operation].explain(request.expected)))

    async def _fetch_restore(self, request: requests.FetchRestore) -> requests.Fetched:
        tree = self._restores[request.operation].tree
        return requests.Fetched(await run_file_work(pack_tree, tree, request.differing, request.bytes_total))

    async def _remove_restore(self, request: requests.RemoveRestore) -> requests.Done:
        place = self._restores.pop(request.operation)
        await place.remove(entries=request.entries, is_small=request.is_small)
        return _DONE

    async def _signal(self, request: requests.SignalOperation) -> requests.Signalled:
        return requests.Signalled(self._runner.signal_children_of(request.of, request.number))

    async def _end_strays(self, _: requests.EndStrays) -> requests.Ended:
        return requests.Ended(tuple(str(one) for one in await self._runner.end_strays(())))

    # Trees of snapstorm's own.

    async def _make_tree(self, request: requests.MakeTree) -> requests.Scanned:
        tree = self.machine.directory(request.client) / request.name
        manifest = await self.machine.make_tree(tree, request.text)
        return requests.Scanned(manifest.encoded, [], requests.FilesState(frozenset()))

    async def _remove_tree(self, request: requests.RemoveTree) -> requests.Done:
        await self.machine.remove_tree(self.machine.directory(request.client) / request.name)
        return _DONE
