"""What is asked of restic, seen from a program that stands in for it; and what of its own build is found."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.programs import Programs
from snapstorm.targets.restic.command import Actor, Restic, TakenPath, as_pattern
from snapstorm.targets.restic.discovery import find_rest_server, find_restic, find_version
from snapstorm.targets.restic.parameters import Layout, layout_of, options_of
from snapstorm.targets.restic.versions import Version, read_version

OLD, NEW = (0, 14, 0), (0, 18, 1)
PRINTS_ITSELF = f"#!{sys.executable} -IS\nimport json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
LOCKED_BY_NOBODY = """#!/bin/sh
echo "$@" >>asked
[ "$1" = unlock ] && touch unlocked && exit 0
[ -e unlocked ] && exit 0
echo "unable to create lock in backend: repository is already locked by PID 999999999 on h by u" >&2
exit 11
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def restic_of(path: Path, runner: ProcessRunner, version: Version = NEW) -> Restic:
    return Restic(Programs([path]), {path: version}, runner, 30.0)


def answer(name: str) -> str:
    return f"#!/bin/sh\necho '{name} compiled with go1.26.8 on linux/amd64'\n"


@pytest.mark.anyio
@pytest.mark.parametrize(("version", "waits"), [(OLD, False), (NEW, True)])
async def test_words_fit_the_version_and_hold_no_secret(tmp_path: Path, version: Version, *, waits: bool) -> None:
    """Only a version that can wait for locks is told to; passwords are in the environment, and in no record."""
    path = program(tmp_path / "restic", PRINTS_ITSELF)
    address = "rest:https://c%40h:the-word-of-the-server@127.0.0.1:1/c@h/"
    actor = Actor(tmp_path / "actor", address, "the word of the repository", certificate=tmp_path / "c.pem")
    async with ProcessRunner("restic-test") as runner:
        restic = restic_of(path, runner, version)
        taken = await restic.create_snapshot(actor, Path("/src"), "c@h", {"testbed": "t"})
        restored, names = await restic.restore(actor, "ab", TakenPath("/a/src"), b"x*/y", tmp_path / "to")
    words, environment = json.loads(taken.stdout)
    waiting = ["--retry-lock=2s"] if waits else []
    assert words == [
        "backup", f"--cacert={tmp_path / 'c.pem'}", *waiting, "--json", "--host=c@h", "--tag=testbed:t", "/src",
    ]  # fmt: skip
    assert environment["RESTIC_REPOSITORY"] == environment["RESTIC_PASSWORD"] == "(secret)"
    assert "the word of the repository" not in repr((actor, taken))
    assert "the-word-of-the-server" not in repr((actor, taken))
    words, _ = json.loads(restored.stdout)
    assert words[0] == "restore"
    assert ("--sparse" in words) is waits
    assert ("ab:/a" in words, r"--include=/src/x\*/y" in words) == (waits, waits)
    assert names == (("src", "x*", "y") if waits else ("a", "src", "x*", "y"))


@pytest.mark.anyio
async def test_a_lock_that_a_killed_command_left_is_removed_once(tmp_path: Path) -> None:
    """And the command is repeated, as a careful operator would."""
    path = program(tmp_path / "restic", LOCKED_BY_NOBODY)
    actor = Actor(tmp_path / "actor", "/repository", "word")
    async with ProcessRunner("restic-test") as runner:
        assert (await restic_of(path, runner).delete_snapshot(actor, "ab")).exit_code == 0
    asked = (actor.directory / "asked").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["forget", "unlock", "forget"]


@pytest.mark.anyio
async def test_locks_are_removed_after_a_command_that_was_killed(tmp_path: Path) -> None:
    """Whoever comes next would be kept out."""
    path = program(tmp_path / "restic", '#!/bin/sh\necho "$@" >>asked\n[ "$1" = unlock ] || kill -9 $$\n')
    actor = Actor(tmp_path / "actor", "/repository", "word")
    async with ProcessRunner("restic-test") as runner:
        assert (await restic_of(path, runner).list_snapshots(actor)).exit_code == -9
    assert [line.split()[0] for line in (actor.directory / "asked").read_text().splitlines()] == ["snapshots", "unlock"]


def test_a_path_that_is_shown_with_replacements_is_found_by_what_is_known_of_it() -> None:
    """Each directory above what was taken holds only one entry."""
    plain = TakenPath("/a/b")
    assert (plain.names, str(plain.known_parent), plain.names_below_known_parent) == (("a", "b"), "/a", ("b",))
    odd = TakenPath("/a/caf\N{REPLACEMENT CHARACTER}/b")
    assert (odd.names, str(odd.known_parent)) == (("a", None, "b"), "/a")
    assert odd.names_below_known_parent == (None, "b")
    assert TakenPath(os.fsdecode(b"/a/caf\xff/b")).names == ("a", None, "b")


def test_patterns_match_nothing_else() -> None:
    """What is special in a pattern is escaped."""
    assert as_pattern("a*b?[c]\\d") == r"a\*b\?\[c\]\\d"


def test_versions_are_compared_by_their_numbers() -> None:
    """Whatever stands behind them."""
    assert read_version("0.18.1-dev (compiled manually)") == (0, 18, 1)
    assert read_version("0.9.6") < OLD < read_version("0.16.5") < NEW


def test_only_settings_that_differ_are_passed_on() -> None:
    """The layout is the server's."""
    assert options_of({"layout": "shared"}) == []
    assert options_of({"compression": "max", "pack-size-mib": "64"}) == ["--compression=max", "--pack-size=64"]
    assert (layout_of({}), layout_of({"layout": "shared"})) == (Layout.PRIVATE, Layout.SHARED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (answer("restic 0.13.1"), "too old: the oldest that can be tested is 0.14.0"),
        ("#!/bin/sh\necho tar 1.34\n", "is not restic"),
    ],
)
def test_what_is_no_restic_of_ours_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    """Before anything is started."""
    with pytest.raises(HarnessError, match=words) as refused:
        find_restic(program(tmp_path / "restic", text))
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("no_kopia")
def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """restic, rest-server, and a version; then what is on PATH is found."""
    monkeypatch.delenv("REST_SERVER_EXE", raising=False)
    with pytest.raises(HarnessError, match="make tools-restic"):
        find_restic()
    with pytest.raises(HarnessError, match="make tools-restic.*--mode direct"):
        find_rest_server()
    with pytest.raises(HarnessError, match="make tools-all"):
        find_version("0.16.5")
    with pytest.raises(HarnessError, match="there is no restic at"):
        find_restic(tmp_path / "nowhere")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    found = program(tmp_path / "bin" / "restic", answer("restic 0.16.5"))
    assert (find_restic().path, find_restic().version) == (found, "0.16.5")
    server = program(tmp_path / "server", answer("rest-server version rest-server 0.14.0"))
    monkeypatch.setenv("REST_SERVER_EXE", str(server))
    assert (find_rest_server().path, find_rest_server().version) == (server, "0.14.0")
    monkeypatch.setenv("REST_SERVER_EXE", str(found))
    with pytest.raises(HarnessError, match="is not rest-server"):
        find_rest_server()
