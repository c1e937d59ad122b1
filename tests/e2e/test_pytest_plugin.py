"""The pytest plugin as a user meets it: a folder with a test, and `pytest`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.waiting import GIVE_UP_SECONDS

TEST = """
from snapstorm import RestoreSnapshot, SnapshotRoot, WriteRandomFiles


async def test_example(harness):
    async def flow(client):
        await client.execute(WriteRandomFiles(count=20, size_bytes=4096))
        for _ in range(2):
            snapshot = await client.execute(SnapshotRoot())
            await client.execute(RestoreSnapshot(id=snapshot.id))

    await harness.run_clients(2, flow)
"""


def run_pytest(folder: Path, body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(body)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, str(folder)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder), "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )


def test_an_async_test_needs_no_further_set_up(scratch: Path) -> None:
    """The example of the documentation runs as it stands, and passes."""
    ran = run_pytest(scratch, TEST, "--snapstorm-target", "memory")
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout


def test_a_failing_test_shows_violation_seed_and_evidence(scratch: Path) -> None:
    """What failed, the seed to do it again, and where the evidence lies stand in the report."""
    ran = run_pytest(scratch, TEST, "--snapstorm-target", "memory:restore-flips-a-byte", "--snapstorm-seed", "11")
    assert ran.returncode == 1
    assert "restored-exactly" in ran.stdout
    assert "seed 11" in ran.stdout
    evidence = re.search(r"evidence: (\S+)", ran.stdout)
    assert evidence is not None, ran.stdout
    assert (Path(evidence[1]) / "program.py").exists()


def test_a_violation_that_only_the_sweep_finds_fails_the_test(scratch: Path) -> None:
    """A body that restores nothing fails all the same when the final sweep finds a loss."""
    body = TEST.replace("            await client.execute(RestoreSnapshot(id=snapshot.id))\n", "")
    ran = run_pytest(scratch, body, "--snapstorm-target", "memory:restore-loses-an-entry")
    assert ran.returncode == 1
    assert "restored-exactly" in ran.stdout


def test_a_test_that_verifies_nothing_fails(scratch: Path) -> None:
    """Vacuous success is none: without a verified restore a test fails, unless it says that it may."""
    body = "async def test_nothing(harness):\n    pass\n"
    ran = run_pytest(scratch, body, "--snapstorm-target", "memory")
    assert ran.returncode == 1
    assert "no restore was verified" in ran.stdout
    allowed = "import pytest\n\n\n@pytest.mark.snapstorm(allow_inconclusive=True)\n" + body
    assert run_pytest(scratch, allowed, "--snapstorm-target", "memory").returncode == 0


def test_a_failing_assertion_is_shown_as_itself(scratch: Path) -> None:
    """An assertion of the test's own is reported like any other."""
    body = "async def test_mine(harness):\n    assert 1 + 1 == 3\n"
    ran = run_pytest(scratch, body, "--snapstorm-target", "memory")
    assert ran.returncode == 1
    assert "assert (1 + 1) == 3" in ran.stdout


def test_one_clients_failure_ends_the_others(scratch: Path) -> None:
    """The first failure is raised by itself, and a client that would wait for ever is cancelled."""
    body = """
import anyio


async def test_mine(harness):
    async def flow(client):
        if client.name.startswith("client-2"):
            raise RuntimeError("this one")
        await anyio.sleep(1000)

    await harness.run_clients(3, flow)
"""
    ran = run_pytest(scratch, body, "--snapstorm-target", "memory")
    assert ran.returncode == 1
    assert "RuntimeError: this one" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--snapstorm-target", "memory:nothing-such"], "nothing-such"),
        (["--snapstorm-kopia", "/nowhere/kopia"], "/nowhere/kopia"),
    ],
)
def test_a_missing_target_fails_and_never_skips(arguments: list[str], word: str, scratch: Path) -> None:
    """Without what is to be tested the test fails, with the reason."""
    ran = run_pytest(scratch, TEST, *arguments)
    assert ran.returncode == 1
    assert word in ran.stdout
    assert "skipped" not in ran.stdout
