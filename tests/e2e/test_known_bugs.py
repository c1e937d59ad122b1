"""Known bugs of Kopia show in the versions that have them, and in no others; nothing is left of it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.commandline import command, lines_of, snapstorm
from tests.e2e.conftest import processes_below
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.targets.kopia.discovery import find_version
from snapstorm.targets.kopia.known_bugs.bench import MEASURED
from snapstorm.targets.kopia.known_bugs.table import BUGS

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def own_temporary(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where benches are made; must be empty afterwards."""
    path = scratch / "temporary"
    path.mkdir()
    path.chmod(0o711)
    scratch.chmod(0o711)  # One of the bugs needs a user without rights, who has to get there.
    monkeypatch.setenv("TMPDIR", str(path))
    return path


@pytest.mark.long
@pytest.mark.parametrize("key", BUGS)
def test_a_bug_shows_in_just_the_versions_that_have_it(key: str, own_temporary: Path) -> None:
    """Over the three versions, with the guarantee that the table names."""
    for version in MEASURED:
        ran = snapstorm("known-bugs", key, "--kopia", find_version(version), "--json")
        assert ran.status == 0, (ran.stdout, ran.stderr)
        (row,) = ran.json["rows"]
        assert (row["bug"], row["version"]) == (key, version)
        assert row["is_as_expected"] is True
        assert bool(row["detail"]) is (row["seen"] != "pass")
    assert not list(own_temporary.iterdir())


@pytest.mark.parametrize(
    ("key", "seen"), [("4560", "pass"), ("#5564", "restored-exactly"), ("root-unsaved", "partial-is-reported")]
)
def test_a_version_has_what_it_is_known_to_have(key: str, seen: str, own_temporary: Path) -> None:
    """One that was mended, and one that was not."""
    ran = snapstorm("known-bugs", key, "--kopia", find_version("0.23.1"))
    assert ran.status == 0, ran.stderr
    head, row, *details = lines_of(ran.stdout)
    assert head.split() == ["bug", "version", "expected", "seen", "seconds"]
    assert row.split()[:-1] == [key.removeprefix("#"), "0.23.1", seen, seen, "ok"]
    assert len(details) == (seen != "pass")
    assert not list(own_temporary.iterdir())


@pytest.mark.parametrize(("key", "status"), [("4560", 0), ("5564", 1)])
def test_nothing_is_expected_of_an_unknown_version(
    key: str, status: int, wrapper: Callable[..., Path], own_temporary: Path
) -> None:
    """The exit status then says whether a guarantee was broken."""
    body = 'if argv == ["--version"]:\n    print("9.9.9 build: x from: y")\n    sys.exit(0)\n'
    ran = snapstorm("known-bugs", key, "--kopia", wrapper(body), "--json")
    assert ran.status == status, ran.stderr
    (row,) = ran.json["rows"]
    assert (row["version"], row["expected"], row["is_as_expected"]) == ("9.9.9", None, None)


def test_an_unknown_bug_is_refused() -> None:
    """In one line, with the nearest."""
    ran = snapstorm("known-bugs", "5731")
    assert (ran.status, ran.stdout) == (2, "")
    (line,) = lines_of(ran.stderr)
    assert "did you mean '5371'?" in line


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--known", "weeks-expires"), "did you mean 'weeks-expire'?"),
        (("--known", "weeks-expire", "--known", "#5371"), "of the bug #5371; of these it can: weeks-expire"),
        (("--target", "memory", "--known", "weeks-expire"), "no bugs of the target memory are known"),
    ],
)
def test_a_run_is_told_only_of_bugs_that_predict(words: tuple[str, ...], why: str, scratch: Path) -> None:
    """One line, and nothing is made."""
    ran = snapstorm("run", "--testbed", scratch / "bed", *words)
    assert (ran.status, ran.stdout) == (2, "")
    (line,) = lines_of(ran.stderr)
    assert why in line
    assert not (scratch / "bed").exists()


@pytest.mark.parametrize("key", ["4866", "5157", "5371"])
def test_an_interrupt_leaves_nothing(key: str, real_kopia: Path, own_temporary: Path) -> None:
    """No process, no directory, no mount; whatever was going on."""
    arguments = command("known-bugs", key, "--kopia", real_kopia)
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        wait_until(lambda: running.poll() is not None or processes_below(own_temporary))
        time.sleep(0.5)  # Any moment will do.
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=GIVE_UP_SECONDS)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert not list(own_temporary.iterdir())
    assert str(own_temporary) not in Path("/proc/self/mountinfo").read_text()
