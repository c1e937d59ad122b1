"""A repository under test on a real S3 server, and the copies of its ledger there as well."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.commandline import Ran, scenario, snapstorm
from tests.e2e.s3 import S3Server, serve_s3

STEPS = scenario("write-random-files count = 2", "snapshot-root", "restore-snapshot", clients=1)


@pytest.fixture
def s3(scratch: Path) -> Iterator[S3Server]:
    (scratch / "meta").mkdir()
    with serve_s3(scratch / "s3") as server:
        yield server


@pytest.fixture(autouse=True)
def steps(scratch: Path) -> Path:
    """What each run does."""
    config = scratch / "steps.toml"
    config.write_text(STEPS)
    return config


def run(s3: S3Server, *words: str | Path, **variables: str) -> Ran:
    return snapstorm("run", *words, "--config", s3.directory.with_name("steps.toml"), "--json",
                     env={**s3.credentials, **variables})  # fmt: skip


def test_a_testbed_on_s3_outlives_its_machine(s3: S3Server, scratch: Path) -> None:
    """Repository and copies are there; the testbed's directory goes, and another one goes on and sweeps everything."""
    bed, secrets = scratch / "bed", scratch / "secrets.toml"
    first = run(s3, "--testbed", bed, "--repository", s3.place("bed"), "--persist", s3.place("copies"))
    assert first.status == 0, first.stderr
    assert not (bed / "repository").exists()
    shutil.copy(bed / "secrets.toml", secrets)
    keys = [path for path in bed.rglob("*") if path.is_file() and is_secret_in(path, s3)]
    assert {path.name for path in keys} <= {"repository.config"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)
    shutil.rmtree(bed)
    went_on = run(s3, "--testbed", scratch / "new", "--from", s3.place("copies"), "--secrets-file", secrets)
    assert went_on.status == 0, went_on.stderr
    assert went_on.json["restores_verified_earlier_runs"] > 0
    swept = snapstorm("sweep", "--testbed", scratch / "new", "--json", env=s3.credentials)
    assert swept.status == 0, swept.stderr
    assert swept.json["sweep"] == {"verified": went_on.json["snapshots"]["live"], "left": 0}


def is_secret_in(path: Path, s3: S3Server) -> bool:
    return s3.credentials["AWS_SECRET_ACCESS_KEY"].encode() in path.read_bytes()


def test_bad_input(s3: S3Server, scratch: Path) -> None:
    """A missing bucket, wrong or no credentials, somebody else's repository, nobody listening: one line each."""
    bed = ("--testbed", scratch / "bed", "--progress", "none", "--repository")
    assert run(s3, "--testbed", scratch / "owner", "--repository", s3.place("taken"), "--mode", "direct").status == 0
    for ran, complaint in (
        (run(s3, *bed, s3.place("x", bucket="missing")), "bucket does not exist"),
        (run(s3, *bed, s3.place("x"), AWS_SECRET_ACCESS_KEY="wrong" * 8), "signature"),
        (run(s3, *bed, s3.place("x"), AWS_ACCESS_KEY_ID="", HOME=str(scratch)), "no credentials for S3"),
        (run(s3, *bed, s3.place("taken")), "is not empty"),
        (run(s3, *bed, "s3://testbeds/x?endpoint=http://127.0.0.1:1"), "connection refused"),
        (run_on_silent_server(s3, *bed), "was ended after 5 s"),
    ):
        assert ran.status == 3, ran.stderr
        assert complaint in ran.stderr
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
        assert not (scratch / "bed").exists()


def run_on_silent_server(s3: S3Server, *words: str | Path) -> Ran:
    """A run whose repository is to be where somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"s3://testbeds/x?endpoint=http://127.0.0.1:{silent.getsockname()[1]}"
        return run(s3, *words, place, "--operation-timeout", "5s")
