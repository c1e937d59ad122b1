"""A machine elsewhere does what the local one does: here with all that travels as bytes, and no network between."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn, TypeVar, cast

import msgspec
import pytest

from snapstorm.errors import ANY_BLOB, AccessDenied, HarnessError, TargetError
from snapstorm.filesystem.cleaner import Cleaner
from snapstorm.filesystem.client_machine import Machine, RestorePlace
from snapstorm.filesystem.local_machine import LocalMachine
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.model.action_results import ListedSnapshot, Particulars
from snapstorm.model.actions import (
    ChangeMetadata,
    DeleteFiles,
    DeleteRandomSubdirectory,
    FileAction,
    ModifyFiles,
    WriteRandomFiles,
)
from snapstorm.model.amounts import Span
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.client_access import ClientAccess
from snapstorm.model.judging import judge_restored, promise_of
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.tree_differences import DifferenceKind
from snapstorm.remote import requests
from snapstorm.remote.codec import decode_request
from snapstorm.remote.exchange import CLIENTS, MachineCaller, Question, Reply
from snapstorm.remote.hosted_run import HostedRun
from snapstorm.remote.opened_clients import OpenClient, OpenClients
from snapstorm.remote.remote_machine import RemoteMachine
from snapstorm.remote.remote_snapshotter import RemoteSnapshotter
from snapstorm.runtime.meter import Meter
from snapstorm.runtime.process import CompletedCommand, ProcessRunner, on_behalf_of

pytestmark = pytest.mark.anyio

Answer = TypeVar("Answer")

CLIENT, OPERATION = "client-1@snapstorm", "r1-client-1-5"
KEPT = Capabilities()
ACTIONS: tuple[FileAction, ...] = (
    WriteRandomFiles(count=8, depth=2, size_bytes=Span(low=10, high=90_000)),
    ModifyFiles(),
    ChangeMetadata(),
    DeleteFiles(),
    DeleteRandomSubdirectory(),
)


def no_clients(*_: object) -> OpenClient:
    def fail(*_: object) -> NoReturn:
        raise AssertionError("nobody connects here")

    return fail


class Bench:
    """One machine elsewhere, and what it was asked for."""

    def __init__(self, hosted: HostedRun, scratch: Path) -> None:
        self.hosted = hosted
        self.asked: list[str] = []
        self.answered_bytes: list[int] = []
        self.commands: list[CompletedCommand] = []
        self.call = MachineCaller(self._carry, self.commands.append)
        self.machine = RemoteMachine("m1", scratch / "there" / "snapstorm-bed" / "clients", self.call, scratch)

    async def _carry(self, question: Question) -> Reply:
        """There and back, as bytes."""
        self.asked.append(type(decode_request(question.request)).__name__)
        reply = CLIENTS.encode(await self.hosted.answer(CLIENTS.read_request(CLIENTS.encode(question))))
        self.answered_bytes.append(len(reply))
        return CLIENTS.read_answer(reply)

    async def restored(self) -> RestorePlace:
        """A place with the tree of the client, as if it had been restored."""
        place = await self.machine.new_restore(CLIENT, OPERATION)
        os.rename(self.machine.directory(CLIENT) / "data", place.tree)
        return place


@asynccontextmanager
async def hosted_run(workdir: Path, name: str, open_clients: OpenClients) -> AsyncIterator[HostedRun]:
    hosted = HostedRun(workdir, name, open_clients)
    hosted.start()
    try:
        yield hosted
    finally:
        await hosted.aclose()


BEGIN = requests.BeginRun("bed", None, None, KEPT.as_json, 1 << 30, ())


@asynccontextmanager
async def opened(scratch: Path, open_clients: OpenClients = no_clients) -> AsyncIterator[Bench]:
    async with hosted_run(scratch / "there", "m1", open_clients) as hosted:
        bench = Bench(hosted, scratch)
        begun = await bench.call(BEGIN)
        assert Path(os.fsdecode(begun.workdir)) == bench.machine.workdir
        yield bench


async def do_all(machine: Machine, seed: int) -> list[object]:
    """What comes of all kinds of changes, with the same draws."""
    writer, draws = await machine.open_writer(CLIENT, None), random.Random(seed)
    done: list[object] = [writer.can_apply(DeleteFiles)]
    done += [await writer.apply(action, draws) for action in ACTIONS]
    done += [await writer.pick_directory(draws), await writer.free_space(draws), draws.random()]
    done += [(await writer.scan()).digest, writer.can_apply(DeleteFiles)]
    return done


async def test_the_same_draws_make_the_same_tree_on_every_machine(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench, ProcessRunner("bed") as runner:
        local = LocalMachine(tmp_path / "here", KEPT, 1 << 30, Cleaner(Meter(lambda: 0.0), runner))
        for seed in range(3):
            assert await do_all(bench.machine, seed) == await do_all(local, seed)


async def test_an_action_that_finds_nothing_is_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        writer = await bench.machine.open_writer(CLIENT, None)
        assert not writer.can_apply(DeleteFiles)
        outcome = await writer.apply(DeleteFiles(), random.Random(1))
        assert isinstance(outcome, NoOp)
        assert outcome.reason


async def test_what_others_change_is_told_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        writer = await bench.machine.open_writer(CLIENT, None)
        await writer.apply(ACTIONS[0], random.Random(1))
        await writer.watch()
        (writer.data_directory / "from somebody else").write_text("x")
        await writer.scan()
        changes = await writer.changes_by_others()
        assert any("from somebody else" in change for change in changes)
        assert await writer.changes_by_others() == []
        assert "FindChanges" not in bench.asked, "the scan has told it"
        await writer.watch()
        (writer.data_directory / "one more").write_text("x")
        assert any("one more" in change for change in await writer.changes_by_others())


async def test_an_equal_restore_sends_no_manifest(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        writer = await bench.machine.open_writer(CLIENT, None)
        await writer.apply(WriteRandomFiles(count=400, size_bytes=Span(low=1, high=9)), random.Random(1))
        promise = promise_of(await writer.scan(), KEPT)
        place = await bench.restored()
        found = await place.scan(promise)
        assert judge_restored(promise, found, is_partial=False) == []
        assert bench.answered_bytes[-1] < 100
        await place.remove(entries=len(found), is_small=False)


async def test_a_restore_that_differs_is_explained_and_fetched(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        writer = await bench.machine.open_writer(CLIENT, None)
        await writer.apply(WriteRandomFiles(count=3, size_bytes=Span(low=50_000, high=50_000)), random.Random(1))
        promise = promise_of(await writer.scan(), KEPT)
        place = await bench.restored()
        spoilt = next(entry.path for entry in promise.wanted if entry.size)
        with (place.tree / os.fsdecode(spoilt)).open("r+b") as file:
            file.seek(20_000)
            file.write(bytes([file.read(1)[0] ^ 1]))
        (place.tree.parent / "stray").touch()
        os.mkfifo(place.tree / "fifo")
        (place.tree / "link").symlink_to("/etc/passwd")

        found = judge_restored(promise, await place.scan(promise), is_partial=False)
        kinds = {one.kind for one in found if one.path == spoilt}
        assert DifferenceKind.CONTENT in kinds
        assert await place.strays() == [b"stray"]
        contents = await place.explain([promise.wanted.by_path[spoilt]])
        (block,) = contents[spoilt].blocks
        assert block.offset_bytes <= 20_001 < block.offset_bytes + block.length_bytes
        async with place.at_hand([spoilt], 150_000) as tree:
            assert tree.is_relative_to(tmp_path)
            there = {entry.path for entry in scan_tree(tree)}
            assert {entry.path for entry in promise.wanted} | {b"link"} == there
        assert not tree.exists()
        await place.remove(entries=3, is_small=True)
        assert not place.tree.parent.exists()


async def test_of_a_large_restore_only_what_differs_is_fetched(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        writer = await bench.machine.open_writer(CLIENT, None)
        await writer.apply(WriteRandomFiles(count=3, size_bytes=Span(low=50, high=50)), random.Random(1))
        promise = promise_of(await writer.scan(), KEPT)
        place = await bench.restored()
        files = [entry.path for entry in promise.wanted if entry.size]
        async with place.at_hand(files[:1], 1 << 40) as tree:
            assert len(list(tree.iterdir())) == 1


async def test_a_restore_is_adopted_where_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        writer = await bench.machine.open_writer(CLIENT, None)
        place = await bench.machine.new_restore(CLIENT, OPERATION)
        place.tree.mkdir()
        (place.tree / "file").write_text("restored")
        assert b"file" in {entry.path for entry in await writer.adopt(place.tree)}
        assert (writer.data_directory / "file").read_text() == "restored"
        assert isinstance(await writer.apply(DeleteFiles(), random.Random(1)), Ok)


async def test_a_restore_that_was_refused_is_cleared(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        place = await bench.machine.new_restore(CLIENT, OPERATION)
        place.tree.mkdir()
        await place.clear()
        assert not place.tree.exists()


async def test_a_tree_of_our_own_is_made_and_removed(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        tree = bench.machine.directory(CLIENT) / "probe"
        manifest = await bench.machine.make_tree(tree, "text")
        assert manifest == scan_tree(tree)
        await bench.machine.remove_tree(tree)
        assert not tree.exists()


async def test_a_new_run_removes_the_restores_of_the_last(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        place = await bench.machine.new_restore(CLIENT, OPERATION)
        place.tree.mkdir()
    async with opened(tmp_path):
        assert not place.tree.exists()


async def test_a_run_begins_once_and_before_all_else(tmp_path: Path) -> None:
    async with hosted_run(tmp_path, "m1", no_clients) as hosted:
        bench = Bench(hosted, tmp_path)
        with pytest.raises(HarnessError, match="no run has begun on the machine m1"):
            await bench.call(requests.ScanFiles(CLIENT))
    async with opened(tmp_path) as bench:
        with pytest.raises(HarnessError, match="a run has begun already"):
            await bench.call(BEGIN)


async def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")
    async with hosted_run(tmp_path / "there", "m1", no_clients) as hosted:
        with pytest.raises(HarnessError, match="there"):
            await Bench(hosted, tmp_path).call(BEGIN)


async def test_every_request_but_the_first_is_answered_by_the_host(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        assert bench.hosted.host is not None
        assert {*bench.hosted.host.answered, requests.BeginRun} == set(requests.HostRequest.__subclasses__())


ACCESS = ClientAccess("kopia", CLIENT, "server:1", b"secret")


async def find_address(access: ClientAccess) -> str:
    assert access is ACCESS
    return "here:7"


def add_last_words(error: TargetError) -> None:
    error.evidence += "; it was killed"


class Kopia:
    """A client of which each command is a real process."""

    def __init__(self, runner: ProcessRunner) -> None:
        self.runner = runner

    async def connect(self) -> None:
        await self._run("echo connected")

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        await self._run("echo shown; echo wrong >&2; touch $TMPDIR/left")
        return (ListedSnapshot("1", CLIENT, "/d", "bed", "r1-c1-2", None, particulars=Particulars(files=3)),)

    async def delete_snapshot(self, snapshot: str) -> None:
        await self._run("exit 3")
        raise AccessDenied(f"{snapshot} is not yours", evidence="the output", blobs=ANY_BLOB)

    async def _run(self, words: str) -> None:
        await self.runner.run(["/bin/sh", "-c", words], env={}, seconds_max=30)


async def test_commands_come_back_with_answers_and_errors(tmp_path: Path) -> None:
    opened_with: list[ClientAccess] = []

    def open_clients(clients: Path, runner: ProcessRunner, programs: Sequence[Path]) -> OpenClient:
        def open_client(access: bytes, address: str | None) -> ClientSnapshotter:
            assert address == "here:7"
            opened_with.append(msgspec.msgpack.decode(access, type=ClientAccess))
            return cast(ClientSnapshotter, Kopia(runner))

        return open_client

    async with opened(tmp_path, open_clients) as bench:
        client = RemoteSnapshotter(CLIENT, bench.call, lambda: ACCESS, find_address, add_last_words)
        token = on_behalf_of.set("r1-c1-9")
        try:
            await client.connect()
            (listed,) = await client.list_snapshots()
            with pytest.raises(AccessDenied, match="1 is not yours") as raised:
                await client.delete_snapshot("1")
        finally:
            on_behalf_of.reset(token)
    assert listed.particulars == Particulars(files=3)
    assert (raised.value.evidence, raised.value.blobs) == ("the output; it was killed", ANY_BLOB)
    assert opened_with == [ACCESS]
    connected, shown, refused = bench.commands
    assert (shown.stdout, shown.stderr, shown.left_files) == (b"shown\n", b"wrong\n", ("left",))
    assert refused.exit_code == 3
    assert connected.began_seconds < shown.began_seconds < refused.began_seconds <= time.monotonic()


async def test_who_is_not_connected_there_is_an_error_of_ours(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        with pytest.raises(HarnessError, match="has not been connected"):
            await RemoteSnapshotter(CLIENT, bench.call, lambda: ACCESS, find_address, add_last_words).list_snapshots()
