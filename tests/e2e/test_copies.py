"""Copies of the ledger: elsewhere a testbed goes on from them, and a lost ledger comes back."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.commandline import SMALL, Ran, command, scenario, snapstorm
from tests.waiting import wait_until

BIG_ENOUGH = ("--clients", "2", *SMALL)
PLACES = ["copies", "kopia:copies"]


def run(bed: Path, *words: str | Path, target: str = "memory") -> Ran:
    much = ("--actions", "40", *BIG_ENOUGH)
    if target == "kopia":
        config = bed.with_name("steps.toml")
        config.write_text(scenario("write-random-files count = 2", "snapshot-root", clients=1))
        much = ("--config", str(config), "--mode", "direct")
    return snapstorm("run", "--testbed", bed, "--target", target, *much, "--json", *words)


def state_of(copies: Path) -> dict[str, Any]:
    state = json.loads((copies / "persisted.json").read_text())
    assert isinstance(state, dict)
    return state


def change_state(copies: Path, **changes: object) -> None:
    (copies / "persisted.json").write_text(json.dumps({**state_of(copies), **changes}))


def live(bed: Path) -> set[str]:
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as ledger:
        return {row[0] for row in ledger.execute("SELECT snapshot FROM expectations WHERE state = 'live'")}


def one_of_each_client(bed: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as ledger:
        return ledger.execute("SELECT min(snapshot) FROM expectations WHERE state = 'live' GROUP BY client").fetchall()


@pytest.fixture
def copied(scratch: Path) -> tuple[Path, Path]:
    """A testbed on which a run has passed, and the folder that it was copied to."""
    bed, copies = scratch / "bed", scratch / "copies"
    ran = run(bed, "--persist", copies)
    assert ran.status == 0, ran.stderr
    return bed, copies


@pytest.mark.parametrize("place", [pytest.param("copies", marks=pytest.mark.long), "kopia:copies"])
def test_a_real_testbed_goes_on_elsewhere(scratch: Path, place: str) -> None:
    """With the repository where it is: every snapshot is swept, and the old testbed is told."""
    bed, other = scratch / "bed", scratch / "other"
    where = place.replace("copies", str(scratch / "copies"))
    first = run(bed, "--persist", where, "--repository", scratch / "repository", target="kopia")
    assert first.status == 0, first.stderr
    promised = live(bed)
    second = run(other, "--from", where, "--secrets-file", bed / "secrets.toml", target="kopia")
    assert second.status == 0, second.stderr
    assert second.json["restores_verified_earlier_runs"] >= len(promised & live(other)) > 0
    told = run(bed, target="kopia")
    assert told.status == 3
    assert "others have gone on since" in told.stderr
    assert live(bed) == promised
    assert snapstorm("sweep", "--testbed", other).status == 0


def test_secrets_are_never_part_of_a_copy(copied: tuple[Path, Path]) -> None:
    """Nor is a new testbed made without them."""
    bed, copies = copied
    secrets = [line.split('"')[3] for line in (bed / "secrets.toml").read_text().splitlines()]
    content = b"".join(path.read_bytes() for path in copies.iterdir())
    assert secrets
    assert not any(secret.encode() in content for secret in secrets)
    ran = run(bed.parent / "new", "--from", copies)
    assert ran.status == 2
    assert "--secrets-file" in ran.stderr


def test_a_lease_keeps_others_out(copied: tuple[Path, Path], scratch: Path) -> None:
    """Until it has run out, or is overridden."""
    bed, copies = copied
    change_state(copies, lease_until_utc="2999-01-01T00:00:00+00:00", is_final=False)
    words = ("--from", copies, "--secrets-file", bed / "secrets.toml", "--repository", bed / "repository")
    refused = run(scratch / "new", *words)
    assert refused.status == 3
    assert "in use by" in refused.stderr
    assert "--take-over" in refused.stderr
    assert not (scratch / "new").exists()
    assert run(scratch / "new", *words, "--take-over").status == 0


def test_a_killed_run_goes_on_elsewhere(scratch: Path) -> None:
    """What was done after the copy is not judged: neither a promise that is kept nor a snapshot that nobody knows."""
    bed, copies = scratch / "bed", scratch / "copies"
    words = ("--target", "memory", "--persist", copies, "--persist-minutes", "0.01", "--duration", "30m")
    seen = set[str]()

    def has_copied() -> bool:
        """Whether three copies of the run have been seen, one after the other."""
        if (copies / "persisted.json").exists():
            seen.add(state_of(copies)["ledger_blake3"])
        return len(seen) >= 3

    with subprocess.Popen(command("run", "--testbed", bed, *words, "--clients", "2", *SMALL)) as process:
        wait_until(lambda: process.poll() is not None or has_copied())
        process.send_signal(signal.SIGKILL)
    assert not state_of(copies)["is_final"]
    options = ("--from", copies, "--secrets-file", bed / "secrets.toml", "--take-over", "--repository")
    went_on = run(scratch / "new", *options, bed / "repository")
    result = went_on.json
    assert result["violations"] == [], went_on.stderr
    assert result["verdict"] == ("inconclusive" if result["unaccounted"] else "pass")
    again = run(scratch / "new")
    assert again.status == 0, again.stderr


@pytest.mark.parametrize("is_damaged", [True, False])
def test_a_lost_ledger_is_recovered(copied: tuple[Path, Path], is_damaged: bool) -> None:
    """Damaged or gone; it is refused with words, and comes back with every promise."""
    bed, copies = copied
    promised, ledger = live(bed), bed / "ledger.sqlite3"
    if is_damaged:
        ledger.write_bytes(b"\xff" * 5000)
        refused = run(bed)
        assert refused.status == 3
        assert "damaged" in refused.stderr
        assert "snapstorm recover" in refused.stderr
    else:
        ledger.unlink()
    recovered = snapstorm("recover", "--testbed", bed, "--from", copies)
    assert recovered.status == 0, recovered.stderr
    assert live(bed) == promised
    assert bool(list(bed.glob("ledger.sqlite3.damaged-*"))) == is_damaged
    assert run(bed).status == 0


def test_a_whole_ledger_is_not_replaced(copied: tuple[Path, Path]) -> None:
    """By a copy that knows no more."""
    bed, copies = copied
    promised = live(bed)
    ran = snapstorm("recover", "--testbed", bed, "--from", copies)
    assert ran.status == 3
    assert "nothing was done" in ran.stderr
    assert live(bed) == promised


def test_a_promise_that_is_not_listed_after_a_gap_is_told_once(copied: tuple[Path, Path]) -> None:
    """Whether it was deleted after the copy or is lost can't be told, so it is no pass."""
    bed, copies = copied
    change_state(copies, is_final=False)
    lost = one_of_each_client(bed)
    with closing(sqlite3.connect(bed / "repository" / "snapshots.sqlite3")) as store, store:
        store.executemany("DELETE FROM snapshots WHERE id = ?", lost)
    (bed / "ledger.sqlite3").unlink()
    assert snapstorm("recover", "--testbed", bed, "--from", copies).status == 0
    first = run(bed)
    assert first.status == 4, first.stderr
    assert first.json["unaccounted"] == len(lost) == 2
    assert run(bed).status == 0


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["--from", "{copies}", "--secrets-file", "{bed}/secrets.toml", "--testbed", "{bed}"], 2, "testbed already"),
        (["--from", "{bed}", "--secrets-file", "{bed}/secrets.toml"], 3, "no copy of a ledger"),
        (["--from", "{copies}", "--secrets-file", "{bed}/none.toml"], 2, "no secrets"),
        (["--from", "ftp://x"], 2, "neither a directory"),
        (["--persist", "{copies}"], 3, "another testbed's ledger"),
        (["--persist", "{bed}/secrets.toml"], 3, "can't be"),
        (["--repository", "s3://b?x=1"], 2, "names no bucket"),
        (["--persist-minutes", "0"], 2, "minutes apart"),
    ],
)
def test_bad_input(copied: tuple[Path, Path], scratch: Path, words: list[str], status: int, complaint: str) -> None:
    """One line, and the testbed and its copies as they were."""
    bed, copies = copied
    before, promised = state_of(copies), live(bed)
    given = [word.format(bed=bed, copies=copies) for word in words]
    testbed = [] if "--testbed" in given else ["--testbed", str(scratch / "new")]
    ran = snapstorm("run", "--target", "memory", "--progress", "none", *testbed, *given)
    assert ran.status == status, ran.stderr
    assert complaint in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert (state_of(copies), live(bed)) == (before, promised)
    assert not (scratch / "new" / "ledger.sqlite3").exists()


def test_copies_need_a_testbed_that_lasts(scratch: Path) -> None:
    """A temporary one goes, and what it promised with it."""
    ran = snapstorm("run", "--persist", scratch / "copies", "--repository", scratch / "repository")
    assert ran.status == 2
    assert ran.stderr.count("needs --testbed") == 2
    assert not list(scratch.iterdir())


def test_a_half_written_copy_is_refused(copied: tuple[Path, Path], scratch: Path) -> None:
    """It is told from a whole one by its digest."""
    bed, copies = copied
    file = copies / state_of(copies)["ledger_file"]
    file.write_bytes(file.read_bytes()[:-4096])
    ran = run(scratch / "new", "--from", copies, "--secrets-file", bed / "secrets.toml")
    assert ran.status == 3
    assert "half written" in ran.stderr
    assert not (scratch / "new").exists()
    shutil.rmtree(copies)
    assert run(bed).status == 0, "a lost place for copies is begun anew"
