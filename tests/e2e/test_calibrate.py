"""Calibration as a user runs it: what is planted around the real Kopia is caught, and what is honest passes."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from tests.e2e.commandline import command, snapstorm
from tests.e2e.conftest import processes_below
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.cli.calibrate import calibrate_judge
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.kopia.wrapper_defects import WRAPPER_DEFECTS
from snapstorm.targets.wrapper_programs import WrapperDefect

FLIPPED = "restore-flips-a-byte"
WRAPPED = "restore-writes-nothing"


@pytest.fixture
def temporary(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made."""
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    return scratch


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("honest", [0, pytest.param(1, marks=pytest.mark.long)])  # By default in tests/unit.
def test_a_wrapper_is_caught_and_an_honest_one_passes(honest: int, temporary: Path) -> None:
    """Exit status 0, under its right name, and nothing is left."""
    words = ("--target", "kopia", "--only", WRAPPED, "--honest", f"{honest}", "--seed", "1", "--json")
    ran = snapstorm("calibrate", *words)
    assert ran.status == 0, ran.stderr
    assert {found["name"]: found["caught"] for found in ran.json["classes"]} == {WRAPPED: 1}
    assert all(found["guarantee"] in found["named"] for found in ran.json["classes"])
    assert (ran.json["honest_passed"], ran.json["false_alarms"]) == (honest, 0)
    assert f"[{1 + honest}/{1 + honest}]" in ran.stderr
    assert not list(temporary.iterdir())


@pytest.mark.long  # On the simulated target: tests/unit/calibration.
@pytest.mark.usefixtures("nothing_left")
def test_a_wrapper_that_can_not_be_caught_makes_it_fail(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A defect that does nothing is missed: exit status 1, and it is said that it never misbehaved."""
    nothing = WrapperDefect("Does nothing.", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, "")
    monkeypatch.setitem(WRAPPER_DEFECTS, "impossible", nothing)
    assert calibrate_judge(target="kopia", only=["impossible"], honest=0, seed=1, json_output=True) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["runs"], shown["caught"]) == (1, 0)
    assert "misbehaved 0 times" in shown["failures"][0]
    assert not list(temporary.iterdir())


@pytest.mark.usefixtures("nothing_left")
def test_an_interrupted_calibration_leaves_nothing(temporary: Path) -> None:
    """Ctrl-C in the middle of a run: status 130, no process, no file."""
    with subprocess.Popen(
        command("calibrate", "--kind", "kopia", "--only", FLIPPED, "--honest", "5", "--seed", "3"),
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: process.poll() is not None or " server start " in "\n".join(processes_below(temporary)))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=GIVE_UP_SECONDS) == 130
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "restore-flips-a-bite", "--target", "memory"), "restore-flips-a-byte"),
        (("--runs", "0"), "--runs"),
        (("--honest", "-1"), "--honest"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_what_can_not_be_calibrated_is_told(words: tuple[str, ...], said: str) -> None:
    """Status 2, before anything is run."""
    ran = snapstorm("calibrate", *words)
    assert ran.status == 2
    assert said in ran.stderr


@pytest.mark.long
@pytest.mark.usefixtures("nothing_left")
def test_everything_that_is_planted_is_caught(temporary: Path) -> None:
    """Every defect of both targets, under its right name, with twenty honest runs in between and no false alarm."""
    ran = subprocess.run(
        command("calibrate", "--seed", "7", "--json"), capture_output=True, text=True, check=False, timeout=3600
    )
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    assert shown["honest_passed"] == shown["honest"] == 20
    assert not list(temporary.iterdir())
