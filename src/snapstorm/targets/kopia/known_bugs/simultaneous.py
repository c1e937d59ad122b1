"""Known bugs of several at work at once: a server's open files, and manifests that two compact at the same time."""

from __future__ import annotations

import functools
import signal
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import anyio
import psutil

from snapstorm.errors import HarnessError, OperationFailed, OperationPartial
from snapstorm.model.abilities import InProcess
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ClientSnapshotter, Server, TargetPlace
from snapstorm.runtime.process import CompletedCommand
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.runtime.tasks import together
from snapstorm.targets.known_bug import KnownBug
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.command import Actor
from snapstorm.targets.kopia.known_bugs.bench import MEASURED, Bench
from snapstorm.targets.kopia.target import KopiaTarget
from snapstorm.targets.workbench import Signal, stop, until

_CLIENTS = 3
_SNAPSHOTS_EACH = 24
_UPLOADER = "client-1@known-bug"
_UPLOADS_MAX = 40
"""Each fails about every second time (measured)."""
_SIZE_OF_TWO_PARTS = (1 << 20) + 1000
_OPEN_FILES_GROWTH_MAX = 64
"""As every run judges it. A healthy server stays at 10."""

_COMPACTED_AT = 16
"""So many manifest contents, and whoever reads them replaces them by one (0.19.0 to 0.23.1)."""
_ROUNDS = 2
_SETTLE_SECONDS = 0.3


async def _upload_in_parts_through_a_server(bench: Bench) -> str | None:
    async with _served(bench, {"parallel-upload-above-mib": "1"}) as server:
        await server.add_clients([_UPLOADER])
        client = server.client(_UPLOADER)
        await client.connect()
        for number in range(_UPLOADS_MAX):
            tree = await bench.write_tree(f"source-{number}", count=1, size_bytes=_SIZE_OF_TWO_PARTS)
            try:
                await client.create_snapshot(tree.directory, str(number))
            except OperationPartial as error:
                return f"snapshot {number + 1} of one file of two parts: {error}"
    return None


def _served(bench: Bench, parameters: Mapping[str, str]) -> AbstractAsyncContextManager[Server]:
    """A server before a new repository, as runs have it."""
    secrets = FileSecretStore(bench.directory / "secrets")
    place = TargetPlace("known-bug", bench.directory / "bed", secrets, parameters=parameters)
    return KopiaTarget([bench.program], bench.runner).serve(place)


async def _take_many_through_a_server(bench: Bench) -> str | None:
    tree = await bench.write_tree("source", count=1, size_bytes=1000)
    names = [f"client-{number}@known-bug" for number in range(1, _CLIENTS + 1)]
    async with _served(bench, {}) as server:
        assert isinstance(server, InProcess)
        await server.add_clients(names)
        clients = [server.client(name) for name in names]
        await together(client.connect for client in clients)
        process = psutil.Process(server.server_pid)
        before = process.num_fds()

        async def take(client: ClientSnapshotter) -> None:
            for number in range(_SNAPSHOTS_EACH):
                await client.create_snapshot(tree.directory, str(number))

        await together(functools.partial(take, client) for client in clients)
        after = process.num_fds()
    if after - before <= _OPEN_FILES_GROWTH_MAX:
        return None
    return (
        f"the server holds {after} open files when nobody works, {before} before {_CLIENTS * _SNAPSHOTS_EACH} "
        "snapshots of clients"
    )


async def _compact_beside_a_deletion(bench: Bench) -> str | None:
    """The 16th manifest content makes its writer replace all 16; before it has, a snapshot is deleted, and the others
    compact as well, which drops the mark of the deletion."""
    first = await bench.create_repository()
    slow = await bench.connect("slow")
    tree = await bench.write_tree("source", count=1, size_bytes=1000)
    # A write a second, so that it is stopped in the midst, and not before or after.
    await bench.ask(slow, "repository", "throttle", "set", "--write-requests-per-second=1")
    for _ in range(_ROUNDS):
        doomed = await bench.take_snapshot(first, tree.directory)
        await _compact_around_deletion(bench, first, slow, doomed)
        if doomed in await _listed(bench, first):
            return (
                f"snapshot {doomed} is listed again: its deletion was acknowledged, and it was listed no more, until a "
                "`policy set` that had been suspended meanwhile went on"
            )
    return None


async def _compact_around_deletion(bench: Bench, first: Actor, slow: Actor, doomed: str) -> None:
    await _fill_up(bench, first)
    before = meanwhile = bench.blob_ids("x")

    async def delete(send: Signal) -> None:
        nonlocal meanwhile
        await until(lambda: bench.blob_ids("x") != before, "the 16th was written")
        await anyio.sleep(_SETTLE_SECONDS)
        stop(send)
        answers.check(await bench.kopia.delete_snapshot(first, doomed), "snapshot delete", OperationFailed)
        if doomed in await _listed(bench, first):
            raise HarnessError("the deletion had no effect, not even at first")
        await _fill_up(bench, first)
        await _write_manifest(bench, first)
        meanwhile = bench.blob_ids("x")
        send(signal.SIGCONT)

    answers.check(await bench.beside(lambda: _write_manifest(bench, slow), delete), "policy set", OperationFailed)
    if bench.blob_ids("x") == meanwhile:
        raise HarnessError("`policy set` was not suspended in the midst of its work")


async def _fill_up(bench: Bench, actor: Actor) -> None:
    """Write manifests until the next one is that at which all are compacted."""
    while len((await bench.ask(actor, "content", "list", "--prefix=m")).stdout.splitlines()) < _COMPACTED_AT - 1:
        await _write_manifest(bench, actor)


async def _write_manifest(bench: Bench, actor: Actor) -> CompletedCommand:
    return await bench.ask(actor, "policy", "set", "/anywhere", f"--keep-latest={next(bench.numbers) + 1}")


async def _listed(bench: Bench, actor: Actor) -> set[str]:
    return {entry.id for entry in snapshot_answers.read_listing(await bench.kopia.list_snapshots(actor))}


BUGS = (
    KnownBug(
        key="4866",
        title="a server's open files grow with every snapshot",
        provoked=f"{_CLIENTS} clients take {_SNAPSHOTS_EACH} snapshots each through one server.",
        guarantee=Guarantee.NO_LEAK,
        bad=frozenset({"0.19.0"}),
        measured=MEASURED,
        provoke=_take_many_through_a_server,
    ),
    KnownBug(
        key="parallel-upload",
        title="files uploaded in parts through a server are left out",
        provoked=f"A client with --parallel-upload-above-size-mib=1 takes up to {_UPLOADS_MAX} snapshots of one file "
        "that is uploaded in two parts.",
        guarantee=Guarantee.AVAILABLE,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_upload_in_parts_through_a_server,
    ),
    KnownBug(
        key="deleted-comes-back",
        title="an acknowledged deletion is undone by a compaction of manifests",
        provoked="`policy set` is suspended while it replaces 16 manifest contents by one; meanwhile a snapshot is "
        "deleted and 16 more manifests are written; then it goes on.",
        guarantee=Guarantee.DELETED_STAYS_GONE,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_compact_beside_a_deletion,
    ),
)
