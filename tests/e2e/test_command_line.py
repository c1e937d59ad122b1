"""The command line against the real Kopia, as a user runs it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, Ran, command, scenario, snapstorm, wait_until_none_left
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.errors import SnapstormError
from snapstorm.model.actions import ACTIONS
from snapstorm.testbed.testbed import read_testbed

KILLS = 2


@pytest.fixture
def short(scratch: Path) -> tuple[str | Path, ...]:
    """What a short run of two clients is asked for with."""
    config = scratch / "short.toml"
    config.write_text(scenario("write-random-files count = 3", "snapshot-root", "restore-snapshot"))
    return ("run", "--config", config, "--json")


@pytest.mark.usefixtures("nothing_left")
def test_a_run_passes_and_the_next_one_goes_on(scratch: Path, short: Sequence[str | Path]) -> None:
    """A run on a fresh testbed passes; the next restores snapshots of the first too; sweep and status know both."""
    bed = scratch / "my bed é"
    first = snapstorm(*short, "--seed", "7", "--testbed", bed)
    assert first.status == 0, first.stderr
    check_json(first)
    assert first.json["seed"] == 7
    assert first.json["restores_verified"] > 0
    assert first.json["restores_verified_earlier_runs"] == 0
    second = snapstorm(*short, "--seed", "7", "--testbed", bed)
    assert second.status == 0, second.stderr
    assert second.json["run"] == 2
    assert second.json["restores_verified_earlier_runs"] > 0
    swept = snapstorm("sweep", "--testbed", bed, "--json", "--report", scratch / "reports")
    assert swept.status == 0, swept.stderr
    assert swept.json["sweep"] == {"verified": second.json["snapshots"]["live"], "left": 0}
    assert json.loads((scratch / "reports/report.json").read_text())["run"] == 3
    status = snapstorm("status", "--testbed", bed, "--json")
    assert status.status == 0
    assert [run["verdict"] for run in status.json["runs"]] == ["pass"] * 3


def check_json(ran: Ran) -> None:
    """Every documented key is there, and every action key."""
    shown = ran.json
    assert {
        "schema",
        "run",
        "seed",
        "verdict",
        "target",
        "clients",
        "seconds",
        "seconds_by_part",
        "actions",
        "snapshots",
        "restores_verified",
        "restores_verified_earlier_runs",
        "bytes_verified",
        "sweep",
        "violations",
    } <= shown.keys()
    assert shown["verdict"] == "pass"
    assert shown["clients"] == 2
    assert shown["actions"].keys() == ACTIONS.keys()
    assert all(counts.keys() == {"ok", "no_op", "locked", "failed", "unknown"} for counts in shown["actions"].values())
    assert shown["target"]["name"] == "kopia"
    assert shown["target"]["versions"]
    assert shown["violations"] == []
    assert shown["sweep"]["left"] == 0


@pytest.mark.usefixtures("nothing_left")
def test_direct_mode_needs_no_server(scratch: Path, short: Sequence[str | Path]) -> None:
    """The standard test: one client on the repository itself."""
    ran = snapstorm(*short, "--mode", "direct", "--clients", "1", "--testbed", scratch / "bed")
    assert ran.status == 0, ran.stderr
    assert ran.json["target"]["mode"] == "direct"
    assert ran.json["clients"] == 1
    assert ran.json["restores_verified"] > 0


@pytest.mark.usefixtures("nothing_left")
def test_two_runs_at_once_do_not_disturb_each_other(scratch: Path, short: Sequence[str | Path]) -> None:
    """Two runs side by side on two testbeds both pass."""
    runs = [
        subprocess.Popen(
            command(*short, "--clients", "1", "--testbed", scratch / f"bed-{number}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    for run in runs:
        stdout, stderr = run.communicate(timeout=GIVE_UP_SECONDS)
        assert run.returncode == 0, stderr
        assert json.loads(stdout)["verdict"] == "pass"


def wait_for_actions(bed: Path, run: int, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the run of this number has recorded this many operations of its first client."""
    while process.poll() is None:
        with suppress(SnapstormError), read_testbed(bed) as ledger:  # It may be just being made.
            if len(ledger.record.last_operations(run, count, "client-1@snapstorm")) >= count:
                return
        time.sleep(0.02)
    raise AssertionError("the run did not get to work")


