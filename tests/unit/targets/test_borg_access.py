"""The shim in place of ssh and sshd: who is let in, to what, and what the server's side is given."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.runtime.watchdog import OWNER_VARIABLE
from snapstorm.targets.borg.access import AccessList, write_key
from snapstorm.targets.borg.shim import ShimAccess


@pytest.fixture
def access(tmp_path: Path) -> ShimAccess:
    """For one client, whose repository is `his own`, in a directory with an odd name."""
    repositories = tmp_path / "it's $HOME {now}"
    repositories.mkdir()
    place = TargetPlace("bed", tmp_path, FileSecretStore(tmp_path / "secrets.toml"))
    found = ShimAccess(place, AccessList(place.server, repositories))
    found.prepare()
    found.admitted.let_in("c1@h", "right", "his own")
    return found


def ask(access: ShimAccess, key_file: Path, client: str = "c1@h") -> subprocess.CompletedProcess[str]:
    """Ask the shim, as borg does, to serve with a program that shows what it is given."""
    program = access.admitted.directory / "program"
    program.write_text('#!/bin/sh\npwd; printf "%s\\n" "$@"; env\n')
    program.chmod(0o700)
    log = access.admitted.directory / "log"
    words = [access.shim, key_file, log, program, client, "borg", "serve"]
    environment = {"PATH": os.environ["PATH"], "SECRET": "x", OWNER_VARIABLE: "bed/1"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def test_the_right_key_serves_the_clients_own_repository(access: ShimAccess, tmp_path: Path) -> None:
    """And nothing of the client's environment but by what it is found and ended."""
    write_key(tmp_path / "key", "right")
    done = ask(access, tmp_path / "key")
    assert done.returncode == 0, done.stderr
    place, *words = done.stdout.splitlines()
    assert words[:2] == ["serve", "--restrict-to-repository"]
    assert os.path.realpath(os.path.join(place, words[2])) == str(access.admitted.repositories / "his own")
    assert Path(place).is_relative_to(access.admitted.directory)  # Something may be mounted over the repositories.
    assert f"{OWNER_VARIABLE}=bed/1" in words
    assert "TZ=UTC" in words
    assert "SECRET=x" not in words


@pytest.mark.parametrize("key", ["wrong", "", None])
def test_who_has_another_key_is_refused(access: ShimAccess, tmp_path: Path, key: str | None) -> None:
    """Or none. It is said where borg may read it, and in a log, because borg does not always."""
    if key is not None:
        write_key(tmp_path / "key", key)
    done = ask(access, tmp_path / "key")
    assert (done.returncode, done.stdout) == (255, "")
    assert done.stderr == (access.admitted.directory / "log").read_text() == "c1@h: Permission denied (key).\n"


def test_who_was_shut_out_is_refused_until_he_is_let_in_again(access: ShimAccess, tmp_path: Path) -> None:
    """At once."""
    write_key(tmp_path / "key", "right")
    access.admitted.shut_out("c1@h")
    access.admitted.shut_out("c1@h")
    assert ask(access, tmp_path / "key").returncode == 255
    access.admitted.let_in("c1@h", "right", "his own")
    assert ask(access, tmp_path / "key").returncode == 0


@pytest.mark.parametrize("client", ["nobody@h", "../access/c1@h", ".", "c1@h/"])
def test_who_is_not_on_the_list_is_refused(access: ShimAccess, tmp_path: Path, client: str) -> None:
    """Nor is a name a path."""
    write_key(tmp_path / "key", "right")
    done = ask(access, tmp_path / "key", client)
    assert (done.returncode, done.stdout) == (255, "")


def test_keys_are_their_owners_alone(access: ShimAccess, tmp_path: Path) -> None:
    """Of the client and of the list."""
    write_key(tmp_path / "keys" / "key", "right")
    for path in (tmp_path / "keys" / "key", access.admitted.directory / "access" / "c1@h"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_that_is_a_path_can_not_be_let_in(access: ShimAccess) -> None:
    """In one line."""
    with pytest.raises(HarnessError, match="can't be called"):
        access.admitted.let_in("../x", "key", "repository")
