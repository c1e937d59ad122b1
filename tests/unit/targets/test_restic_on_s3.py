"""restic with its repository in a bucket of S3: what it is told, and what is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from snapstorm.errors import ConfigError, HarnessError, OperationFailed, OperationPartial, OperationUnknown
from snapstorm.model.abilities import StoredPlace
from snapstorm.model.location import FileStorage, GatewayStorage, S3Storage
from snapstorm.model.protocols import Mode, TargetPlace
from snapstorm.run.options import check_storage
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.programs import Programs
from snapstorm.targets.registry import read_target
from snapstorm.targets.restic.command import Actor, Restic, address_of
from snapstorm.targets.restic.direct_access import DirectAccess
from snapstorm.targets.restic.repositories import Repositories
from snapstorm.targets.restic.snapshotter import ResticClient
from snapstorm.targets.restic.stored import commands_to_look, open_stored

pytestmark = pytest.mark.anyio

BUCKET = S3Storage("snapstorm", "bed/", "http://127.0.0.1:9", "us-east-1")
KEYS = {"AWS_ACCESS_KEY_ID": "the access key", "AWS_SECRET_ACCESS_KEY": "the secret key"}
ID = "ab" * 32
ANSWERS = f"""#!{sys.executable} -IS
import json, os, sys
with open({{log!r}}, "a") as log:
    print(json.dumps([sys.argv[1:], os.environ.get("RESTIC_REPOSITORY"), os.environ.get("AWS_DEFAULT_REGION"),
                      "AWS_SECRET_ACCESS_KEY" in os.environ]), file=log)
answer = {{answers!r}}.get(sys.argv[1], (0, "", ""))
sys.stdout.write(answer[1])
sys.stderr.write(answer[2])
sys.exit(answer[0])
"""
CONFIG = json.dumps({"id": ID, "version": 2})
LISTED = json.dumps([{"id": ID, "time": "2026-01-02T03:04:05Z", "paths": ["/a"], "hostname": "h"}])


def restic_that(directory: Path, runner: ProcessRunner, **answers: tuple[int, str, str]) -> Restic:
    """A program that answers each command so: exit status, stdout and stderr."""
    path = directory / "restic"
    path.write_text(ANSWERS.format(log=str(directory / "asked"), answers=answers))
    path.chmod(0o755)
    return Restic(Programs([path]), {path: (0, 18, 1)}, runner, 30.0)


def asked(directory: Path) -> list[tuple[list[str], str, str | None, bool]]:
    return [tuple(json.loads(line)) for line in (directory / "asked").read_text().splitlines()]


def place_in(directory: Path) -> TargetPlace:
    secrets = FileSecretStore(directory / "secrets.toml")
    return TargetPlace("bed", directory, secrets, Mode.DIRECT, named_storage=BUCKET, storage_secrets=KEYS)


def test_where_a_repository_is() -> None:
    """A directory, the whole of a bucket, or what is below a prefix."""
    assert address_of(FileStorage(Path("/a b"))) == "/a b"
    assert address_of(BUCKET) == "s3:http://127.0.0.1:9/snapstorm/bed"
    assert address_of(replace(BUCKET, prefix="", region=None)) == "s3:http://127.0.0.1:9/snapstorm"


async def test_credentials_are_in_the_environment_and_in_no_record(tmp_path: Path) -> None:
    """With the region; the address holds no secret and can be read."""
    async with ProcessRunner("restic-test") as runner:
        repositories = Repositories(restic_that(tmp_path, runner, cat=(0, CONFIG, "")), place_in(tmp_path))
        await repositories.open()
        assert repositories.id == ID
        assert repositories.directories == []
        completed = await restic_that(tmp_path, runner).check(repositories.auditor(BUCKET))
    commands = asked(tmp_path)
    assert [words[0] for words, *_ in commands] == ["init", "cat", "check"]
    assert {tuple(rest) for _, *rest in commands} == {("s3:http://127.0.0.1:9/snapstorm/bed", "us-east-1", True)}
    shown = repr((completed, repositories.auditor(BUCKET)))
    assert "the secret key" not in shown
    assert "the access key" not in shown


async def test_a_bucket_that_somebody_else_uses_is_left_alone(tmp_path: Path) -> None:
    """One that our password opens was made by a run that was killed meanwhile."""
    in_use = (1, "", "Fatal: create key failed: repository master key and config already initialized\n")
    async with ProcessRunner("restic-test") as runner:
        wrong = restic_that(tmp_path, runner, init=in_use, cat=(12, "", "Fatal: wrong password or no key found\n"))
        with pytest.raises(HarnessError, match="is not empty, so no new repository can be made there"):
            await Repositories(wrong, place_in(tmp_path)).open()
        ours = Repositories(restic_that(tmp_path, runner, init=in_use, cat=(0, CONFIG, "")), place_in(tmp_path))
        await ours.open()
    assert ours.id == ID


async def test_what_killed_runs_have_left_of_locks_goes_when_a_testbed_is_opened_again(tmp_path: Path) -> None:
    """What lies in a bucket is not looked at; a new one has no locks."""
    async with ProcessRunner("restic-test") as runner:
        restic = restic_that(tmp_path, runner, cat=(0, CONFIG, ""))
        await Repositories(restic, replace(place_in(tmp_path), is_new=False)).open()
    assert [words[0] for words, *_ in asked(tmp_path)] == ["unlock", "cat"]


async def test_what_needs_a_directory_has_none(tmp_path: Path) -> None:
    """Faults that damage files, and rules for files, don't apply; the gateway tells how much it holds, nobody else."""
    async with ProcessRunner("restic-test") as runner:
        place = place_in(tmp_path)
        restic = restic_that(tmp_path, runner)
        access = DirectAccess(restic, place, Repositories(restic, place), tells_counts=True)
        assert access.storage_directory is None
        assert await access.irregularities() == []
        assert await access.content_blobs() == []
        assert await access.open_sessions() is None
        assert await access.storage_bytes() is None
        told = replace(access, place=replace(place, stored_bytes=lambda: 5))
        assert await told.storage_bytes() == 5


