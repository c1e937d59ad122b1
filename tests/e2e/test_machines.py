"""Clients in processes of their own: a run is the same, and is judged the same."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.e2e.commandline import SMALL, command, snapstorm
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.targets.kopia.wrapper_defects import LEAVING_BEHIND
from snapstorm.targets.kopia.wrappers import make_wrapper

MACHINES = ("--machines", "local:2")

CAUGHT_AS = {
    "restore-flips-a-byte": "restored-exactly",
    "create-eats-a-file": "source-untouched",
    "restore-leaves-a-file-beside": "no-leak",
    "list-omits-a-snapshot": "acknowledged-stays-listed",
    "restore-truncates-a-file": "restored-exactly",
    "restore-loses-an-entry": "restored-exactly",
    "restore-adds-an-entry": "restored-exactly",
    "restore-changes-an-mtime": "restored-exactly",
    "restore-changes-a-symlink-target": "restored-exactly",
    "restore-renames-a-file": "restored-exactly",
    "restore-changes-a-mode": "restored-exactly",
    "restore-swaps-two-files": "restored-exactly",
    "restore-makes-no-destination": "restored-exactly",
    "restore-overwrites-the-source": "source-untouched",
    "restore-gives-another-snapshot": "restored-exactly",
    "restore-fails": "available",
    "restore-appends-a-byte": "restored-exactly",
    "create-rewrites-a-file": "source-untouched",
    "create-counts-one-too-many": "partial-is-reported",
    "create-skips-a-file": "partial-is-reported",
    "delete-is-ignored": "deleted-stays-gone",
    "delete-takes-another-too": "acknowledged-stays-listed",
    "list-shows-a-ghost": "nothing-unrequested",
    "wrong-password-accepted": "clients-isolated",
}
"""Planted defects of the simulated target, and the guarantee that each breaks."""
QUICK = 4
"""So many of them in the default suite: one that is seen in a restored tree, in a client's files, beside a restore, and
in no file at all."""


pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def bed(scratch: Path) -> Path:
    """A testbed."""
    return scratch / "bed"


def test_a_run_on_machines_and_the_next_without_them_pass(bed: Path) -> None:
    words = ("run", "--testbed", bed, "--clients", "3", "--actions", "18", *SMALL, "--json")
    ran = snapstorm(*words, "--seed", "3", *MACHINES)
    assert ran.status == 0, ran.stderr
    assert ran.json["restores_verified"] > 0
    for name in ("local-1", "local-2"):
        assert "the run is over" in (bed / "machines" / f"{name}.log").read_text()
    again = snapstorm(*words, "--seed", "4")
    assert again.status == 0, again.stderr
    assert again.json["restores_verified_earlier_runs"] > 0


@pytest.mark.parametrize(
    "defect",
    [pytest.param(one, marks=() if at < QUICK else pytest.mark.long) for at, one in enumerate(CAUGHT_AS)],
)
def test_a_planted_defect_is_judged_the_same(defect: str, bed: Path) -> None:
    words = ("--target", f"memory:{defect}", "--clients", "2", "--actions", "80", *SMALL[:4], "--seed", "7", "--json")
    for place, more in ((bed.with_name("bed-without"), ()), (bed, MACHINES)):
        ran = snapstorm("run", "--testbed", place, *words, *more)
        assert ran.status == 1, ran.stderr
        assert CAUGHT_AS[defect] in {one["guarantee"] for one in ran.json["violations"]}
    kept = [path for path in bed.glob("runs/0001/evidence/*/README.md") if CAUGHT_AS[defect] in str(path)]
    assert kept


def test_a_machine_that_is_killed_comes_back_and_nothing_is_hidden(bed: Path) -> None:
    words = ("run", "--testbed", bed, "--clients", "2", *SMALL, "--progress", "plain")
    with begin(*words, "--actions", "60", *MACHINES) as process:
        machine = find_machine(bed, "local-1")
        read_until(process, "restores verified")
        machine.kill()
        _, stderr = process.communicate(timeout=GIVE_UP_SECONDS)
    assert process.returncode == 0, stderr
    assert "the machine local-1 was lost" in stderr
    assert "PASS" in stderr


@pytest.mark.long
def test_a_machine_that_cannot_come_back_ends_the_run(bed: Path) -> None:
    words = ("run", "--testbed", bed, "--clients", "2", *SMALL, "--progress", "plain")
    with begin(*words, "--duration", "1h", *MACHINES) as process:
        machine = find_machine(bed, "local-1")
        read_until(process, "restores verified")
        (bed / "machines" / "join.pem").unlink()
        machine.kill()
        _, stderr = process.communicate(timeout=GIVE_UP_SECONDS)
    assert process.returncode == 3, stderr
    assert "the machine local-1 was lost and is not back: it did not join again within 60 s" in stderr
    assert "Traceback" not in stderr
    again = snapstorm(*words, "--actions", "6")
    assert again.status == 0, again.stderr


def test_machines_that_are_struck_on_purpose_are_judged_on(bed: Path) -> None:
    words = ("run", "--testbed", bed, "--clients", "2", *SMALL, "--faults", "kill-machine", "--json")
    ran = snapstorm(*words, "--actions", "20", "--seed", "2", *MACHINES)
    assert ran.status == 0, ran.stderr
    assert "kill-machine" in ran.json["faults"]


def test_without_machines_none_can_be_struck(bed: Path) -> None:
    ran = snapstorm("run", "--testbed", bed, "--faults", "kill-machine")
    assert ran.status == 3
    assert "clients run in the process of the run, and not on machines" in ran.stderr


def test_faults_reach_the_processes_of_clients_on_machines(bed: Path) -> None:
    words = ("run", "--testbed", bed, "--clients", "2", *SMALL, "--faults", "kill-client,network-reset", "--json")
    ran = snapstorm(*words, "--actions", "20", "--seed", "2", *MACHINES)
    assert ran.status == 0, ran.stderr
    assert {"kill-client", "network-reset"} <= ran.json["faults"].keys()
    assert ran.json["failed_under_faults"] > 0


@pytest.mark.parametrize("name", sorted(LEAVING_BEHIND))
def test_what_commands_of_machines_leave_behind_is_found(name: str, bed: Path, scratch: Path, real_kopia: Path) -> None:
    program = make_wrapper(scratch / "planted", real_kopia, LEAVING_BEHIND[name].body)
    words = ("run", "--testbed", bed, "--kopia", program, "--clients", "2", "--actions", "12", *SMALL, "--json")
    ran = snapstorm(*words, "--seed", "3", *MACHINES)
    assert ran.status == 1, ran.stderr
    assert {one["guarantee"] for one in ran.json["violations"]} == {"no-leak"}
    left = [Path(one["evidence"], "left-behind.txt").read_text() for one in ran.json["violations"]]
    assert all(left)
    assert not any(psutil.pid_exists(int(pid)) for text in left for pid in re.findall(r"process (\d+)", text))


def test_where_clients_can_only_be_here_it_is_said(bed: Path) -> None:
    ran = snapstorm("run", "--target", "memory", "--testbed", bed, "--actions", "10", *MACHINES, "--json")
    assert ran.status == 0, ran.stderr
    assert any("clients ask from this process" in note for note in ran.json["notes"])


def test_an_interrupt_ends_all_machines(bed: Path) -> None:
    with begin("run", "--testbed", bed, "--clients", "2", "--duration", "1h", *SMALL, *MACHINES) as process:
        find_machine(bed, "local-2")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=GIVE_UP_SECONDS)
    assert process.returncode == 130, stderr


def test_machines_go_when_the_coordinator_is_killed(bed: Path) -> None:
    with begin("run", "--testbed", bed, "--clients", "2", "--duration", "1h", *SMALL, *MACHINES) as process:
        machine = find_machine(bed, "local-1")
        process.kill()
    wait_until(lambda: not machine.is_running())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("local:0", "there can be 1 to 64 local machines, not 0"),
        ("local:many", "machines are given as local:N, such as local:2, not 'local:many'"),
    ],
)
def test_a_wrong_choice_is_one_line(value: str, words: str, scratch: Path) -> None:
    ran = snapstorm("run", "--testbed", scratch / "bed", "--machines", value)
    assert ran.status == 2
    assert words in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not (scratch / "bed").exists()


def begin(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start the command line."""
    return subprocess.Popen(
        command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def read_until(process: subprocess.Popen[str], words: str) -> None:
    """Return once this stands on standard error."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"{words!r} was not printed")


def find_machine(bed: Path, name: str) -> psutil.Process:
    """The process of a local machine of this testbed, once it is there."""
    workdir = str(bed / "machines" / name)

    def found() -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["cmdline"]) if workdir in (one.info["cmdline"] or ())]

    wait_until(found)
    return found()[0]
