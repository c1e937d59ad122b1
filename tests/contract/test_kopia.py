"""What only the real Kopia can show: its doubts, its deaths, its secrets, and what it keeps of a tree."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import anyio
import psutil
import pytest
from tests.contract.bench import Bench, Client, open_bench, tree_of
from tests.waiting import GIVE_UP_SECONDS, until

from snapstorm.errors import (
    AccessDenied,
    HarnessError,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    TargetError,
    TestbedError,
)
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.model.protocols import Mode
from snapstorm.model.tree_differences import differences
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.runtime.watchdog import owned_processes
from snapstorm.targets.kopia.discovery import find_kopia
from snapstorm.targets.kopia.server import KopiaServer
from snapstorm.targets.kopia.snapshotter import KopiaClient
from snapstorm.targets.kopia.users import is_in_file

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def kopia(module_directory: Path) -> AsyncIterator[Bench]:
    """A served Kopia for the tests that leave it as it was."""
    async with open_bench("kopia", module_directory) as opened:
        yield opened


@pytest.fixture
async def kopia_client(kopia: Bench) -> Client:
    return await kopia.shared_client()


def as_kopia(client: Client) -> KopiaClient:
    return cast(KopiaClient, client.snapshotter)


HOURS_TO_READ_BYTES = 1 << 42


def is_open(path: Path) -> bool:
    """Whether another process has a file open."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # Processes come and go.
            for descriptor in os.listdir(process / "fd"):
                with suppress(OSError):
                    if os.readlink(process / "fd" / descriptor) == str(path):
                        return True
    return False


def impatient(client: Client, seconds_max: float) -> KopiaClient:
    snapshotter = as_kopia(client)
    return replace(snapshotter, kopia=replace(snapshotter.kopia, seconds_max=seconds_max))


