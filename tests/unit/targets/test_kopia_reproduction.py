"""The script of bare commands: what it expects of a program, and that it says so where it can't show something."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import ROOT, Entry, EntryType, Manifest
from snapstorm.targets.kopia.reproduction import WHY_NOT, Script
from snapstorm.targets.plugin import Shown

CONNECTION = "/bed/clients/c1@h/connection"
SOURCE = "/bed/clients/c1@h/data"
TREE = Manifest.of(
    [
        Entry(path=ROOT, type=EntryType.DIRECTORY, mode=0o755, uid=0, gid=0, mtime_ns=0),
        Entry(path=b"a", type=EntryType.FILE, mode=0o644, uid=0, gid=0, mtime_ns=0, size=3, digest=b"a" * 32),
    ]
)


def command(*words: str, directory: str = CONNECTION, operation: str | None = None, status: int = 0) -> RecordedCommand:
    return RecordedCommand(
        argv=["/bin/kopia", *words],
        directory=directory,
        operation=operation,
        snapshot=None,
        manifest=None,
        source=None,
        exit_code=status,
    )


MADE = command("repository", "create", "filesystem", "--path=/bed/repository", directory="/bed/server")
CREATED = replace(
    command("snapshot", "create", "--json", SOURCE, operation="r1-c1-1"), snapshot="abc", manifest="m", source=SOURCE
)
RESTORED = command("restore", "abc", "/bed/clients/c1@h/restores/r1-c1-2/tree", operation="r1-c1-2")
REMOVED = command("server", "users", "delete", "c1@h", directory="/bed/server")
LISTED = command("snapshot", "list", "--all", "--json")


def script(commands: Sequence[RecordedCommand], shown: Shown | None = None, tree: Manifest | None = TREE) -> str:
    shown = shown or Shown(Guarantee.RESTORED_EXACTLY, {None})
    return "\n".join(Script(lambda _: tree).lines(commands, shown)) + "\n"


def does(commands: Sequence[RecordedCommand], shown: Shown | None = None) -> list[str]:
    """The script without its functions."""
    return script(commands, shown).partition("\nisolated=")[2].splitlines()[1:]


def run(text: str, directory: Path, program: str = "/bin/true") -> subprocess.CompletedProcess[str]:
    file = directory / "reproduce.sh"
    file.write_text(text)
    return subprocess.run(
        ["bash", str(file), program],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )


def test_it_is_decided_of_each_guarantee_whether_it_can_be_shown() -> None:
    """So that a new one can't be forgotten."""
    assert set(WHY_NOT) == set(Guarantee)


@pytest.mark.parametrize("guarantee", Guarantee)
def test_what_can_not_be_shown_is_said_and_nothing_is_claimed(guarantee: Guarantee, scratch: Path) -> None:
    """Exit status 2 and one line, whatever the program; of every other guarantee the header says that it is shown."""
    text = script([MADE], Shown(guarantee, {None}))
    ran = run(text, scratch)
    if WHY_NOT[guarantee] is None:
        assert f"# Shows a violation of {guarantee}," in text
        assert (ran.returncode, ran.stdout) == (0, "not shown\n")
    else:
        assert f"violation of {guarantee}, which bare commands can't show" in text
        assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)


SERVED = command("server", "start", "--htpasswd-file=/bed/server/users.htpasswd", directory="/bed/server")
CONNECTED = command("repository", "connect", "server", "--url=https://h:1")


def test_users_in_a_password_file_are_written_to_it() -> None:
    """Those who have no user in the repository, with the password that all have in the script."""
    other = replace(CONNECTED, directory="/bed/clients/c2@h/connection")
    added = command("server", "users", "add", "c2@h", "--user-password-hash=x", directory="/bed/server")
    lines = does([MADE, SERVED, added, CONNECTED, other])
    written = next(line for line in lines if "htpasswd" in line)
    assert written == "printf '%s\\n' 'c1@h:{SHA}0qBNcTAaiRUhfdX6+B0Sz/1s2Vg=' >\"$BED\"/bed/server/users.htpasswd"
    assert lines.index(written) < next(number for number, line in enumerate(lines) if line.startswith("serve "))


def test_a_removal_from_a_password_file_is_no_command() -> None:
    """So who is let in can't be shown."""
    assert "a file in which the server finds users" in script([MADE, SERVED], Shown(Guarantee.CLIENTS_ISOLATED, {None}))


OPERATED = command("repository", "connect", "server", "--url=https://h:1")
ELSEWHERE = replace(MADE, argv=[*MADE.argv[:4], "--path=/elsewhere"])