@pytest.fixture
def long_run(scratch: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Runs that a test starts and interrupts; ended with it in any case."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        with process:
            process.kill()


def start_long(bed: Path, started: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command("run", "--clients", "1", *SMALL, "--duration", "120s", "--testbed", bed, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    started.append(process)
    return process


@pytest.mark.usefixtures("nothing_left")
def test_kill_9_loses_nothing_and_leaves_nothing(
    scratch: Path, short: Sequence[str | Path], long_run: list[subprocess.Popen[bytes]]
) -> None:
    """After `kill -9` in the middle of two runs no process is left, and the next run on the testbed passes."""
    bed = scratch / "bed"
    for kill in range(KILLS):
        process = start_long(bed, long_run)
        wait_for_actions(bed, kill + 1, 1 + 3 * kill, process)
        process.kill()
        process.wait(timeout=30)
        wait_until_none_left(bed)
    after = snapstorm(*short, "--testbed", bed)
    assert after.status == 0, after.stderr
    assert after.json["run"] == KILLS + 1
    assert after.json["snapshots"]["in_doubt"] == 0
    status = snapstorm("status", "--testbed", bed, "--json")
    assert [run["verdict"] for run in status.json["runs"]] == [None] * KILLS + ["pass"]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_signal_ends_the_run_cleanly(
    number: signal.Signals, scratch: Path, short: Sequence[str | Path], long_run: list[subprocess.Popen[bytes]]
) -> None:
    """One signal gives a summary, status 130, and a testbed that goes on. Others do so earlier in `test_signals`."""
    bed = scratch / "bed"
    process = start_long(bed, long_run)
    wait_for_actions(bed, 1, 3, process)
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=GIVE_UP_SECONDS)
    assert process.returncode == 130
    assert json.loads(stdout)["verdict"] == "interrupted"
    wait_until_none_left(bed)
    after = snapstorm(*short, "--testbed", bed)
    assert after.status == 0, after.stderr


def test_secrets_are_nowhere_to_be_read(scratch: Path, short: Sequence[str | Path]) -> None:
    """No secret of the testbed stands in the ledger, a log or the output; the files that hold one are private."""
    bed = scratch / "bed"
    ran = snapstorm(*short, "--testbed", bed)
    assert ran.status == 0, ran.stderr
    secrets_file = bed / "secrets.toml"
    assert secrets_file.stat().st_mode & 0o777 == 0o600
    secrets = [line.partition("=")[2].strip().strip('"').encode() for line in secrets_file.read_text().splitlines()]
    secrets = [secret for secret in secrets if len(secret) > 8]
    assert secrets
    secrets += [base64.b64encode(secret).rstrip(b"=") for secret in secrets]
    users = (bed / "ledger.sqlite3").read_bytes()
    assert b"--user-password-hash=..." in users
    assert b"--user-password-hash=ey" not in users
    places = [path for path in bed.rglob("*") if path.is_file() and path != secrets_file]
    for path in (place for place in places if place.is_file()):
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content], path
    assert not [secret for secret in secrets if secret.decode() in ran.stdout + ran.stderr]


def test_a_run_that_judged_nothing_is_inconclusive(scratch: Path) -> None:
    """Writing without ever taking a snapshot proves nothing: status 4, never a pass."""
    config = scratch / "writes.toml"
    config.write_text('clients = 1\n[[steps]]\naction = "write-random-files"\n')
    ran = snapstorm("run", "--config", config, "--target", "memory", "--testbed", scratch / "bed", "--json")
    assert ran.status == 4
    assert ran.json["verdict"] == "inconclusive"


def test_a_temporary_testbed_is_kept_only_if_violated(scratch: Path) -> None:
    """A pass leaves nothing; a violation leaves the testbed with its evidence, and names it."""
    env = {"TMPDIR": str(scratch)}
    arguments = ("run", "--actions", "60", *SMALL, "--json")
    assert snapstorm(*arguments, "--target", "memory", env=env).status == 0
    assert list(scratch.iterdir()) == []
    broken = snapstorm(*arguments, "--target", "memory:restore-flips-a-byte", env=env)
    assert broken.status == 1, broken.stderr
    evidence = Path(broken.json["violations"][0]["evidence"])
    assert evidence.is_relative_to(scratch)
    assert (evidence / "README.md").exists()
    assert broken.json["testbed"] in broken.stderr


def test_an_accepted_loss_is_counted_no_more(scratch: Path) -> None:
    """A snapshot lost once keeps a testbed red until somebody accepts it, and is still listed then."""
    bed = scratch / "bed"
    arguments = (
        "run",
        "--actions",
        "40",
        *SMALL,
        "--testbed",
        bed,
        "--json",
    )
    lost = snapstorm(*arguments, "--target", "memory:create-acknowledged-but-lost")
    assert lost.status == 1, lost.stderr
    assert snapstorm("sweep", "--testbed", bed).status == 1
    violations = snapstorm("status", "--testbed", bed, "--json").json["violations"]
    for violation in violations:
        assert snapstorm("accept", str(violation["number"]), "--testbed", bed, "--reason", "planted").status == 0
    swept = snapstorm("sweep", "--testbed", bed, "--json")
    assert swept.status in (0, 4), swept.stderr
    assert swept.json["known_violations"]
    assert swept.json["violations"] == []


def test_accepting_a_trifle_hides_no_greater_loss(scratch: Path) -> None:
    """An accepted difference is known; another one of the same snapshot still counts."""
    bed = scratch / "bed"
    config = scratch / "one.toml"
    config.write_text(
        'clients = 1\n[[steps]]\naction = "write-random-files"\ncount = 5\nodd_percent = 0\n'
        '[[steps]]\naction = "snapshot-root"\n'
    )
    assert snapstorm("run", "--config", config, "--target", "memory", "--testbed", bed).status == 0

    def sweep(defect: str) -> Ran:
        # Takes one more snapshot, because the defect strikes at every second restore.
        target = f"memory:{defect}"
        return snapstorm("run", "--config", config, "--target", target, "--testbed", bed, "--keep-going", "--json")

    assert sweep("restore-changes-an-mtime").status == 1
    for violation in snapstorm("status", "--testbed", bed, "--json").json["violations"]:
        assert snapstorm("accept", str(violation["number"]), "--testbed", bed, "--reason", "trifle").status == 0
    assert sweep("restore-truncates-a-file").status == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["run", "sweep", "status", "accept", "Exit status"]),
        (["run", "--help"], ["--testbed", "--weights", "KEY=N", "--seed"]),
        (["actions"], list(ACTIONS)),
        (["scenarios"], ["randomized (default)", "many-small-files", "maintenance"]),
        (["scenarios", "many-small-files"], ["[[steps]]", "count = 10000"]),
        (["target", "kopia"], ["executable", "sha256", "directory_mtime", "hard_links"]),
        (["target", "memory"], ["memory", "directory_mtime"]),
        (["--version"], ["."]),
    ],
    ids=" ".join,
)
def test_the_listing_commands_teach(arguments: list[str], words: list[str]) -> None:
    """Help and listings name what there is, on stdout, with status 0."""
    ran = snapstorm(*arguments)
    assert ran.status == 0, ran.stderr
    for word in words:
        assert word in ran.stdout


