"""A server that already runs: an operator's own, with users that they made, and with data that is not ours."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from tests.contract.bench import open_bench
from tests.e2e.commandline import Ran, scenario, snapstorm

from snapstorm.model.action_results import ListedSnapshot
from snapstorm.targets.kopia.server import KopiaServer
from snapstorm.targets.kopia.snapshotter import KopiaClient

USERS = ("alice@laptop", "bob@tower")


@dataclass
class Operated:
    """Somebody's server, with a snapshot of each user's own."""

    server: KopiaServer
    directory: Path
    users_file: Path
    foreign: dict[str, tuple[ListedSnapshot, ...]]

    def words(self, bed: Path) -> tuple[str | Path, ...]:
        """What its operator types."""
        address = self.server.address
        access = ("--server", address.url, "--fingerprint", address.fingerprint, "--clients-file", self.users_file)
        return (*access, "--testbed", bed)

    async def listing(self, user: str) -> tuple[ListedSnapshot, ...]:
        return await self.server.client(user).list_snapshots()


@asynccontextmanager
async def operated(scratch: Path) -> AsyncIterator[Operated]:
    """A server whose users have snapshots without our tag, and a retention that keeps only one."""
    directory = scratch / "operator"
    directory.mkdir()
    async with open_bench("kopia", directory) as bench:
        server = bench.server
        assert isinstance(server, KopiaServer)
        await server.add_clients(USERS)
        foreign = {}
        for user in USERS:
            client = server.client(user)
            assert isinstance(client, KopiaClient)
            await client.connect()
            home = directory / "home" / user
            home.mkdir(parents=True)
            (home / "thesis").write_text("mine")
            completed = await server.kopia.create_snapshot(client.actor, home, {})
            assert completed.exit_code == 0
            foreign[user] = await client.list_snapshots()
        kept = await server.kopia.set_retention(server.repository.actor, "--global", 1)
        assert kept.exit_code == 0
        users_file = directory / "users.toml"
        passwords = {user: bench.place.secrets.get(f"client {user}") for user in USERS}
        users_file.write_text("".join(f"{json.dumps(user)} = {json.dumps(word)}\n" for user, word in passwords.items()))
        users_file.chmod(0o600)
        yield Operated(server, directory, users_file, foreign)


async def run(*words: str | Path) -> Ran:
    """The command line, while the operator's server goes on."""
    return await anyio.to_thread.run_sync(lambda: snapstorm(*words))


pytestmark = pytest.mark.anyio

SNAPSHOT_AND_RESTORE = ("snapshot-root", "restore-snapshot")


@pytest.mark.usefixtures("nothing_left")
async def test_an_operators_server_is_tested_with_its_users(scratch: Path) -> None:
    """Two runs: pass, the second with the first one's snapshots; the users' own are as they were; no secret leaks. A
    snapshot of ours that somebody deletes there is missed by a sweep, which restores the others."""
    config = scratch / "steps.toml"
    async with operated(scratch) as theirs:
        words = ("run", "--config", config, *theirs.words(scratch / "bed"), "--yes", "--json")
        config.write_text(
            scenario("write-random-files count = 3", "snapshot-root", "modify-files", *SNAPSHOT_AND_RESTORE)
        )
        first = await run(*words)
        assert first.status == 0, first.stderr
        assert first.json["clients"] == 2
        assert first.json["sweep"]["verified"] > 2, "retention would have kept one of each source"
        assert first.json["actions"]["run-gc"] == {"ok": 0, "no_op": 0, "locked": 0, "failed": 0, "unknown": 0}
        assert "This writes to the Kopia server" in first.stderr
        config.write_text(scenario(*SNAPSHOT_AND_RESTORE))
        second = await run(*words)
        assert second.status == 0, second.stderr
        assert second.json["restores_verified_earlier_runs"] > 0
        for user in USERS:
            assert set(theirs.foreign[user]) <= set(await theirs.listing(user))
        passwords = re.findall(r'= "(.+)"', theirs.users_file.read_text())
        held = b"".join(path.read_bytes() for path in (scratch / "bed").rglob("*") if path.is_file())
        assert not any(password.encode() in held for password in passwords)
        lost = await lose_a_snapshot(theirs)
        swept = await run("sweep", *theirs.words(scratch / "bed"), "--json")
        assert swept.status == 1
        assert swept.json["violations"][0]["guarantee"] == "acknowledged-stays-listed"
        assert {found["snapshot"] for found in swept.json["violations"]} == {lost}
        assert swept.json["sweep"] == {"verified": second.json["snapshots"]["live"] - 1, "left": 0}


async def lose_a_snapshot(theirs: Operated) -> str:
    """Delete one of our snapshots behind our back; its id."""
    mine = next(entry for entry in await theirs.listing(USERS[0]) if entry.testbed is not None)
    await theirs.server.client(USERS[0]).delete_snapshot(mine.id)
    return mine.id


async def test_what_the_operator_mistyped_is_refused(scratch: Path) -> None:
    """One clear line each, nothing made: users, address, certificate, password, consent."""
    async with operated(scratch) as theirs:
        bed = scratch / "bed"
        url, certificate, users = theirs.server.address.url, theirs.server.address.fingerprint, theirs.users_file
        wrong_password, opened, strange = (theirs.directory / name for name in ("wrong", "opened", "strange"))
        for path, text in (
            (wrong_password, f'"{USERS[0]}" = "x"'),
            (opened, users.read_text()),
            (strange, '"a/b" = "x"'),
        ):
            path.write_text(text)
            path.chmod(0o600)
        opened.chmod(0o644)
        cases: list[tuple[int, str, list[str | Path]]] = [
            (2, "--fingerprint", ["--server", url]),
            (2, "https://", ["--server", "http://here:1", "--fingerprint", certificate, "--clients-file", users]),
            (2, "64 hexadecimal", ["--server", url, "--fingerprint", "abc", "--clients-file", users]),
            (2, "no file", ["--server", url, "--fingerprint", certificate, "--clients-file", scratch / "gone"]),
            (2, "no user@host", ["--server", url, "--fingerprint", certificate, "--clients-file", strange]),
            (3, "open to other users", ["--server", url, "--fingerprint", certificate, "--clients-file", opened]),
            (3, "not let in", ["--server", url, "--fingerprint", certificate, "--clients-file", wrong_password]),
            (3, "not let in", ["--server", url, "--fingerprint", "0" * 64, "--clients-file", users]),
            (
                3,
                "not let in",
                ["--server", "https://127.0.0.1:9", "--fingerprint", certificate, "--clients-file", users],
            ),
            (2, "user(s)", [*theirs.words(bed)[:6], "--clients", "3"]),
        ]
        for status, words, arguments in cases:
            refused = await run("run", *arguments, "--testbed", bed, "--yes")
            assert refused.status == status, refused.stderr
            assert words in refused.stderr.splitlines()[-1]
            assert "Traceback" not in refused.stderr
            assert not bed.exists(), arguments
        asked = await run("run", *theirs.words(bed))
        assert asked.status == 2
        assert "--yes" in asked.stderr
        assert not bed.exists()
        for user in USERS:
            assert await theirs.listing(user) == theirs.foreign[user]