@pytest.mark.parametrize(
    ("commands", "faults", "why"),
    [
        ([MADE], ("kill-server",), "kill-server"),
        ([OPERATED], (), "not in a directory"),
        ([replace(MADE, argv=["/bin/kopia", "repository", "create", "s3", "--bucket=b"])], (), "not in a directory"),
        ([MADE, replace(LISTED, argv=["/bin/other", *LISTED.argv[1:]])], (), "several programs"),
        ([ELSEWHERE], (), "outside of"),
        ([MADE, replace(CREATED, source="/home/me")], (), "outside of"),
    ],
)
def test_what_it_takes_beside_commands_is_said(
    commands: list[RecordedCommand], faults: tuple[str, ...], why: str, scratch: Path
) -> None:
    """And nothing is done, above all not to files of others."""
    ran = run(script(commands, Shown(Guarantee.RESTORED_EXACTLY, {None}, faults)), scratch)
    assert ran.returncode == 2
    assert why in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("status", [0, 1, -9])
@pytest.mark.parametrize("which", [CREATED, RESTORED, LISTED, command("snapshot", "verify")])
def test_what_is_expected_does_not_follow_from_what_the_recorded_program_did(
    which: RecordedCommand, status: int
) -> None:
    """Also where it failed, the script has it succeed."""
    good = does([MADE, CREATED, which])
    assert does([MADE, CREATED, replace(which, exit_code=status)]) == good
    assert not [line for line in good if line.startswith("try_")]


def test_a_tree_is_made_also_for_a_snapshot_that_failed() -> None:
    """It has no id then, but what it was to be taken of is known."""
    lines = does([MADE, replace(CREATED, snapshot=None, exit_code=1)])
    assert 'cat "$BED"/contents/' + (b"a" * 16).hex() + ' >"$BED"/bed/clients/c1@h/data/a' in lines
    assert lines[-4].startswith("take 1 c1@h r1-c1-1 ")


def test_a_content_stands_for_itself_each_time() -> None:
    """Kopia does not read a file again that has its size and its time."""
    lines = does([MADE, CREATED, CREATED])
    assert sum("/dev/urandom" in line for line in lines) == 1


def test_a_removed_client_and_a_wrong_password_must_be_refused() -> None:
    """The only failures that are expected, whatever the recorded program did."""
    impostor = command("repository", "connect", "server", directory="/bed/server/impostors/c1@h")
    lines = does([MADE, LISTED, impostor, REMOVED, LISTED])
    assert [line.split()[0] for line in lines if line][1:-2] == ["list", "try_wrong_password", "must", "try_removed"]


def test_questions_asked_to_explain_a_violation_are_left_out() -> None:
    """They name objects of the recorded repository."""
    asked = [command("show", "kabc"), command("restore", "unknown", "/bed/x"), command("snapshot", "delete", "unknown")]
    assert does([MADE, *asked]) == does([MADE])


def test_a_part_of_a_tree_that_is_not_known_any_more_is_not_restored() -> None:
    """What stands for the tree does not have it."""
    part = replace(RESTORED, argv=["/bin/kopia", "restore", "abc/a", "/bed/x/tree"])
    whole = script([MADE, CREATED, part, RESTORED], tree=None).partition("\nisolated=")[2]
    assert whole.count("\nrestore ") == 1


def test_it_ends_with_what_has_shown_it() -> None:
    """If all that has shown it was an operation's."""
    commands = [MADE, CREATED, RESTORED, command("snapshot", "list", operation="r1-c1-3")]
    assert not any("list" in line for line in does(commands, Shown(Guarantee.RESTORED_EXACTLY, {"r1-c1-2"})))
    assert any("list" in line for line in does(commands, Shown(Guarantee.RESTORED_EXACTLY, {"r1-c1-2", None})))


def test_nothing_is_told_of_a_program_that_is_not_there_or_can_not_make_a_repository(scratch: Path) -> None:
    """It has not shown anything."""
    for program in ("/bin/false", str(scratch / "none")):
        ran = run(script([MADE]), scratch, program)
        assert ran.returncode == 2
        assert "can't tell" in ran.stderr
        assert "SHOWN" not in ran.stdout


def test_the_functions_are_bash() -> None:
    """And nothing is left to be filled in."""
    done = subprocess.run(["bash", "-n"], input=script([MADE, CREATED, RESTORED, LISTED]), text=True, check=False)
    assert done.returncode == 0