def test_a_shown_scenario_can_be_run_again(scratch: Path) -> None:
    """What `snapstorm scenarios NAME` prints is a valid --config."""
    for name in ("randomized", "delete-random-snapshot"):
        config = scratch / f"{name}.toml"
        config.write_text(snapstorm("scenarios", name).stdout)
        ran = snapstorm(
            "run", "--config", config, "--target", "memory", "--testbed", scratch / name,
            *(["--actions", "60", "--seed", "3"] if name == "randomized" else []),
            *([*SMALL] if name == "randomized" else []),
        )  # fmt: skip
        assert ran.status == 0, ran.stderr


def test_plain_progress_without_a_terminal(scratch: Path) -> None:
    """Without a terminal there are plain lines, without escape sequences, and the verdict comes last."""
    ran = snapstorm(
        "run", "--target", "memory", "--actions", "20", "--testbed", scratch / "bed",
        *SMALL, env={"TERM": "xterm"},
    )  # fmt: skip
    assert ran.status == 0
    assert "\x1b" not in ran.stderr
    assert "adding 4 client(s)" in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("PASS: ")
    assert os.linesep in ran.stderr


MISTAKE = """
import sys

from snapstorm.__main__ import main
from snapstorm.actions.inspections import ListSnapshotsPerformer


def fail(*_):
    raise ZeroDivisionError("planted")


ListSnapshotsPerformer.perform = fail
sys.argv = ["snapstorm", "run", "--target", "memory", "--actions", "200", "--json", "--progress", "none"]
main()
"""


def test_a_mistake_of_our_own_is_an_error_with_a_result() -> None:
    """Said in one line that asks for a report, and a verdict of the run that it has cut off: never a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", MISTAKE], capture_output=True, text=True, timeout=GIVE_UP_SECONDS, check=False
    )
    assert done.returncode == 3
    assert done.stderr.startswith("snapstorm: internal error, please report it: ZeroDivisionError: planted\n")
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["verdict"] == "error"
