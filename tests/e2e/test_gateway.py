"""A repository behind the gateway: snapstorm's own S3 server, which keeps a history of all that is written."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.e2e.commandline import command, scenario, snapstorm, wait_until_none_left
from tests.e2e.test_command_line import wait_for_actions
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.gateway.app import serving
from snapstorm.gateway.storage import Clocks, opened
from snapstorm.targets.kopia.discovery import find_kopia

CLOCKS = Clocks(time.time_ns, time.monotonic)
STEPS = scenario("write-random-files count = 3", "snapshot-root", "restore-snapshot", "run-gc", clients=2)


@pytest.fixture
def steps(scratch: Path) -> Path:
    config = scratch / "steps.toml"
    config.write_text(STEPS)
    return config


@pytest.mark.usefixtures("nothing_left")
def test_a_testbed_goes_on_behind_the_gateway(scratch: Path, steps: Path) -> None:
    """Run after run, and in a sweep. All that was written is in the history, and no secret in the open."""
    bed = scratch / "bed"
    ran = snapstorm("run", "--testbed", bed, "--repository", "gateway", "--config", steps, "--json")
    assert ran.status == 0, ran.stderr
    assert not (bed / "repository").exists()
    ran = snapstorm("run", "--testbed", bed, "--config", steps, "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["restores_verified_earlier_runs"] > 0
    swept = snapstorm("sweep", "--testbed", bed, "--json")
    assert swept.status == 0, swept.stderr
    assert swept.json["sweep"] == {"verified": ran.json["snapshots"]["live"], "left": 0}
    with opened(bed / "gateway", CLOCKS) as storage:
        writes = list(storage.log.writes())
        assert len(storage.bucket) < len(writes)
        assert all(write.acknowledged is not None for write in writes)
    access_key = next(
        line.split('"')[-2] for line in (bed / "secrets.toml").read_text().splitlines() if "gateway access" in line
    )
    holders = [path for path in bed.rglob("*") if path.is_file() and access_key.encode() in path.read_bytes()]
    assert {path.name for path in holders} <= {"secrets.toml", "repository.config"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (*holders, *(bed / "gateway").iterdir()))


@pytest.mark.usefixtures("nothing_left")
def test_a_killed_run_loses_nothing_that_it_acknowledged(scratch: Path) -> None:
    """The gateway goes with the process; the next run settles what was under way, and restores everything."""
    bed = scratch / "bed"
    words = ("run", "--testbed", bed, "--clients", "1", "--mode", "direct", "--json")
    started = command(*words, "--repository", "gateway", "--duration", "120s")
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_actions(bed, 1, 4, process)
        finally:
            process.kill()
    wait_until_none_left(bed)
    went_on = snapstorm(*words, "--duration", "2s")
    assert went_on.status == 0, went_on.stderr
    assert went_on.json["snapshots"]["in_doubt"] == 0


def test_the_provider_is_valid_for_kopia(scratch: Path) -> None:
    """Kopia's own test of a storage provider passes."""
    with serving(scratch / "gateway", CLOCKS) as served:
        served.admit("kopia", "access")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(scratch),
            "KOPIA_PASSWORD": "of a test",
            "AWS_ACCESS_KEY_ID": "access",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "KOPIA_CHECK_FOR_UPDATES": "false",
        }

        def kopia(*words: str) -> subprocess.CompletedProcess[str]:
            program = [
                find_kopia(None).path,
                "--config-file",
                scratch / "config",
                "--log-dir",
                scratch / "logs",
                *words,
            ]
            return subprocess.run(
                program, env=environment, capture_output=True, text=True, timeout=GIVE_UP_SECONDS, check=False
            )

        host = served.endpoint.removeprefix("http://")
        created = kopia(
            *("repository", "create", "s3", "--bucket=snapstorm", f"--endpoint={host}", "--disable-tls"),
            *("--cache-directory", str(scratch / "cache")),
        )
        assert created.returncode == 0, created.stderr
        validated = kopia(
            *("repository", "validate-provider", "--num-storage-connections=2", "--concurrency-test-duration=3s"),
            *("--put-blob-workers=1", "--get-blob-workers=1", "--get-metadata-workers=1"),
        )
        assert validated.returncode == 0, validated.stderr
        served.check()


def test_a_fault_of_the_storage_needs_the_gateway(scratch: Path) -> None:
    ran = snapstorm("run", "--testbed", scratch / "bed", "--faults", "storage-error", "--actions", "1")
    assert ran.status == 3
    assert "storage-error is not possible here: the repository is not behind the gateway here" in ran.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--repository", "s3://bucket", "--target", "memory"), "keeps its repository in a directory"),
        (("--repository", "gateway", "--persist", "gateway"), "is kept in the testbed; name a place outside"),
    ],
)
def test_bad_input(scratch: Path, words: tuple[str, ...], complaint: str) -> None:
    ran = snapstorm("run", "--testbed", scratch / "bed", *words)
    assert ran.status == 2
    assert complaint in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not (scratch / "bed").exists()