async def test_a_snapshot_that_the_storage_has_lost_is_missed(tmp_path: Path) -> None:
    """restic's own check finds nothing wrong: nothing in a repository says which snapshots there were."""
    async with ProcessRunner("restic-test") as runner:
        restic = restic_that(tmp_path, runner, snapshots=(0, LISTED, ""), check=(0, "no errors were found\n", ""))
        place = place_in(tmp_path)
        auditor = DirectAccess(restic, place, Repositories(restic, place), tells_counts=True).auditor
        assert auditor is not None
        await auditor.verify_snapshot(ID)
        with pytest.raises(OperationPartial, match="lists no snapshot cdcd"):
            await auditor.verify_snapshot("cd" * 32)


@pytest.mark.parametrize(("seconds_max", "is_found"), [(30.0, True), (0.0, False)])
async def test_a_short_id_is_looked_for_until_storage_shows_it(
    tmp_path: Path, seconds_max: float, *, is_found: bool
) -> None:
    """0.14.0 tells eight digits, and a listing may be old. One that never shows the snapshot is judged by what was
    told."""
    shown = json.dumps([{**json.loads(LISTED)[0], "tags": ["operation:1"]}])
    taken = json.dumps({"message_type": "summary", "snapshot_id": ID[:8]})
    path = tmp_path / "restic"
    path.write_text(
        f"#!/bin/sh\n[ $1 = backup ] && echo '{taken}' && exit\n[ -e asked ] && echo '{shown}' && exit\n"
        "touch asked; echo '[]'\n"
    )
    path.chmod(0o755)
    async with ProcessRunner("restic-test") as runner:
        restic = Restic(Programs([path]), {path: (0, 14, 0)}, runner, 30.0)
        actor = Actor(tmp_path / "actor", "/r", "word")
        client = ResticClient(
            restic, actor, "h", "t", tells_counts=False, listed_seconds_max=seconds_max, listed_again_seconds=0.0
        )
        receipt = await client.create_snapshot(Path("/a"), "1")
    assert receipt.id == (ID if is_found else ID[:8])


