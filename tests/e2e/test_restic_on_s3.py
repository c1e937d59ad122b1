"""restic with its repository in a bucket: behind the gateway, and on an S3 server of somebody else's."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.commandline import Ran, scenario, snapstorm
from tests.e2e.s3 import S3Server, serve_s3
from tests.e2e.test_faults import faults_of, go_on, struck_by
from tests.e2e.test_storage_faults import lies_in, stands_still_with_a_lie
from tests.waiting import wait_until

from snapstorm.gateway.s3 import DeleteObject
from snapstorm.gateway.storage import Clocks, Request, Storage, opened
from snapstorm.targets.restic.discovery import find_restic
from snapstorm.targets.restic.wrapper_defects import HELPERS
from snapstorm.targets.wrapper_programs import make_wrapper

pytestmark = pytest.mark.usefixtures("nothing_left")

DIRECTLY = ("--target", "restic", "--mode", "direct")
CLOCKS = Clocks(time.time_ns, time.monotonic)


@pytest.fixture
def steps(scratch: Path) -> Path:
    config = scratch / "steps.toml"
    steps = ("write-random-files count = 4, size_bytes = '0..20000'", "snapshot-root", "restore-snapshot", "run-gc")
    config.write_text(scenario(*steps, clients=1))
    return config


@pytest.fixture
def s3(scratch: Path) -> Iterator[S3Server]:
    (scratch / "meta").mkdir()
    with serve_s3(scratch / "s3") as server:
        yield server


def test_a_testbed_goes_on_and_can_be_explored(scratch: Path, steps: Path) -> None:
    """A sweep knows where its repository is; nothing is lost at any moment of the run."""
    bed = ("--testbed", scratch / "bed", *DIRECTLY)
    ran = snapstorm("run", *bed, "--config", steps, "--repository", "gateway", "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    assert not (scratch / "bed" / "repository").exists()
    swept = snapstorm("sweep", *bed[:2], "--json")
    assert swept.status == 0, (swept.stdout, swept.stderr)
    assert swept.json["sweep"] == {"verified": ran.json["snapshots"]["live"], "left": 0}
    explored = snapstorm("explore", f"{scratch / 'bed'}:1", "--every", "4", "--seed", "1", "--json")
    assert explored.status == 0, (explored.stdout, explored.stderr)
    assert explored.json["restores_compared"] > 0


def drop_a_pack(storage: Storage) -> None:
    """Take the largest one away, as if the storage had lost it."""
    packs = {key: found.content.size_bytes for key, found in storage.bucket.objects.items() if key.startswith("data/")}
    key = max(packs, key=lambda key: packs[key])
    storage.answer(Request(DeleteObject(key), "somebody", b"", storage.log.next_event()))


def test_an_object_that_the_storage_has_lost_without_any_fault_is_noticed(scratch: Path, steps: Path) -> None:
    """What was acknowledged does not come back, and nothing excuses it."""
    bed = ("--testbed", scratch / "bed")
    ran = snapstorm("run", *bed, *DIRECTLY, "--config", steps, "--repository", "gateway")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    with opened(scratch / "bed" / "gateway", CLOCKS) as storage:
        drop_a_pack(storage)
    swept = snapstorm("sweep", *bed, "--json")
    assert swept.status == 1, (swept.stdout, swept.stderr)
    assert "restored-exactly" in {found["guarantee"] for found in swept.json["violations"]}


@pytest.mark.long
@pytest.mark.parametrize("faults", ["storage-lost-answer", "storage-refuses", "storage-lags", "storage-lies"])
def test_nothing_is_lost_in_a_storage_that_misbehaves(faults: str, scratch: Path) -> None:
    """Each fault has healed before all is restored. A collection that is shown an old listing of snapshots would delete
    what the newest one needs (restic 0.18.1)."""
    bed = scratch / "bed"
    no_collections = ("--weights", "run-gc=0") if faults == "storage-lags" else ()
    how = (*no_collections, "--repository", "gateway", "--actions", "8", "--seed", "3", "--operation-timeout", "60s")
    ran = snapstorm("run", "--testbed", bed, *DIRECTLY, *how, "--faults", faults, "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    assert ran.json["faults"]
    assert ran.json["sweep"] == {"verified": ran.json["snapshots"]["live"], "left": 0}
    assert lies_in(bed) == 0


LOSES_A_PACK_ONCE_A_FAULT_HAS_STRUCK = r"""
if argv[0] in ("backup", "prune", "restore"):
    import re
    import sqlite3
    import urllib.request

    done, lost = run(argv), bed() / "lost"
    log = sqlite3.connect(bed() / "gateway" / "log.sqlite3")
    (strikes,) = log.execute("SELECT count(*) FROM strikes").fetchone()
    if strikes and not lost.exists():
        bucket = os.environ["RESTIC_REPOSITORY"].removeprefix("s3:")
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/, Signature=none"}
        ask = lambda path, method="GET": urllib.request.urlopen(
            urllib.request.Request(bucket + path, headers=signed, method=method)
        ).read()
        listed = ask("?list-type=2&prefix=data/")
        sizes = re.findall(rb"<Key>([^<]+)</Key>.*?<Size>([0-9]+)</Size>", listed)
        if sizes:
            ask("/" + max(sizes, key=lambda one: int(one[1]))[0].decode(), "DELETE")
            lost.touch()
    sys.stdout.buffer.write(done.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(done.stderr)
    sys.exit(done.returncode)
"""


@pytest.mark.long
@pytest.mark.parametrize("fault", ["storage-stale-list", "storage-drop"])
def test_no_fault_excuses_what_it_has_not_lost(fault: str, scratch: Path) -> None:
    """A program that deletes what is needed while a storage refuses or lags is found out."""
    program = make_wrapper(scratch / "planted", find_restic().path, LOSES_A_PACK_ONCE_A_FAULT_HAS_STRUCK, HELPERS)
    bed = ("--testbed", scratch / "bed", *DIRECTLY, "--repository", "gateway", "--program", program)
    file = scratch / "steps.toml"
    rounds = (
        "write-random-files count = 4, size_bytes = '0..20000'",
        "snapshot-root",
        "run-gc",
        "restore-snapshot",
    ) * 6
    file.write_text(scenario(*rounds, clients=1))
    ran = snapstorm("run", *bed, "--config", file, "--seed", "3", "--faults", fault, "--json")
    assert not list(scratch.rglob("broke"))
    assert (scratch / "bed" / "lost").exists()
    assert ran.status == 1, (ran.stdout, ran.stderr)
    assert {found["guarantee"] for found in ran.json["violations"]} & {"restored-exactly", "in-doubt-absent-or-exact"}


@pytest.mark.parametrize("fault", ["storage-torn", pytest.param("storage-forgets", marks=pytest.mark.long)])
def test_what_a_killed_run_has_left_is_put_right_where_the_testbed_is_now(fault: str, scratch: Path) -> None:
    """Moved after the kill: the next run stores what had been sent, and nothing is lost."""
    bed, moved = scratch / "bed", scratch / "moved" / "bed"
    with struck_by(fault, bed, *DIRECTLY, "--repository", "gateway") as run:
        wait_until(lambda: stands_still_with_a_lie(run, bed))
        run.kill()
    moved.parent.mkdir()
    shutil.move(bed, moved)
    again = go_on(moved, *DIRECTLY)
    assert again.status == 0, (again.stdout, again.stderr)
    assert f"which the fault {fault} of the killed run 1 had left" in again.stderr
    assert again.json["sweep"] == {"verified": again.json["snapshots"]["live"], "left": 0}
    assert lies_in(moved) == 0
    assert [outcome for _, outcome in faults_of(moved) if outcome is None] == []


@pytest.mark.parametrize("fault", ["lose-blob", pytest.param("disk-full", marks=pytest.mark.long)])
def test_faults_of_a_directory_are_refused(fault: str, scratch: Path) -> None:
    """With the reason; nothing is left."""
    bed = ("--testbed", scratch / "bed", *DIRECTLY, "--repository", "gateway")
    ran = snapstorm("run", *bed, "--faults", fault, "--actions", "1")
    assert ran.status == 3
    assert f"{fault} is not possible here: the repository is not in a directory here" in ran.stderr
    assert not (scratch / "bed").exists()


def run_on(s3: S3Server, steps: Path, *words: str | Path, **variables: str) -> Ran:
    return snapstorm("run", *DIRECTLY, *words, "--config", steps, "--json", env={**s3.credentials, **variables})


def test_a_bucket_of_somebody_elses(s3: S3Server, scratch: Path, steps: Path) -> None:
    """It works; the credentials are in no file; what can't be is refused in one line, and nothing is left."""
    bed = scratch / "bed"
    ran = run_on(s3, steps, "--testbed", bed, "--repository", s3.place("bed"))
    assert ran.status == 0, (ran.stdout, ran.stderr)
    secret = s3.credentials["AWS_SECRET_ACCESS_KEY"].encode()
    assert [path for path in bed.rglob("*") if path.is_file() and secret in path.read_bytes()] == []
    swept = snapstorm("sweep", "--testbed", bed, "--json", env=s3.credentials)
    assert swept.status == 0, (swept.stdout, swept.stderr)
    other = ("--testbed", scratch / "other", "--progress", "none", "--repository")
    for refused, complaint in (
        (run_on(s3, steps, *other, s3.place("x"), AWS_SECRET_ACCESS_KEY="wrong" * 8), "signature"),
        (run_on(s3, steps, *other, s3.place("x"), AWS_ACCESS_KEY_ID="", HOME=str(scratch)), "no credentials for S3"),
        (run_on(s3, steps, *other, s3.place("bed")), "is not empty"),
        (run_on(s3, steps, *other, "s3://testbeds/x?endpoint=http://127.0.0.1:1"), "connection refused"),
    ):
        assert refused.status == 3, refused.stderr
        assert complaint in refused.stderr
        assert len(refused.stderr.splitlines()) == 1, refused.stderr
        assert not (scratch / "other").exists()
    limited = run_on(s3, steps, *other, s3.place("y"), "--repository-bytes-max", "1GB")
    assert limited.status == 2
    assert "leave --repository-bytes-max out" in limited.stderr
