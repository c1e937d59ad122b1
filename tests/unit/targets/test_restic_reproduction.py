"""A run's commands against restic as a bash script, seen from a program that stands in for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.manifest import Entry, EntryType, Manifest
from snapstorm.targets.plugin import Shown
from snapstorm.targets.restic.reproduction import Script

BED = "/home/somebody/bed"
CLIENT, SERVER = f"{BED}/clients/c@h/connection", f"{BED}/server/administrator/c@h"
SOURCE = f"{BED}/clients/c@h/data"
TREE = Manifest.of(
    [
        Entry(b"", EntryType.DIRECTORY, 0o755, 0, 0, 10**18),
        Entry(b"a\nname", EntryType.FILE, 0o644, 0, 0, 10**18, size=0, digest=b"\0" * 32),
        Entry(b"file", EntryType.FILE, 0o644, 0, 0, 10**18, size=0, digest=b"\0" * 32),
    ]
)
STAND_IN = f"""#!{sys.executable} -IS
import json, os, pathlib, shutil, sys

defect, words = DEFECT, sys.argv[1:]
place = pathlib.Path(os.environ["RESTIC_REPOSITORY"])
kept = place / "kept.json"
known = json.loads(kept.read_text()) if kept.exists() else {{}}
if words[0] == "init":
    place.mkdir(parents=True)
elif words[0] == "backup":
    id = f"{{len(known):064x}}"
    shutil.copytree(words[-1], place / id, symlinks=True)
    known[id] = words[-1]
    files = sum(path.is_file() for path in pathlib.Path(words[-1]).rglob("*")) + (defect == "count")
    print(json.dumps({{"snapshot_id": id, "total_files_processed": files, "total_bytes_processed": 0}}))
elif words[0] == "restore":
    id, target = words[1].partition(":")[0], next(word.partition("=")[2] for word in words if "--target=" in word)
    to = pathlib.Path(target) / pathlib.Path(known[id]).name
    shutil.copytree(place / id, to, symlinks=True)
    if defect == "restore":
        (to / "file").write_text("other")
elif words[0] == "snapshots":
    print(json.dumps([{{"id": id}} for id in known]))
elif words[0] == "forget" and defect != "forget":
    known.pop(words[1])
kept.write_text(json.dumps(known))
"""


def command(
    *words: str, directory: str = CLIENT, operation: str | None = None, snapshot: str | None = None
) -> RecordedCommand:
    return RecordedCommand(
        argv=["/bin/restic", *words],
        directory=directory,
        operation=operation,
        snapshot=snapshot,
        manifest="tree" if snapshot else None,
        source=SOURCE if snapshot else None,
        exit_code=0,
    )


COMMANDS = [
    RecordedCommand(["/bin/rest-server", "--path", f"{BED}/repository"], f"{BED}/server", None, None, None, None, 0),
    command("init", directory=SERVER),
    command("cat", "--cacert=/c.pem", "--retry-lock=2s", "config"),
    command(
        "backup", "--cacert=/c.pem", "--json", "--host=c@h", "--tag=testbed:t", SOURCE, operation="1", snapshot="a1"
    ),
    command("restore", f"a1:{BED}/clients/c@h", "--target=/x", "--sparse", operation="2"),
    command("snapshots", "--json", operation="3"),
    command("forget", "--cacert=/c.pem", "a1", operation="4"),
    command("snapshots", "--json", operation="5"),
    command("snapshots", "--json", directory=f"{BED}/server/impostors/c@h"),
]


def run(tmp_path: Path, guarantee: str, defect: str, **shown: Any) -> subprocess.CompletedProcess[str]:
    script, program = tmp_path / "script.sh", tmp_path / "restic"
    what = Shown(guarantee, operations=["5"], **shown)
    script.write_text("\n".join(Script(lambda _: TREE).lines(COMMANDS, what)) + "\n")
    program.write_text(STAND_IN.replace("DEFECT", repr(defect)))
    program.chmod(0o755)
    return subprocess.run(["bash", script, program], capture_output=True, text=True, check=False)


def test_an_honest_program_shows_nothing(tmp_path: Path) -> None:
    """Every command of the run is done, on a repository of the script's own."""
    done = run(tmp_path, "restored-exactly", "")
    assert (done.returncode, done.stdout) == (0, "not shown\n"), done.stderr


@pytest.mark.parametrize(
    ("guarantee", "defect", "words"),
    [
        ("restored-exactly", "restore", "is not what was taken"),
        ("partial-is-reported", "count", "was acknowledged with total_files_processed: 3"),
        ("deleted-stays-gone", "forget", "is listed although its deletion was acknowledged"),
    ],
)
def test_a_program_that_does_wrong_is_shown_to(tmp_path: Path, guarantee: str, defect: str, words: str) -> None:
    """By the commands of the run alone."""
    done = run(tmp_path, guarantee, defect)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "SHOWN: " in done.stdout
    assert words in done.stdout


@pytest.mark.parametrize(
    ("guarantee", "faults", "words"),
    [
        ("clients-isolated", (), "past all that keeps clients apart"),
        ("no-leak", (), "is measured over the time of a run"),
        ("restored-exactly", ("lose-blob",), "it takes what no command of restic's does (lose-blob)"),
    ],
)
def test_what_commands_can_not_show_is_said(
    tmp_path: Path, guarantee: str, faults: tuple[str, ...], words: str
) -> None:
    """With the status that says so."""
    done = run(tmp_path, guarantee, "", faults=faults)
    assert done.returncode == 2
    assert words in done.stderr
