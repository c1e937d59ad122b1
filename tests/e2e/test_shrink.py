"""`snapstorm shrink`: a failing history becomes small, and what comes of it shows the violation by itself."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.e2e.commandline import Ran, snapstorm
from tests.e2e.test_replay import HISTORY, record

from snapstorm.targets.kopia.discovery import find_kopia


def shrink(*words: str | Path, seconds_max: float = 200) -> Ran:
    return snapstorm("shrink", *words, "--json", seconds_max=seconds_max)


@pytest.mark.parametrize(
    ("defect", "actions_max"),
    [("restore-flips-a-byte", 3), ("create-skips-a-file", 3), ("restore-gives-a-stale-version", 5)],
)
def test_a_long_history_becomes_a_few_actions(scratch: Path, defect: str, actions_max: int) -> None:
    """Within a hundred executions; and the program made of it fails against this target, and not against a good one."""
    bed = record(scratch, f"memory:{defect}")
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
        [sys.executable, *words], cwd=program.parent, capture_output=True, timeout=120, check=False
    ).returncode


def test_out_of_time_it_goes_on_where_it_stopped(scratch: Path) -> None:
    """What was tried is not tried again, and the best so far is there."""
    bed = record(scratch, "memory:restore-gives-a-stale-version")
    first = shrink(bed, "--minutes", "0.03", "--output", scratch / "out")
    assert first.status == 0, first.stderr
    assert first.json["ending"] == "out of time"
    second = shrink(bed, "--output", scratch / "out")
    assert second.json["ending"] == "done"
    assert len(second.json["steps"]) <= 5
    assert second.json["executions"] > first.json["executions"]


def test_a_violation_that_does_not_come_back(scratch: Path) -> None:
    """Is said to be none that could be shrunk."""
    bed = record(scratch, "memory:restore-flips-a-byte")
    gone = shrink(bed, "--target", "memory", "--output", scratch / "out")
    assert gone.status == 4
    assert "did not come back in 10 times" in gone.stderr


def test_bad_input_is_one_line(scratch: Path) -> None:
    """Nothing to shrink, a place that holds something else, strange numbers, another guarantee."""
    healthy = record(scratch, "memory")
    for words in (
        (healthy,),
        (scratch / "none",),
        (healthy, "--minutes", "0"),
        (healthy, "--repeats", "0"),
        (healthy, "--needed", "2"),
    ):
        refused = shrink(*words)
        assert (refused.status, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    other = scratch / "other"
    other.mkdir()
    bed = record(other, "memory:restore-flips-a-byte")
    refused = shrink(bed, "--guarantee", "available")
    assert (refused.status, len(refused.stderr.splitlines())) == (2, 1)
    (scratch / "out").mkdir()
    (scratch / "out" / "progress.json").write_text(json.dumps({"version": 1, "run": "another"}))
    refused = shrink(bed, "--output", scratch / "out")
    assert (refused.status, len(refused.stderr.splitlines())) == (2, 1)


WRAPPER = """\
    #!{python}
    # The real one, but for the seventh restore from a testbed, of which it changes a byte.
    import os, subprocess, sys
    words = sys.argv[1:]
    if words[:1] != ["restore"]:
        os.execv({kopia!r}, [{kopia!r}, *words])
    status = subprocess.call([{kopia!r}, *words])
    count = os.environ["HOME"].split("/clients/")[0].split("/server")[0] + "/restores"
    with open(count, "a") as file:
        file.write("x")
    if status == 0 and os.path.getsize(count) == 7:
        tree = [word for word in words if word.startswith("/")][-1]
        for place, _, names in os.walk(tree):
            for name in sorted(names):
                path = os.path.join(place, name)
                if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path):
                    was = os.stat(path)
                    os.chmod(path, 0o600)
                    with open(path, "r+b") as file:
                        first = file.read(1)
                        file.seek(0)
                        file.write(bytes([first[0] ^ 1]))
                    os.chmod(path, was.st_mode)
                    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
                    sys.exit(0)
    sys.exit(status)
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
        ["bash", str(script), program], env=environment, capture_output=True, timeout=180, check=False
    ).returncode
