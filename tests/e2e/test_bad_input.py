"""Bad input gets one clear line and the right exit status, changes nothing, and leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, Ran, lines_of, snapstorm

BAD_USAGE, ENVIRONMENT = 2, 3


def check(ran: Ran, status: int, *words: str, lines: int = 1) -> None:
    """The status, one line (or as many as things were wrong) on stderr with these words, and nothing on stdout."""
    assert ran.status == status, ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    shown = lines_of(ran.stderr)
    assert len(shown) == lines, ran.stderr
    for word in words:
        assert word in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["randomised"], ["randomised", "did you mean 'randomized'"]),
        (["--weights", "snapshot-rot=2"], ["snapshot-rot", "did you mean 'snapshot-root'"]),
        (["--weights", "snapshot-root=-2"], ["snapshot-root"]),
        (["--weights", "snapshot-root=two"], ["two", "whole number"]),
        (["--weights", "snapshot-root"], ["NAME=VALUE"]),
        (["--option", "write-random-files.cuont=2"], ["cuont", "count"]),
        (["--option", "write-random-files.count=0"], ["count", "from 1"]),
        (["--option", "count=0"], ["KEY.OPTION=VALUE"]),
        (
            ["--option", "modify-files.kinds=append,paint"],
            ["--option modify-files.kinds: must be one of in-place, append, truncate, rename, replace, not 'paint'"],
        ),
        (["--option", "change-metadata.kinds="], ["a list that is not empty, each one of mode, mtime, owner, xattr"]),
        (["--option", "delete-files.percent=500"], ["delete-files.percent: must be a whole number from 1 to 100"]),
        (["--weights", "expire=-1"], ["--weights expire: must be a whole number from 0 to 1,000,000, not -1"]),
        (["--option", "run-gc.safety=none"], ["run-gc.safety", "alone = true"]),
        (["space", "--option", "run-gc.safety=none"], ["run-gc.safety", "alone = true"]),
        (["--weights", "check-storage=1"], ["check-storage", "alone = true"]),
        (["--clients", "0"], ["clients"]),
        (["--clients", "-3"], ["clients"]),
        (["--clients", "1000000000"], ["clients"]),
        (["--clients", "many"], ["clients"]),
        (["--duration", "5 parsecs"], ["parsecs"]),
        (["--duration", "0s"], ["0s"]),
        (["--duration", "-5s"], ["duration"]),
        (["--duration", "99999d"], ["99999d"]),
        (["--actions", "0"], ["actions"]),
        (["--actions", "5", "--duration", "5s"], ["not both"]),
        (["many-small-files", "--duration", "5s"], ["fixed sequence"]),
        (["--keep", "dayly=7"], ["--keep dayly", "unknown"]),
        (["--keep", "daily=7,weekly=few"], ["--keep weekly", "few", "whole number"]),
        (["--keep", "daily"], ["--keep daily", "NAME=VALUE"]),
        (["--keep", "daily=-1"], ["--keep daily: must be a whole number from 0 to 1,000,000, not -1"]),
        (["--keep", "daily=0"], ["keeps everything"]),
        (["--seed", "-1"], ["seed"]),
        (["--target", "kopya"], ["kopya", "did you mean 'kopia'"]),
        (["--target", "memory:restore-flip"], ["restore-flip"]),
        (["--target", "kopia:damage-is-not-noticed"], ["damage-is-not-noticed", "restore-flips-a-byte"]),
        (["--mode", "sideways"], ["mode"]),
        (["--mode", "direct", "--clients", "2"], ["exactly one client"]),
        (["--bogus"], ["--bogus"]),
        (["--config", "missing.toml"], ["missing.toml"]),
        (["--sweep-seconds", "0"], ["--sweep-seconds"]),
        (["--operation-timeout", "soon"], ["--operation-timeout"]),
        (["--web=nowhere"], ["--web needs HOST:PORT", "nowhere"]),
        (["--web", "127.0.0.1:65536"], ["--web needs HOST:PORT", "65536"]),
        (["--metrics", "http://127.0.0.1:9464"], ["--metrics needs HOST:PORT", "http://"]),
    ],
    ids=" ".join,
)
def test_what_was_typed_is_checked_before_anything_starts(
    arguments: list[str], words: list[str], scratch: Path
) -> None:
    """A slip of the keyboard ends with status 2 and one line, and makes no testbed."""
    check(snapstorm("run", *arguments, "--testbed", scratch / "bed", cwd=scratch), BAD_USAGE, *words)
    assert list(scratch.iterdir()) == []


def test_every_problem_of_a_config_is_told_at_once(scratch: Path) -> None:
    """Two slips in one file give two lines, each with its place."""
    config = scratch / "mine.toml"
    config.write_text('clients = "lots"\n[weights]\nsnapshot-rot = 1\n')
    ran = snapstorm("run", "--config", config, "--testbed", scratch / "bed")
    check(ran, BAD_USAGE, "mine.toml:1", "mine.toml:3", lines=2)
    assert not (scratch / "bed").exists()


@pytest.mark.parametrize("command", ["sweep", "status"])
def test_a_testbed_that_does_not_exist_is_not_made(command: str, scratch: Path) -> None:
    """Looking at a testbed that is not there says so, and makes none."""
    check(snapstorm(command, "--testbed", scratch / "bed"), BAD_USAGE, "no testbed")
    assert list(scratch.iterdir()) == []


def test_a_testbed_that_is_a_file_is_refused(scratch: Path) -> None:
    """The file keeps its content."""
    (scratch / "bed").write_text("mine")
    check(snapstorm("run", "--target", "memory", "--testbed", scratch / "bed"), BAD_USAGE, "not a directory")
    assert (scratch / "bed").read_text() == "mine"


def test_a_directory_with_something_else_in_it_is_refused(scratch: Path) -> None:
    """A directory that is no testbed is not made one."""
    (scratch / "thesis.txt").write_text("mine")
    check(snapstorm("run", "--target", "memory", "--testbed", scratch), BAD_USAGE, "not empty")
    assert [path.name for path in scratch.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("option", ["--web", "--metrics"])
def test_a_port_that_is_taken_is_told_before_anything_starts(option: str, scratch: Path) -> None:
    """Whatever was to be watched, it does not begin unwatched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = snapstorm("run", "--target", "memory", option, f"127.0.0.1:{port}", "--testbed", scratch / "bed")
    check(ran, ENVIRONMENT, f"127.0.0.1:{port}", "in use", "0 for any")
    assert list(scratch.iterdir()) == []


