"""`snapstorm shrink`: a failing history becomes small, and what comes of it shows the violation by itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.commandline import Ran, command, snapstorm
from tests.e2e.conftest import Recorded
from tests.e2e.test_replay import HISTORY
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.cli import shrink as shrink_command
from snapstorm.cli.shrink import Effort
from snapstorm.errors import HarnessError
from snapstorm.model.events import Listener
from snapstorm.replay import attempts as do_again_module
from snapstorm.replay.attempts import Again
from snapstorm.replay.shrinking import Trials, is_testbed_of
from snapstorm.run.harness import HarnessOptions
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.reduction import OutOfTime
from snapstorm.scenario.scenarios import Scenario, parse_scenario
from snapstorm.targets.kopia.discovery import find_kopia

SMALL_HISTORY = HISTORY.replace("actions = 150", "actions = 40").replace("clients = 4", "clients = 2")


def shrink(*words: str | Path, seconds_max: float = GIVE_UP_SECONDS) -> Ran:
    return snapstorm("shrink", *words, "--json", seconds_max=seconds_max)


@pytest.mark.parametrize(
    ("defect", "actions_max"),
    [
        pytest.param("restore-flips-a-byte", 3, marks=pytest.mark.long),  # As other tests here.
        # Every second snapshot skips: in what was recorded that is the first one of the second client.
        pytest.param("create-skips-a-file", 4, marks=pytest.mark.long),
        ("restore-gives-a-stale-version", 5),
    ],
)
def test_a_long_history_becomes_a_few_actions(scratch: Path, recorded: Recorded, defect: str, actions_max: int) -> None:
    """Within a hundred executions; and the program made of it fails against this target, and not against a good one."""
    bed = recorded(f"memory:{defect}", HISTORY)
    shrunk = shrink(bed, "--output", scratch / "out")
    assert shrunk.status == 0, shrunk.stderr
    assert len(shrunk.json["steps"]) <= actions_max
    assert shrunk.json["executions"] <= 100
    assert shrunk.json["shown"] == {"times": 3, "of": 3}
    config = scratch / "out" / "scenario.toml"
    assert snapstorm("run", "--config", config, "--target", f"memory:{defect}").status == 1
    assert snapstorm("run", "--config", config, "--target", "memory").status == 0
    program = next((scratch / "out").glob("test_*.py"))
    assert run_program(program, f"memory:{defect}") == 1
    assert run_program(program, "memory") == 0
    assert not list((scratch / "out").glob(".trials-*"))


def run_program(program: Path, target: str) -> int:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(program), "--snapstorm-target", target]
    return subprocess.run(
        [sys.executable, *words], cwd=program.parent, capture_output=True, timeout=GIVE_UP_SECONDS, check=False
    ).returncode


def test_out_of_time_it_goes_on_where_it_stopped(scratch: Path, recorded: Recorded) -> None:
    """What was tried is not tried again, and the best so far is there."""
    bed = recorded("memory:restore-gives-a-stale-version", HISTORY)
    first = shrink(bed, "--minutes", "0.03", "--output", scratch / "out")
    assert first.status == 0, first.stderr
    assert first.json["ending"] == "out of time"
    second = shrink(bed, "--output", scratch / "out")
    assert second.json["ending"] == "done"
    assert len(second.json["steps"]) <= 5
    assert second.json["executions"] > first.json["executions"]


def test_a_violation_that_does_not_come_back(scratch: Path, recorded: Recorded) -> None:
    """Is said to be none that could be shrunk."""
    bed = recorded("memory:restore-flips-a-byte", HISTORY)
    gone = shrink(bed, "--target", "memory", "--output", scratch / "out")
    assert gone.status == 4
    assert "did not come back in 10 times" in gone.stderr


def test_the_answers_of_another_program_are_not_mixed_in(scratch: Path, recorded: Recorded) -> None:
    """It is refused in the same directory, in one line, and what is there stays and can be gone on with."""
    bed = recorded("memory:create-skips-a-file", HISTORY)
    first = shrink(bed, "--minutes", "0.03")
    assert first.status == 0, first.stderr
    refused = shrink(bed, "--target", "memory")
    assert (refused.status, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    assert "tried on memory:create-skips-a-file, not of" in refused.stderr
    assert "--output" in refused.stderr
    second = shrink(bed)
    assert second.status == 0, second.stderr
    assert second.json["shown"] == {"times": 3, "of": 3}


def test_answers_hold_for_the_repeats_that_gave_them(scratch: Path, recorded: Recorded) -> None:
    """Gone on with other ones, candidates are tried anew: what showed nothing once may show it in three times."""
    bed = recorded("memory:create-skips-a-file", SMALL_HISTORY)
    state = bed / "runs/0001/shrunk/progress.json"
    assert shrink(bed).status == 0
    before = json.loads(state.read_text())["tried"]
    assert shrink(bed, "--repeats", "3", "--needed", "2").status == 0
    after = json.loads(state.read_text())["tried"]
    assert before.items() <= after.items()
    assert {key.split(":")[0] for key in before} == {"1 of 1"}
    assert {key.split(":")[0] for key in after} == {"1 of 1", "2 of 3"}


def after_times(monkeypatch: pytest.MonkeyPatch, times: int, then: Callable[[Again], Again]) -> None:
    """Have each candidate that comes after so many others end otherwise."""
    done: list[Again] = []

    async def do_again(base: HarnessOptions, scenario: Scenario, testbed: Path | None, listener: Listener) -> Again:
        if len(done) == times:  # What would come of it does not count.
            return then(done[-1])
        done.append(await do_again_module.do_again(base, scenario, testbed, listener))
        return done[-1]

    monkeypatch.setattr(shrink_command, "do_again", do_again)


def without_violations(again: Again) -> Again:
    return Again(again.result, None, frozenset())


@pytest.mark.parametrize("repeats", [None, 2])
def test_what_is_not_shown_any_more_in_the_end_is_not_made_smaller(
    scratch: Path,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    repeats: int | None,
) -> None:
    """It had been shown; but who reads that it was made smaller would believe in a scenario that passes."""
    bed = recorded("memory:create-skips-a-file", SMALL_HISTORY)
    after_times(monkeypatch, 7, without_violations)
    assert (
        shrink_command.shrink(str(bed), output=scratch / "out", json_output=True, effort=Effort(repeats=repeats)) == 4
    )
    said = capsys.readouterr()
    assert "not made smaller: " in said.err
    assert "in the end 0 of 3 times" in said.err
    assert json.loads(said.out)["shown"] == {"times": 0, "of": 3}
    # And the same again, gone on with.
    assert shrink_command.shrink(str(bed), output=scratch / "out") == 4


@pytest.mark.parametrize("repeats", [None, 3])
def test_whenever_it_stops_all_files_are_of_one_candidate(
    scratch: Path,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    repeats: int | None,
) -> None:
    """Out of time after any number of executions, all of which are told, it leaves the testbed of its scenario."""
    bed, out, told = recorded("memory:restore-flips-a-byte", SMALL_HISTORY), scratch / "out", 0
    once = Trials.once
    for left_each in (1, 2, 3, 2, 4, 5, 1, 3, 5, 7, 4, 6, 8, 9, 50, 100):
        left = left_each

        async def once_more(self: Trials, recording: Recording, *, is_last: bool = True) -> bool:
            nonlocal left
            left -= 1
            if left < 0:
                raise OutOfTime
            return await once(self, recording, is_last=is_last)

        monkeypatch.setattr(Trials, "once", once_more)
        assert shrink_command.shrink(str(bed), output=out, effort=Effort(repeats=repeats), json_output=True) == 0
        found = json.loads(capsys.readouterr().out)
        told += left_each - max(0, left)
        assert found["executions"] == told
        assert is_testbed_of(out / "testbed", recording_in(out / "scenario.toml"))
        if found["ending"] == "done":
            break
    else:
        pytest.fail("it came to no end")


def recording_in(file: Path) -> Recording:
    found = parse_scenario(file.read_text(), str(file)).recorded
    assert found is not None
    return found


def test_a_candidate_that_the_machine_could_not_do_is_tried_again(
    scratch: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found until then stays, and the one that could not be done is no answer in the state."""
    bed, out = recorded("memory:restore-flips-a-byte", SMALL_HISTORY), scratch / "out"
    after_times(monkeypatch, 4, lambda again: Again(None, "the disk is full", frozenset()))
    with pytest.raises(HarnessError, match="the disk is full"):
        shrink_command.shrink(str(bed), output=out, json_output=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["ending"], found["executions"]) == ("failed", 4)
    assert is_testbed_of(out / "testbed", recording_in(out / "scenario.toml"))
    tried = json.loads((out / "progress.json").read_text())["tried"]
    assert len(tried) <= 4
    monkeypatch.undo()
    assert shrink_command.shrink(str(bed), output=out, json_output=True) == 0
    assert len(json.loads(capsys.readouterr().out)["steps"]) <= 3


