"""A run's commands as a script: what it does for each, and that it tells an honest program from one that is not."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import Entry, EntryType, Manifest
from snapstorm.targets.borg.reproduction import Script
from snapstorm.targets.plugin import Shown

SERVED = "ssh://c1@h/./repositories/c1@h"


def command(*words: str, operation: str | None = None, source: str | None = None) -> RecordedCommand:
    argv = ["/bin/borg", "--log-json", "--lock-wait=50", *words]
    return RecordedCommand(argv, "/bed/clients/c1@h/connection", operation, None, "digest", source, 0)


MADE = command("init", "--encryption=repokey", "file:///bed/repository/c1@h.new")
CREATED = command(
    "create", "--json", '--comment={{"x"}}', f"{SERVED}::r1-c1-1", "data", operation="r1-c1-1", source="/w/data"
)
LISTED = command("list", "--json", SERVED, operation="r1-c1-2")
EXTRACTED = command("extract", "--sparse", f"{SERVED}::r1-c1-1", operation="r1-c1-3")
PART = command("extract", f"{SERVED}::r1-c1-1", r"re:^[^/]+/d/a\ \(b\)(?:/|\Z)")
DELETED = command("delete", f"{SERVED}::r1-c1-1")
COMPACTED = command("compact", "--threshold=0", "file:///bed/repository/c1@h")

TREE = Manifest.of(
    [
        Entry(b"", EntryType.DIRECTORY, 0o755, 0, 0, 10**9),
        Entry(b"f", EntryType.FILE, 0o644, 0, 0, 10**9, 3, b"x" * 32, target=b"1", xattrs=((b"user.a", b"v"),)),
        Entry(b"g", EntryType.FILE, 0o644, 0, 0, 10**9, 3, b"x" * 32, target=b"1", xattrs=((b"user.a", b"v"),)),
        Entry(b"p", EntryType.FIFO, 0o644, 0, 0, 10**9),
    ]
)


def lines_of(*commands: RecordedCommand) -> list[str]:
    """What the script does, below its functions."""
    text = list(Script(lambda _: TREE).lines(commands, Shown(Guarantee.RESTORED_EXACTLY, {None})))
    return [line for line in text if line.startswith(("set_up ", "take ", "restore ", "list ", "delete ", "must "))]


def test_each_command_is_done_on_a_repository_in_a_directory() -> None:
    """Names and places of the run become those of the script; what has no meaning there is left out."""
    place = '"$BED"/repository/c1@h'
    assert lines_of(MADE, CREATED, LISTED, EXTRACTED, PART, COMPACTED, DELETED) == [
        f'set_up c1@h "$BED" init --encryption=repokey {place}',
        f'take 1 c1@h {place} r1-c1-1 "$BED"/sources/c1@h/data create --json {place}::r1-c1-1 data',
        f"list c1@h {place} list --json {place}",
        f"restore 1 c1@h '' extract --sparse {place}::r1-c1-1",
        f"restore 1 c1@h 'd/a (b)' extract {place}::r1-c1-1 're:^[^/]+/d/a\\ \\(b\\)(?:/|\\Z)'",
        f'must c1@h "$BED" compact --threshold=0 {place}',
        f"delete c1@h 1 delete {place}::r1-c1-1",
    ]


def test_a_server_makes_no_difference() -> None:
    """Over ssh the commands are the same words, and sshd's own is not one of borg's."""
    server = replace(MADE, argv=["/usr/sbin/sshd", "-D", "-e"])
    assert lines_of(MADE, CREATED, EXTRACTED, server) == lines_of(MADE, CREATED, EXTRACTED)


def test_trees_are_made_with_all_that_borg_keeps() -> None:
    """Hard links, FIFOs and attributes."""
    lines = list(Script(lambda _: TREE).lines([MADE, CREATED], Shown(Guarantee.RESTORED_EXACTLY, {None})))
    root = '"$BED"/sources/c1@h/data'
    assert f"ln {root}/f {root}/g" in lines
    assert f"mkfifo {root}/p" in lines
    assert f"set_xattr {root}/f user.a 76" in lines


@pytest.mark.parametrize(
    ("shown", "commands", "words"),
    [
        (Shown(Guarantee.NO_LEAK, {None}), [MADE], "measured over the time of a run"),
        (Shown(Guarantee.CLIENTS_ISOLATED, {None}), [MADE], "past all that keeps clients apart"),
        (Shown(Guarantee.NOTHING_UNREQUESTED, {None}), [MADE], "own account"),
        (Shown(Guarantee.AVAILABLE, {None}, ("lose-blob",)), [MADE], "lose-blob"),
        (
            Shown(Guarantee.AVAILABLE, {None}),
            [MADE, replace(LISTED, argv=["/bin/other", *LISTED.argv[1:]])],
            "several programs",
        ),
    ],
)
def test_what_can_not_be_shown_is_said(
    shown: Shown, commands: list[RecordedCommand], words: str, scratch: Path
) -> None:
    """With status 2 and one line."""
    file = scratch / "reproduce.sh"
    file.write_text("\n".join(Script(lambda _: TREE).lines(commands, shown)) + "\n")
    ran = subprocess.run(["bash", str(file)], capture_output=True, text=True, timeout=GIVE_UP_SECONDS, check=False)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert words in ran.stderr


RESPONSE = '{"archive": {"stats": {"nfiles": 1, "original_size": 3}}}'
FAKE = """#!/bin/sh
case $1 in
    create) rm -rf "$KEPT"; cp -a data "$KEPT"; echo '%s' ;;
    extract) cp -a "$KEPT" data; %s ;;
    list) echo '{"archives": [{"name": "r1-c1-1"}]}' ;;
esac
"""


@pytest.mark.parametrize(
    ("spoiled", "status"),
    [
        ("", 0),
        ("echo y >>data/f", 1),
        ("rm data/p", 1),
        ("cp data/g data/h; mv data/h data/g; touch -d @1 data/g data", 1),
        ("touch -d @7 data/f", 1),
        ("rm -r data", 1),
    ],
)
def test_a_program_that_brings_back_something_else_is_shown(spoiled: str, status: int, scratch: Path) -> None:
    """And one that brings back what it was given is not."""
    text = Script(lambda _: TREE).lines([MADE, CREATED, LISTED, EXTRACTED], Shown(Guarantee.RESTORED_EXACTLY, {None}))
    file, program = scratch / "reproduce.sh", scratch / "borg"
    file.write_text("\n".join(text) + "\n")
    program.write_text(FAKE % (RESPONSE, spoiled))
    program.chmod(0o755)
    ran = subprocess.run(
        ["bash", str(file), str(program)],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(scratch), "KEPT": str(scratch / "kept")},
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )
    assert ran.returncode == status, (ran.stdout, ran.stderr)
