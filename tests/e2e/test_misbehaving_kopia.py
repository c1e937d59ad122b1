"""A Kopia that lies is found out: three wrappers around the real one, each breaking one promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.commandline import snapstorm

SCENARIO = """
clients = 2

[[steps]]
action = "write-random-files"
count = 20
size_bytes = "5000..30000"
odd_percent = 0

[[steps]]
action = "snapshot-root"

[[steps]]
action = "modify-files"

[[steps]]
action = "snapshot-root"

[[steps]]
action = "restore-random-snapshot"

[[steps]]
action = "delete-random-snapshot"

[[steps]]
action = "list-snapshots"
"""

FLIPS_A_BYTE = """
if argv[:1] == ["restore"] and nth(1):
    done = run(argv)
    destination = pathlib.Path(positional()[-1])
    victim = max((path for path in destination.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    stat = victim.stat()
    content = bytearray(victim.read_bytes())
    content[4500] ^= 0x20
    with open(victim, "r+b") as file:
        file.write(content)
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    sys.stderr.buffer.write(done.stderr)
    sys.exit(done.returncode)
"""

IGNORES_DELETIONS = """
if argv[:2] == ["snapshot", "delete"]:
    sys.exit(0)
"""

DELETES_WHAT_IT_ACKNOWLEDGED = """
if argv[:2] == ["snapshot", "create"] and nth(2):
    done = run(argv)
    run(["snapshot", "delete", json.loads(done.stdout)["id"], "--delete"])
    sys.stdout.buffer.write(done.stdout)
    sys.exit(done.returncode)
"""


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("body", "guarantee"),
    [
        (FLIPS_A_BYTE, "restored-exactly"),
        (IGNORES_DELETIONS, "deleted-stays-gone"),
        (DELETES_WHAT_IT_ACKNOWLEDGED, "acknowledged-stays-listed"),
    ],
    ids=["flips-a-byte", "ignores-deletions", "deletes-what-it-acknowledged"],
)
def test_a_lying_kopia_is_found_out(body: str, guarantee: str, wrapper: Callable[[str], Path], scratch: Path) -> None:
    """The run ends violated with status 1, names the guarantee, and keeps evidence of it."""
    config = scratch / "scenario.toml"
    config.write_text(SCENARIO)
    ran = snapstorm(
        "run", "--config", config, "--kopia", wrapper(body), "--testbed", scratch / "testbed", "--json", "--seed", "5"
    )
    assert ran.status == 1, ran.stderr
    assert ran.json["verdict"] == "violated"
    violations = [found for found in ran.json["violations"] if found["guarantee"] == guarantee]
    assert violations, ran.json["violations"]
    evidence = Path(violations[0]["evidence"])
    assert (evidence / "violation.txt").stat().st_size > 0
    assert "client.execute(" in (evidence / "program.py").read_text()
    if guarantee == "restored-exactly":
        check_flipped_byte(violations[0], evidence)


def check_flipped_byte(violation: dict[str, Any], evidence: Path) -> None:
    """The file, the offset and the kind are named, and the restored tree was kept."""
    assert violation["path"]
    assert "4,500" in violation["detail"] or "4500" in violation["detail"], violation["detail"]
    assert "flip" in violation["detail"] or "changed" in violation["detail"], violation["detail"]
    assert (evidence / "restored").is_dir()
    assert "restore" in (evidence / "commands.txt").read_text()


def test_a_wrapper_that_does_nothing_passes(wrapper: Callable[[str], Path], scratch: Path) -> None:
    """The same run through an honest wrapper passes: what was found above was the lie, not the wrapper."""
    config = scratch / "scenario.toml"
    config.write_text(SCENARIO)
    ran = snapstorm("run", "--config", config, "--kopia", wrapper(""), "--testbed", scratch / "testbed", "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["verdict"] == "pass"
