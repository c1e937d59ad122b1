"""What commands leave behind, files or processes, is found, named, and gone when the run has ended."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.e2e.commandline import scenario, snapstorm

from snapstorm.targets.kopia.wrapper_defects import LEAVING_BEHIND
from snapstorm.targets.kopia.wrappers import make_wrapper
from snapstorm.targets.wrapper_programs import times_struck

pytestmark = pytest.mark.usefixtures("nothing_left")

SCENARIO = scenario(
    "write-random-files count = 5, size_bytes = '1..5000', odd_percent = 0",
    "snapshot-root repeat = 2",
    "restore-random-snapshot repeat = 2",
    "list-snapshots repeat = 2",
    clients=1,
)

SOON_GONE = """
if argv[:2] == ["snapshot", "create"]:
    subprocess.Popen(["/bin/sleep", "0.2"], env={}, cwd="/", start_new_session=True, stdout=subprocess.DEVNULL)
"""
"""A process that escapes and ends by itself."""

HELPER_SECONDS = str(100_000 + os.getpid())
"""Tells the helper from those of other tests at the same time."""

SERVER_HAS_A_HELPER = f"""
if argv[:2] == ["server", "start"]:
    words = ["/bin/sh", "-c", "/bin/sleep {HELPER_SECONDS} &"]
    subprocess.run(words, env={{}}, cwd="/", start_new_session=True, stdout=subprocess.DEVNULL)
"""
"""A process that escapes while the server starts, and serves as long as it."""


def has_helper() -> bool:
    for process in psutil.process_iter():
        try:
            if process.cmdline() == ["/bin/sleep", HELPER_SECONDS]:
                return True
        except psutil.Error:
            continue
    return False


@pytest.mark.parametrize("name", [*LEAVING_BEHIND, "restore-leaves-a-file-beside"])
def test_what_is_left_behind_is_found_and_goes(name: str, scratch: Path, real_kopia: Path) -> None:
    """Under `no-leak`, with its name in the evidence. Nothing of it is there afterwards."""
    (scratch / "scenario.toml").write_text(SCENARIO)
    words, planted, bed = ["--target", f"kopia:{name}"], scratch / "planted", scratch / "bed"
    if name in LEAVING_BEHIND:
        words = ["--kopia", str(make_wrapper(planted, real_kopia, LEAVING_BEHIND[name].body))]
    ran = snapstorm(
        "run", "--config", scratch / "scenario.toml", "--mode", "direct", *words, "--testbed", bed, "--json"
    )
    assert ran.status == 1, ran.stderr
    assert name not in LEAVING_BEHIND or times_struck(planted) > 0
    assert [found["guarantee"] for found in ran.json["violations"]] == ["no-leak"]
    evidence = Path(ran.json["violations"][0]["evidence"])
    left = (evidence / "left-behind.txt").read_text()
    assert left.strip()
    assert bool(re.findall(r"process \d+", left)) == (name == "create-leaves-a-process")
    assert not any(psutil.pid_exists(int(pid)) for pid in re.findall(r"process (\d+)", left))
    assert not (bed / "tmp").exists()
    assert list(bed.glob("clients/*/restores/*")) == []


@pytest.mark.parametrize(
    ("body", "mode"),
    [(SOON_GONE, "direct"), (SERVER_HAS_A_HELPER, "server")],
    ids=["soon-gone", "helper-of-the-server"],
)
def test_what_may_escape_is_no_violation(body: str, mode: str, wrapper: Callable[[str], Path], scratch: Path) -> None:
    """A process that is gone within the time of grace, or that belongs to the server; it is gone afterwards, too."""
    (scratch / "scenario.toml").write_text(scenario("write-random-files count = 2", "snapshot-root", clients=1))
    ran = snapstorm(
        "run", "--config", scratch / "scenario.toml", "--kopia", wrapper(body), "--testbed", scratch / "bed", "--json",
        "--mode", mode,
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert not has_helper()