@pytest.mark.parametrize("stays", [False, True])
async def test_a_short_id_is_asked_for_again_after_a_lock(tmp_path: Path, *, stays: bool) -> None:
    """The snapshot is taken, so nothing has failed; but a lock that stays is told."""
    shown = json.dumps([{**json.loads(LISTED)[0], "tags": ["operation:1"]}])
    taken = json.dumps({"message_type": "summary", "snapshot_id": ID[:8]})
    answer = "" if stays else f"[ -e asked ] && echo '{shown}' && exit\n"
    locked = "unable to create lock in backend: repository is already locked by PID 1 on x"
    path = tmp_path / "restic"
    path.write_text(
        f"#!/bin/sh\n[ $1 = backup ] && echo '{taken}' && exit\n{answer}touch asked; echo '{locked}' >&2; exit 1\n"
    )
    path.chmod(0o755)
    async with ProcessRunner("restic-test") as runner:
        restic = Restic(Programs([path]), {path: (0, 14, 0)}, runner, 4.0)
        actor = Actor(tmp_path / "actor", "/r", "word")
        client = ResticClient(
            restic, actor, "h", "t", tells_counts=False, listed_seconds_max=0.0, listed_again_seconds=0.05
        )
        if stays:
            with pytest.raises(OperationUnknown, match="found the repository locked"):
                await client.create_snapshot(Path("/a"), "1")
        else:
            assert (await client.create_snapshot(Path("/a"), "1")).id == ID


def test_a_bucket_takes_the_mode_in_which_there_is_no_server() -> None:
    """rest-server stores in directories only; other targets are as before."""
    restic, kopia, borg = (read_target(name)[0] for name in ("restic", "kopia", "borg"))
    for storage in (GatewayStorage(), BUCKET):
        with pytest.raises(ConfigError, match="a bucket needs --mode direct"):
            check_storage(restic, storage, Mode.SERVER)
        check_storage(restic, storage, Mode.DIRECT)
        check_storage(kopia, storage, Mode.SERVER)
        with pytest.raises(ConfigError, match="keeps its repository in a directory"):
            check_storage(borg, storage, Mode.DIRECT)
    check_storage(restic, FileStorage(Path("/a")), Mode.SERVER)
    check_storage(restic, None, Mode.SERVER)


async def test_a_stored_repository_is_read_without_locks_and_maintained_with_them(tmp_path: Path) -> None:
    """A snapshot that is not listed is missing, whatever the check says; a prune finds no lock of who crashed."""
    async with ProcessRunner("restic-test") as runner:
        restic = restic_that(
            tmp_path, runner,
            cat=(0, CONFIG, ""), snapshots=(0, LISTED, ""), check=(0, "no errors were found\n", ""),
            prune=(0, "done\n", ""),
        )  # fmt: skip
        place = StoredPlace(FileStorage(tmp_path / "repository"), tmp_path / "connection", str, {})
        stored = await open_stored(restic, place)
        await stored.verify([ID])
        with pytest.raises(OperationFailed, match="there is no snapshot cdcd"):
            await stored.verify([ID, "cd" * 32])
        await stored.maintain()
    commands = [words for words, *_ in asked(tmp_path)]
    assert [words[0] for words in commands] == ["cat", "snapshots", "check", "snapshots", "unlock", "prune"]
    assert [words[0] for words in commands if "--no-lock" not in words] == ["unlock", "prune"]
    assert "--remove-all" in commands[-2]
    assert all("--no-cache" in words for words in commands)


def test_what_shows_a_loss_needs_restic_alone() -> None:
    """And the password, which is in no file of evidence."""
    lines = commands_to_look(Path("/bin/restic"), "/a b", ID)
    assert "export RESTIC_REPOSITORY='/a b'" in lines
    assert any(f"restore {ID}" in line for line in lines)
