"""The target borg over an sshd of our own, as a user runs it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.e2e.commandline import command, scenario, snapstorm
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.targets.borg.discovery import find_borg
from snapstorm.targets.borg.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.wrapper_programs import make_wrapper

pytestmark = [pytest.mark.needs_borg, pytest.mark.needs_sshd, pytest.mark.usefixtures("nothing_left")]

SHORT = scenario("write-random-files count = 4, size_bytes = '0..20000'", "snapshot-root", "restore-snapshot")
VIOLATED, HARNESS_ERROR = 1, 3
OVER_SSH = '[parameters]\ntransport = "ssh"\n'


@pytest.fixture
def short(scratch: Path) -> Path:
    file = scratch / "short.toml"
    file.write_text(SHORT + OVER_SSH)
    return file


def test_a_run_passes_and_goes_on(short: Path, scratch: Path) -> None:
    """A sweep finds what was promised, by another sshd at another port."""
    bed = scratch / "it's a bed"
    ran = snapstorm("run", "--config", short, "--target", "borg", "--seed", "3", "--testbed", bed, "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)
    assert ran.json["restores_verified"] > 0
    swept = snapstorm("sweep", "--testbed", bed, "--json")
    assert swept.status == 0, (swept.stdout, swept.stderr)
    assert swept.json["sweep"]["verified"] == ran.json["snapshots"]["live"] == 2


PLANTED = {
    "serves-every-repository": (
        """
        serving_lines = ssh_access.serving_lines
        ssh_access.serving_lines = lambda *given: serving_lines(*given).replace(
            '--restrict-to-repository "./repositories/$repository"', "--restrict-to-path ./repositories"
        )
        """,
        "clients-isolated",
        "a wrong password was let in",
    ),
    "serves-anothers-repository": (
        """
        authorized_line = ssh_access.authorized_line
        ssh_access.authorized_line = lambda command, key: authorized_line(command.replace("t-1@", "t-2@"), key)
        """,
        None,
        "client-1@snapstorm could not be connected: list was refused: Repository path not allowed",
    ),
    "keeps-the-line-of-a-removed-client": (
        """
        from snapstorm.targets.borg.access import AccessList
        AccessList.shut_out = lambda self, client: None
        """,
        "clients-isolated",
        "a removed client was let in",
    ),
}
"""What is wrong with `authorized_keys` or the forced command: a patch, the guarantee that it breaks, with words. Nobody
who is served another's repository can begin, so there is nothing to judge: such a run ends with an error."""


@pytest.mark.parametrize(
    "name",
    [
        "serves-every-repository",
        pytest.param("serves-anothers-repository", marks=pytest.mark.long),
        pytest.param("keeps-the-line-of-a-removed-client", marks=pytest.mark.long),
    ],
)
def test_authorized_keys_that_let_in_too_many_are_caught(name: str, short: Path, scratch: Path) -> None:
    """Or the wrong ones."""
    patch, guarantee, words = PLANTED[name]
    lines = [line[8:] for line in patch.splitlines()]
    (scratch / "sitecustomize.py").write_text("\n".join(["from snapstorm.targets.borg import ssh_access", *lines, ""]))
    words_of_run = ("run", "--config", short, "--target", "borg", "--seed", "3", "--testbed", scratch / "bed", "--json")
    ran = snapstorm(*words_of_run, env={"PYTHONPATH": str(scratch)})
    assert ran.status == (HARNESS_ERROR if guarantee is None else VIOLATED), (ran.stdout, ran.stderr)
    assert [one["guarantee"] for one in ran.json["violations"]] == ([] if guarantee is None else [guarantee])
    assert words in ran.stdout


@pytest.fixture
def busy(scratch: Path) -> Path:
    """Long enough for faults."""
    file = scratch / "busy.toml"
    steps = ["write-random-files count = 30, size_bytes = 200000", *["snapshot-root", "restore-snapshot"] * 6]
    file.write_text(scenario(*steps) + OVER_SSH)
    return file


@pytest.mark.long
def test_a_server_that_is_killed_takes_its_sessions_with_it(busy: Path, scratch: Path) -> None:
    """And is there again afterwards, with no lock of theirs left; so is one whose network was cut."""
    faults = "kill-server,terminate-server,pause-server,network-reset,remove-user,change-password"
    words = ("run", "--config", busy, "--target", "borg", "--seed", "3", "--faults", faults)
    ran = snapstorm(*words, "--testbed", scratch / "bed", "--json")
    assert ran.status == 0, (ran.stderr, ran.json["violations"])
    assert ran.json["restores_verified"] > 0


@pytest.mark.long
def test_a_killed_run_leaves_nothing_and_is_continued(busy: Path, short: Path, scratch: Path) -> None:
    """Neither the listening sshd nor what serves its connections stays, even if it stood still."""
    bed = scratch / "bed"
    words = ("run", "--config", busy, "--target", "borg", "--testbed", bed, "--faults", "pause-server")
    run = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    assert any("fault pause-server" in line for line in run.stderr)
    wait_until(lambda: _stopped_below(run.pid), lambda: "no sshd was stopped")
    stopped = _stopped_below(run.pid)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(GIVE_UP_SECONDS)
    run.stderr.close()
    wait_until(lambda: not any(map(_is_living, stopped)), lambda: stopped)
    ran = snapstorm("run", "--config", short, "--target", "borg", "--testbed", bed, "--json")
    assert ran.status == 0, (ran.stdout, ran.stderr)


def _is_living(process: psutil.Process) -> bool:
    """A zombie is not: the first process of a container may reap nobody."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _stopped_below(pid: int) -> list[psutil.Process]:
    """The processes of sshd below this one that stand still."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name() == "sshd" and process.status() == psutil.STATUS_STOPPED:
                found.append(process)
    return found


def test_a_borg_that_serves_every_repository_is_caught(short: Path, scratch: Path) -> None:
    """Whatever it was restricted to."""
    defect = WRAPPER_DEFECTS["serve-lets-into-every-repository"]
    program = make_wrapper(scratch / "planted", find_borg().path, defect.body, HELPERS)
    words = ("run", "--config", short, "--target", "borg", "--program", program, "--seed", "3")
    ran = snapstorm(*words, "--testbed", scratch / "bed", "--json")
    assert ran.status == 1, (ran.stdout, ran.stderr)
    assert [one["guarantee"] for one in ran.json["violations"]] == [defect.guarantee]
