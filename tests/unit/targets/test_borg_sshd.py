"""An sshd of our own: what is said where it can't be used, before it is started; and its configuration."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.borg.sshd import LISTENING, SshdFiles, SshPrograms, check_shell, check_sshd, find_ssh, make_key

pytestmark = pytest.mark.anyio


@pytest.fixture
async def runner() -> AsyncIterator[ProcessRunner]:
    async with ProcessRunner("bed") as found:
        yield found


def programs_that(directory: Path, words: str) -> SshPrograms:
    """An sshd that answers so, and a program that makes keys."""
    daemon, keygen = directory / "sshd", directory / "keygen"
    daemon.write_text(f"#!/bin/sh\n{words}\n")
    keygen.write_text(
        '#!/bin/sh\nwhile [ "$1" != -f ]; do shift; done; umask 077; echo key >"$2"; echo public >"$2.pub"\n'
    )
    for program in (daemon, keygen):
        program.chmod(0o700)
    return SshPrograms(daemon, Path("/bin/false"), keygen)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "echo 'Missing privilege separation directory: /run/sshd' >&2; exit 255",
            "sshd can't be started as root, since /run/sshd is missing.*: mkdir -m 0755 /run/sshd$",
        ),
        ("echo 'no hostkeys available -- exiting.' >&2; exit 1", "sshd can't be started: no hostkeys available"),
    ],
)
async def test_what_is_missing_is_said_in_one_line(
    words: str, said: str, tmp_path: Path, runner: ProcessRunner
) -> None:
    """With what to do."""
    with pytest.raises(HarnessError, match=said) as caught:
        await check_sshd(programs_that(tmp_path, words), runner, tmp_path / "server")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("knows", "has"), [(True, True), (False, False)])
async def test_penalties_are_off_where_there_are_any(
    knows: bool, has: bool, tmp_path: Path, runner: ProcessRunner
) -> None:
    """Refused clients would have all others kept out. Older ones know no such option."""
    words = "exit 0" if knows else 'case "$*" in *Penalties*) echo "Bad configuration option: x" >&2; exit 1;; esac'
    await check_sshd(programs_that(tmp_path, words), runner, tmp_path / "server")
    assert ("PerSourcePenalties no" in SshdFiles(tmp_path / "server").config.read_text()) is has


@pytest.mark.parametrize(("shell", "words"), [("/bin/false", "runs no commands"), ("/no/such", "is no program")])
async def test_a_login_shell_that_runs_nothing_is_named(shell: str, words: str, runner: ProcessRunner) -> None:
    """As that of most users of the system's own."""
    await check_shell(runner, "/bin/sh")
    with pytest.raises(HarnessError, match=f"the login shell of .*, {shell}, {words}"):
        await check_shell(runner, shell)


@pytest.mark.parametrize("name", ["a\nb", 'a"b', "a%b", "a\\b", "${a}"])
def test_a_path_that_openssh_would_misread_is_refused(name: str, tmp_path: Path) -> None:
    """Its configurations have characters of their own."""
    with pytest.raises(HarnessError, match="can't have .* in a path"):
        SshdFiles(tmp_path / name).prepare([])


def test_a_missing_program_is_named_with_its_package(tmp_path: Path) -> None:
    """As Debian calls it."""
    with pytest.raises(HarnessError, match="no sshd was found.*apt install openssh-server"):
        find_ssh(str(tmp_path))


async def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path, runner: ProcessRunner) -> None:
    """And anew where a kill has left half of one."""
    programs = programs_that(tmp_path, "exit 0")
    path = tmp_path / "keys" / "c"
    assert await make_key(programs, runner, path) == "public"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("mine")
    await make_key(programs, runner, path)
    assert path.read_text() == "mine"
    path.with_name("c.pub").unlink()
    path.with_name("c.new").write_text("half")
    assert await make_key(programs, runner, path) == "public"
    assert path.read_text() == "key\n"


def test_the_line_that_says_where_it_listens_is_read() -> None:
    """sshd ends its lines with a carriage return."""
    match = LISTENING.search("x\r\nServer listening on 127.0.0.1 port 2022.\r\n")
    assert match is not None
    assert match.groups() == ("127.0.0.1", "2022")