def test_a_moved_testbed_takes_its_shrinking_along(scratch: Path, recorded: Recorded) -> None:
    """Also to another name, and as a copy."""
    bed = recorded("memory:restore-flips-a-byte", SMALL_HISTORY)
    first = shrink(bed, "--minutes", "0.03")
    assert first.status == 0, first.stderr
    shutil.copytree(bed, scratch / "copied", symlinks=True)
    bed.rename(scratch / "moved")
    for place in ("moved", "copied"):
        second = shrink(scratch / place)
        assert second.status == 0, second.stderr
        assert second.json["ending"] == "done"
        assert second.json["executions"] > first.json["executions"]
        assert all(file.startswith(str(scratch / place)) for file in second.json["files"])


def test_out_of_time_without_the_testbed_it_makes_what_can_be_made(scratch: Path, recorded: Recorded) -> None:
    """The scenario and the test; a script of another candidate does not stay, and the words name no mistake of ours."""
    bed, out = recorded("memory:restore-flips-a-byte", SMALL_HISTORY), scratch / "out"
    assert shrink(bed, "--output", out).status == 0
    shutil.rmtree(out / "testbed")
    (out / "reproduce.sh").write_text("exit 1")
    again = shrink(bed, "--output", out, "--minutes", "0.000001")
    assert again.status == 0, again.stderr
    assert again.json["ending"] == "out of time"
    assert {Path(file).name for file in again.json["files"]} == {"scenario.toml", "test_restored_exactly.py"}
    assert not (out / "reproduce.sh").exists()
    assert "no script of its commands" in again.stderr
    assert "there is no testbed" not in again.stderr
    last = shrink(bed, "--output", out)
    assert last.status == 0, last.stderr
    assert is_testbed_of(out / "testbed", recording_in(out / "scenario.toml"))