@pytest.fixture
def memory_testbed(scratch: Path) -> Path:
    """A testbed with one run on the memory target."""
    ran = snapstorm("run", "--target", "memory", "--actions", "20", "--testbed", scratch / "bed", *SMALL)
    assert ran.status == 0, ran.stderr
    return scratch / "bed"


def test_a_testbed_in_use_is_refused(memory_testbed: Path) -> None:
    """A second run on a testbed says that the first one is at it; the lock goes with its holder."""
    with (memory_testbed / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        check(snapstorm("run", "--target", "memory", "--testbed", memory_testbed), ENVIRONMENT, "in use")
    ran = snapstorm("sweep", "--testbed", memory_testbed)
    assert ran.status == 0, ran.stderr


def test_a_testbed_of_a_newer_version_is_refused(memory_testbed: Path) -> None:
    """A ledger that a newer snapstorm wrote is left as it is."""
    connection = sqlite3.connect(memory_testbed / "ledger.sqlite3")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    check(snapstorm("run", "--target", "memory", "--testbed", memory_testbed), ENVIRONMENT, "newer snapstorm")


def test_a_testbed_of_another_target_is_refused(memory_testbed: Path) -> None:
    """A testbed goes on with the target that it was made with."""
    check(snapstorm("run", "--testbed", memory_testbed), BAD_USAGE, "target memory")


def test_a_damaged_ledger_is_refused(memory_testbed: Path) -> None:
    """A ledger that is no database any more says so."""
    (memory_testbed / "ledger.sqlite3").write_bytes(b"garbage" * 1000)
    check(snapstorm("run", "--target", "memory", "--testbed", memory_testbed), ENVIRONMENT, "damaged")


def test_an_emptied_ledger_is_refused(memory_testbed: Path) -> None:
    """A ledger that lost its content is no reason to take the repository beside it for rubbish."""
    (memory_testbed / "ledger.sqlite3").write_bytes(b"")
    before = sorted((memory_testbed / "repository").rglob("*"))
    check(snapstorm("run", "--target", "memory", "--testbed", memory_testbed), ENVIRONMENT, "empty", "copy")
    assert sorted((memory_testbed / "repository").rglob("*")) == before


def test_a_damaged_manifest_is_told(memory_testbed: Path) -> None:
    """A stored manifest that can't be read, or is another one, is the ledger's damage, not the target's."""
    connection = sqlite3.connect(memory_testbed / "ledger.sqlite3")
    connection.execute("UPDATE manifests SET encoded = x'00'")
    connection.commit()
    connection.close()
    ran = snapstorm("sweep", "--testbed", memory_testbed, "--progress", "none")
    assert ran.status == ENVIRONMENT
    assert "damaged" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("option", ["--testbed", "--workdir", "--kopia"])
def test_an_impossible_path_is_refused(option: str, scratch: Path) -> None:
    """A name that no file system takes gets one line, and never status 1, which means violated."""
    ran = snapstorm("run", option, scratch / ("x" * 300), cwd=scratch)
    assert ran.status in (BAD_USAGE, ENVIRONMENT), ran.stderr
    assert len(lines_of(ran.stderr)) == 1, ran.stderr


def test_another_repository_is_refused(memory_testbed: Path, scratch: Path) -> None:
    """A repository that was swapped for another one is not taken for the old one."""
    other = scratch / "other"
    assert snapstorm("run", "--target", "memory", "--actions", "20", "--testbed", other, *SMALL).status == 0
    (memory_testbed / "repository").rename(scratch / "aside")
    (other / "repository").rename(memory_testbed / "repository")
    ran = snapstorm("sweep", "--testbed", memory_testbed, "--progress", "none")
    assert ran.status == ENVIRONMENT
    assert "is not the one that its ledger knows" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.fixture
def read_only(scratch: Path) -> Iterator[Path]:
    """A directory in which this user can't write; for root, one below a file system that has no room for files."""
    directory = scratch / "read-only"
    directory.mkdir(mode=0o500)
    yield directory
    directory.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere; the next test covers root")
def test_a_read_only_place_is_refused(read_only: Path) -> None:
    """No permission is a matter of the environment, told in one line."""
    check(snapstorm("run", "--target", "memory", "--testbed", read_only / "bed"), ENVIRONMENT, "permission")


def test_a_place_where_nothing_can_be_made_is_refused() -> None:
    """/proc takes no directories, not even from root."""
    bed = "/proc/snapstorm-bed"
    check(snapstorm("run", "--target", "memory", "--testbed", bed), ENVIRONMENT, bed)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: None, "no file"),
        (lambda path: path.write_text("#!/bin/sh\nexit 0\n"), "not executable"),
        (lambda path: (path.write_text("#!/bin/sh\necho hello\n"), path.chmod(0o755)), "not"),
        (lambda path: path.mkdir(), "directory"),
    ],
    ids=["missing", "not-executable", "not-kopia", "a-directory"],
)
def test_a_kopia_that_is_none_is_refused(make: Callable[[Path], object], word: str, scratch: Path) -> None:
    """What is no Kopia is refused in one line that names it, before a testbed is made."""
    program = scratch / "kopia"
    make(program)
    check(snapstorm("run", "--kopia", program, "--testbed", scratch / "bed"), ENVIRONMENT, str(program))
    assert not (scratch / "bed").exists()


def test_without_any_kopia_it_says_what_to_do(scratch: Path) -> None:
    """KOPIA_EXE that names nothing is an error, not a reason to take another one silently."""
    ran = snapstorm("run", "--testbed", scratch / "bed", env={"KOPIA_EXE": str(scratch / "nowhere")})
    check(ran, ENVIRONMENT, "KOPIA_EXE")
    assert not (scratch / "bed").exists()