async def test_capabilities_are_what_a_tree_keeps(kopia: Bench, kopia_client: Client) -> None:
    """Every time that the table promises is there after a restore, also in the second, incremental snapshot."""
    root = kopia_client.data
    for path in ("none/a/b", "links", "files/below", "mixed", "deep/er/est", "empties/one", "empties/two/three"):
        (root / path).mkdir(parents=True)
    for number, path in enumerate(("files/f", "files/below/f", "mixed/f", "deep/er/est/f", "f")):
        (root / path).write_text(path)
        os.utime(root / path, ns=(0, 10**18 + number * 1_234_567_891))
    for number, path in enumerate(("links/l", "mixed/l", "deep/er/l")):
        (root / path).symlink_to("nowhere")
        os.utime(root / path, ns=(0, 2 * 10**18 + number * 1_234_567_891), follow_symlinks=False)
    directories = sorted((path for path in root.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True)
    for number, directory in enumerate((*directories, root)):
        os.utime(directory, ns=(0, 15 * 10**17 + number * 1_234_567_891))
    expected = scan_tree(root)
    for _ in range(2):
        snapshot, _operation = await kopia_client.snapshot()
        restored = kopia_client.free_path()
        await kopia_client.snapshotter.restore_snapshot(snapshot, restored)
        assert differences(expected, scan_tree(restored), kopia.target.capabilities) == []


async def test_operation_over_its_time_is_in_doubt(kopia_client: Client) -> None:
    """A creation, deletion or restore that was ended is `OperationTimedOut`, and leaves no process."""
    snapshot, _ = await kopia_client.snapshot()
    hasty = impatient(kopia_client, 0.05)
    with pytest.raises(OperationTimedOut):
        await hasty.create_snapshot(kopia_client.data, "hasty")
    with pytest.raises(OperationTimedOut):
        await hasty.delete_snapshot(snapshot)
    with pytest.raises(OperationTimedOut):
        await hasty.restore_snapshot(snapshot, kopia_client.free_path())


async def test_interrupted_creation_is_not_acknowledged(kopia: Bench, kopia_client: Client) -> None:
    """A creation that is cut off, which Kopia ends with status 0, leaves at most an entry marked incomplete."""
    large = kopia_client.data / "large"
    large.touch()
    os.truncate(large, HOURS_TO_READ_BYTES)
    async with anyio.create_task_group() as group:
        group.start_soon(kopia_client.snapshotter.create_snapshot, kopia_client.data, "cut-off")
        await until(lambda: is_open(large))
        group.cancel_scope.cancel()
    assert not [command for command in kopia.commands if command.argv[1:3] == ("snapshot", "create")][-1].timed_out
    entries = [entry for entry in await kopia_client.snapshotter.list_snapshots() if entry.operation == "cut-off"]
    assert all(entry.incomplete for entry in entries)


async def test_entry_that_was_left_out_is_reported(kopia_client: Client) -> None:
    """A file that Kopia can't take makes the snapshot partial, and its name is in the message."""
    (kopia_client.data / "a.kopia-entry").write_text("not a placeholder")
    with pytest.raises(OperationPartial, match="'a'") as caught:
        await kopia_client.snapshot()
    assert "a.kopia-entry" in caught.value.evidence or '"path":"a"' in caught.value.evidence


async def test_source_that_is_not_there_is_in_doubt(kopia_client: Client) -> None:
    """Status 1 from a creation promises nothing."""
    with pytest.raises(OperationUnknown, match="exit status 1"):
        await kopia_client.snapshot(kopia_client.directory / "nowhere")


async def test_restore_into_what_is_there_is_refused(kopia_client: Client) -> None:
    """A restore over an existing tree would prove nothing."""
    snapshot, _ = await kopia_client.snapshot()
    with pytest.raises(HarnessError, match="in the way"):
        await kopia_client.snapshotter.restore_snapshot(snapshot, kopia_client.data)


async def test_retention_that_a_kill_left_narrowed_is_set_back(kopia_client: Client) -> None:
    """Killed between narrowing a policy and setting it back: the next snapshot must expire nothing."""
    kept = [(await kopia_client.snapshot())[0] for _ in range(2)]
    snapshotter = as_kopia(kopia_client)
    target = f"{kopia_client.name}:{kopia_client.data}"
    snapshotter._retention_note.write_text(target)
    assert (await snapshotter.kopia.set_retention(snapshotter.actor, target, 1)).exit_code == 0
    again = replace(snapshotter)
    later = (await again.create_snapshot(kopia_client.data, "later")).id
    assert await kopia_client.listed() == {*kept, later}


async def test_cancelled_expiry_sets_retention_back(kopia: Bench, kopia_client: Client) -> None:
    """Cancelled in the middle of an expiry, the policy is set back before the task ends."""
    kept = [(await kopia_client.snapshot())[0] for _ in range(2)]
    async with anyio.create_task_group() as group:
        group.start_soon(kopia_client.snapshotter.expire_snapshots, kopia_client.data, 1)
        await until(as_kopia(kopia_client)._retention_note.exists)
        group.cancel_scope.cancel()
    assert "--keep-latest=2147483647" in kopia.commands[-1].argv
    later, _ = await kopia_client.snapshot()
    assert await kopia_client.listed() == {*kept, later}


async def test_collection_that_did_nothing_is_not_a_success(kopia: Bench) -> None:
    """Another maintenance holds the lock: Kopia exits with 0, and we say that nothing was done."""
    server = cast(KopiaServer, kopia.server)
    lock = f"{server.repository.actor.config}.mlock"
    environment = {"PATH": os.environ["PATH"]}
    async with kopia.runner.start(
        ["flock", lock, "sh", "-c", "echo locked; exec sleep infinity"],
        env=environment,
        log=kopia.place.directory / "flock.log",
    ) as holder:
        assert await holder.line_matching(re.compile("locked"), seconds_max=GIVE_UP_SECONDS)
        for is_full in (True, False):
            with pytest.raises(OperationFailed, match="did nothing"):
                await server.collect_garbage(is_full=is_full)
    for is_full in (True, False):
        await server.collect_garbage(is_full=is_full)


async def test_server_that_dies_is_told_with_its_last_words(scratch: Path) -> None:
    """After the server's death operations fail with how it ended, and leaving the block does not hang."""
    async with open_bench("kopia", scratch) as bench:
        client = await bench.client()
        server = cast(KopiaServer, bench.server)
        server_pid = server.process.pid
        assert server_pid is not None
        os.kill(server_pid, signal.SIGKILL)
        await until(lambda: server.process.pid is None)
        with pytest.raises(TargetError) as caught:
            await client.snapshotter.list_snapshots()
        assert "the server has ended, with -9" in caught.value.evidence
        assert "SERVER ADDRESS" in caught.value.evidence
        with pytest.raises(OperationFailed, match="connection refused"):
            await bench.server.refresh()


async def test_damage_is_reported_by_check_and_restore(scratch: Path) -> None:
    """Bytes flipped in the repository while it is not served: the check says damage, the restore fails."""
    async with open_bench("kopia", scratch) as bench:
        client = await bench.client()
        (client.data / "file").write_bytes(os.urandom(3_000_000))
        snapshot, _ = await client.snapshot()
    for blob in bench.place.repository.glob("p*/**/*.f"):
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 0xFF
        blob.chmod(0o600)
        blob.write_bytes(content)
    async with open_bench("kopia", scratch, is_new=False) as bench:
        again = bench.server.client(client.name)
        await again.connect()
        with pytest.raises(OperationPartial, match="message authentication failed"):
            await again.verify_snapshots()
        with pytest.raises(OperationFailed, match="message authentication failed"):
            await again.restore_snapshot(snapshot, client.free_path())


@pytest.mark.parametrize("mode", list(Mode))
async def test_caches_can_hide_a_loss_but_not_from_the_auditor(scratch: Path, mode: Mode) -> None:
    """What a cache still has is restored although the repository has lost it. The auditor, who keeps none, sees that
    at once, also when it has restored the same before; the client only once the caches are gone."""
    async with open_bench("kopia", scratch, mode) as bench:
        client = await bench.client()
        (client.data / "file").write_bytes(os.urandom(3_000_000))
        snapshot, _ = await client.snapshot()
        await client.snapshotter.restore_snapshot(snapshot, client.free_path())
        auditor = bench.server.auditor
        assert auditor is not None
        await auditor.restore_snapshot(snapshot, client.free_path())
        await auditor.verify_snapshot(snapshot)
        for blob in bench.place.repository.glob("p*/**/*.f"):
            blob.unlink()
        await client.snapshotter.restore_snapshot(snapshot, client.free_path())
        with pytest.raises(OperationFailed, match="BLOB not found"):
            await auditor.restore_snapshot(snapshot, client.free_path())
        with pytest.raises(OperationPartial, match="is backed by missing blob p"):
            await auditor.verify_snapshot(snapshot)
        await bench.server.forget_caches([client.name])
        with pytest.raises(OperationFailed, match="BLOB not found"):
            await client.snapshotter.restore_snapshot(snapshot, client.free_path())


async def test_caches_go_when_somebody_connects(scratch: Path) -> None:
    """Those of who connects, and what killed runs have set aside, also of clients that don't come back."""
    async with open_bench("kopia", scratch) as bench:
        client = await bench.client()
        (client.data / "file").write_bytes(os.urandom(3_000_000))
        snapshot, _ = await client.snapshot()
        await client.snapshotter.restore_snapshot(snapshot, client.free_path())
    connection = bench.place.client(client.name)
    assert any(path.is_file() for path in (connection / "cache").rglob("*"))
    (connection / "cache" / "mark").write_bytes(b"x")
    gone = connection.parent.parent / "gone@storm" / "connection"
    for directory in (connection, gone, bench.place.server, bench.place.server / "impostors" / "gone@storm"):
        (directory / "cache.discarded-0badcafe" / "sub").mkdir(parents=True)
    async with open_bench("kopia", scratch, is_new=False) as bench:
        again = bench.server.client(client.name)
        await again.connect()
        assert not (connection / "cache" / "mark").exists()
        assert list(scratch.rglob("*.discarded-*")) == []
        await again.restore_snapshot(snapshot, client.free_path())


@pytest.mark.parametrize("mode", list(Mode))
async def test_repository_that_is_not_ours_is_refused(scratch: Path, mode: Mode) -> None:
    """A place that is not empty, a repository that is missing, and one with another password: one line each."""
    (scratch / "repository").mkdir()
    with pytest.raises(TestbedError, match="not initialized") as caught:
        async with open_bench("kopia", scratch, mode, is_new=False):
            pass
    assert "\n" not in str(caught.value)
    shutil.rmtree(scratch / "repository")  # Not empty: Kopia puts a file there even when it finds no repository.
    with pytest.raises(TestbedError, match="missing"):
        async with open_bench("kopia", scratch, mode, is_new=False):
            pass
    async with open_bench("kopia", scratch, mode):
        pass
    other = FileSecretStore(scratch / "other.toml")
    with pytest.raises(HarnessError, match="not empty"):
        async with open_bench("kopia", scratch, mode, secrets=other):
            pass
    with pytest.raises(TestbedError, match="invalid repository password"):
        async with open_bench("kopia", scratch, mode, is_new=False, secrets=other):
            pass


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_repository_that_a_killed_run_has_made_is_gone_on_with(scratch: Path, mode: Mode) -> None:
    """What that run did not come to is done now; our password proves that nobody else made it."""
    async with open_bench("kopia", scratch, mode) as bench:
        made = bench.server.repository_id
    async with open_bench("kopia", scratch, mode) as bench:
        assert bench.server.repository_id == made
        client = await bench.client()
        (client.data).mkdir(exist_ok=True)
        await client.snapshot()


async def test_server_that_does_not_start_is_one_line(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason from the server's own words, in one line; a script around Kopia is as good as Kopia."""
    script = scratch / "kopia-script"
    real = find_kopia().path
    refusal = '[ "$1 $2" = "server start" ] && { echo no luck today >&2; exit 1; }'
    script.write_text(f'#!/bin/sh\n{refusal}\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("KOPIA_EXE", str(script))
    with pytest.raises(HarnessError, match="^Kopia's server did not start: no luck today$"):
        async with open_bench("kopia", scratch):
            pass


async def test_broken_certificate_is_one_line(scratch: Path) -> None:
    """What is wrong and what to do."""
    (scratch / "server").mkdir()
    for name in ("certificate.pem", "key.pem"):
        (scratch / "server" / name).write_text("damaged")
    with pytest.raises(HarnessError, match="is no certificate, delete it") as caught:
        async with open_bench("kopia", scratch):
            pass
    assert "\n" not in str(caught.value)


async def _is_let_in(client: Client) -> bool:
    try:
        await client.snapshotter.list_snapshots()
    except AccessDenied:
        return False
    return True


@pytest.mark.parametrize("users", ["repository", "htpasswd", pytest.param("mixed", marks=pytest.mark.long)])
async def test_users_are_kept_out_wherever_they_are(users: str, scratch: Path) -> None:
    """A wrong password, one that was changed, and a removed user are refused; others work on, also after a restart."""
    async with open_bench("kopia", scratch, parameters={"users": users}) as bench:
        server = cast(KopiaServer, bench.server)
        clients = [await bench.client() for _ in range(4)]
        in_file = [is_in_file(bench.place, client.name) for client in clients]
        assert users == "mixed" or set(in_file) == {users == "htpasswd"}
        for client in clients[:2]:
            with pytest.raises(AccessDenied):
                await server.impostor(client.name).connect()
            await server.change_password(client.name)
            assert not await _is_let_in(client)
            await server.restore_password(client.name)
            assert await _is_let_in(client)
            await server.remove_client(client.name)
            assert not await _is_let_in(client)
            await server.add_clients([client.name])
            snapshot, _ = await client.snapshot()
            assert await client.listed() == {snapshot}
        await server.remove_client(clients[2].name)
        await server.end_server(is_asked=False)
        await server.start_server()
        assert [await _is_let_in(client) for client in clients] == [True, True, False, True]
    async with open_bench("kopia", scratch, parameters={"users": users}, is_new=False) as bench:
        again = [replace(client, snapshotter=bench.server.client(client.name)) for client in clients]
        for client in again[:2]:
            await client.snapshotter.connect()
            assert len(await client.listed()) == 1


async def test_clients_narrowed_rights_count_for_users_in_a_file(scratch: Path) -> None:
    """Rules know users by their names alone."""
    async with open_bench("kopia", scratch, parameters={"users": "htpasswd"}) as bench:
        server, client = cast(KopiaServer, bench.server), await bench.client()
        await server.narrow_rights(client.name)
        with pytest.raises(AccessDenied):
            await client.snapshot()
        await server.widen_rights(client.name)
        await client.snapshot()


async def test_a_user_in_a_file_costs_the_server_less(scratch: Path) -> None:
    """The hash of a password in the repository is slow on purpose: 0.1 s of CPU a session (measured)."""
    seconds = {}
    for users in ("repository", "htpasswd"):
        async with open_bench("kopia", scratch / users, parameters={"users": users}) as bench:
            server, client = cast(KopiaServer, bench.server), await bench.client()
            await client.listed()
            process = psutil.Process(server.server_pid)
            before = sum(process.cpu_times()[:2])
            for _ in range(5):
                await client.listed()
            seconds[users] = sum(process.cpu_times()[:2]) - before
    assert seconds["htpasswd"] < seconds["repository"] / 2


async def test_impostor_in_mode_direct_needs_the_password(scratch: Path) -> None:
    """Without a server the repository's password is the only door."""
    async with open_bench("kopia", scratch, Mode.DIRECT) as bench:
        with pytest.raises(AccessDenied):
            await bench.server.impostor("client-1@storm").connect()


async def test_secrets_and_processes_stay_inside(scratch: Path) -> None:
    """No password is on a command line, in a record, in a log or in a configuration, and no process outlives its
    block; everything that the target made is closed to other users."""
    async with open_bench("kopia", scratch) as bench:
        client = await bench.client()
        snapshot, _ = await client.snapshot()
        await client.snapshotter.restore_snapshot(snapshot, client.free_path())
        await client.snapshotter.expire_snapshots(client.data, 1)
        await bench.server.collect_garbage()
        with pytest.raises(AccessDenied):
            await bench.server.impostor(client.name).connect()
        pids = owned_processes(bench.runner.owner)
        command_lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    assert len(command_lines) == 1
    assert owned_processes(bench.runner.owner) == []
    store = FileSecretStore(scratch / "secrets.toml")
    assert len(store.values()) == 3
    secrets = [form for secret in store.values() for form in (secret.encode(), base64.b64encode(secret.encode()))]
    records = [repr((ran.argv, dict(ran.env), ran.stdout, ran.stderr)).encode() for ran in bench.commands]
    files = [path for path in scratch.rglob("*") if path.is_file() and path != store.path]
    for content in (*command_lines, *records, *(path.read_bytes() for path in files)):
        assert not any(secret in content for secret in secrets)
    made = [scratch / "repository", scratch / "server", bench.place.client(client.name)]
    assert [path.stat().st_mode & 0o077 for path in made] == [0, 0, 0]
    assert tree_of(client.data) == {".": ("directory", client.data.stat().st_mode & 0o7777)}