def test_what_a_killed_one_leaves_goes_with_the_next(scratch: Path, recorded: Recorded) -> None:
    """And as long as it is at work, no other one works in the same directory."""
    bed, out = recorded("memory:restore-gives-a-stale-version", HISTORY), scratch / "out"
    (out / ".trials-notes").mkdir(parents=True)
    with subprocess.Popen(command("shrink", bed, "--output", out), stderr=subprocess.DEVNULL) as killed:
        wait_until(lambda: any(out.glob(".trials-*/*/ledger.sqlite3")))
        killed.send_signal(signal.SIGSTOP)  # So that it is surely at work.
        refused = shrink(bed, "--output", out)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert (refused.status, len(refused.stderr.splitlines())) == (3, 1), refused.stderr
    assert "another shrink is at work" in refused.stderr
    assert len(list(out.glob(".trials-*"))) == 2
    shrunk = shrink(bed, "--output", out, "--minutes", "0.01")
    assert shrunk.status in {0, 4}, shrunk.stderr
    assert [path.name for path in out.glob(".trials-*")] == [".trials-notes"]


def test_bad_input_is_one_line(scratch: Path, recorded: Recorded) -> None:
    """Nothing to shrink, a place that holds something else, strange numbers, another guarantee."""
    healthy = recorded("memory", SMALL_HISTORY).rename(scratch / "healthy")
    for words in (
        (healthy,),
        (scratch / "none",),
        (healthy, "--minutes", "0"),
        (healthy, "--repeats", "0"),
        (healthy, "--needed", "2"),
    ):
        refused = shrink(*words)
        assert (refused.status, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    bed = recorded("memory:restore-flips-a-byte", SMALL_HISTORY)
    refused = shrink(bed, "--guarantee", "available")
    assert (refused.status, len(refused.stderr.splitlines())) == (2, 1)
    (scratch / "out").mkdir()
    (scratch / "out" / "progress.json").write_text(json.dumps({"version": 1, "run": "another"}))
    refused = shrink(bed, "--output", scratch / "out")
    assert (refused.status, len(refused.stderr.splitlines())) == (2, 1)


WRAPPER = """\
    #!{python}
    # The real one, but for the seventh restore from a testbed in which there is a byte to change: it changes one.
    import os, subprocess, sys
    words = sys.argv[1:]
    if words[:1] != ["restore"]:
        os.execv({kopia!r}, [{kopia!r}, *words])
    status = subprocess.call([{kopia!r}, *words])
    tree = [word for word in words if word.startswith("/")][-1]
    paths = sorted(os.path.join(place, name) for place, _, names in os.walk(tree) for name in names)
    paths = [path for path in paths if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path)]
    if status or not paths:
        sys.exit(status)
    count = os.environ["HOME"].split("/clients/")[0].split("/server")[0] + "/restores"
    with open(count, "ab", buffering=0) as file:
        file.write(b"x")
        number = file.tell()  # Of two at once each has its own.
    if number == 7:
        path = paths[0]
        was = os.stat(path)
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))
        os.chmod(path, was.st_mode)
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
"""


@pytest.mark.long
def test_a_byte_in_the_seventh_restore_of_the_real_program(scratch: Path) -> None:
    """At most four actions; and the script of bare commands shows it with that program, and not with the real one."""
    kopia = str(find_kopia(None).path)
    wrapper = scratch / "kopia-wrapper"
    wrapper.write_text(textwrap.dedent(WRAPPER).format(python=sys.executable, kopia=kopia))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    config, bed = scratch / "history.toml", scratch / "bed"
    config.write_text(HISTORY.replace("actions = 150", "actions = 60"))
    ran = snapstorm("run", "--config", config, "--kopia", wrapper, "--testbed", bed, "--seed", "3")
    assert ran.status == 1, ran.stderr
    shrunk = shrink(bed, "--output", scratch / "out", seconds_max=900)
    assert shrunk.status == 0, shrunk.stderr
    assert len(shrunk.json["steps"]) <= 4
    script = scratch / "out" / "reproduce.sh"
    assert run_script(script, str(wrapper)) == 1
    assert run_script(script, kopia) == 0


def run_script(script: Path, program: str) -> int:
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(script.parent)}
    return subprocess.run(
        ["bash", str(script), program], env=environment, capture_output=True, timeout=GIVE_UP_SECONDS, check=False
    ).returncode
