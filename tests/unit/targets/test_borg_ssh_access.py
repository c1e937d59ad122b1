"""What `authorized_keys` and the forced command say."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from snapstorm.targets.borg.ssh_access import authorized_line, serving_script


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Where the server's side runs."""
    path = tmp_path / "it's $HOME"
    path.mkdir()
    return path


def ask(base: Path, words: str) -> subprocess.CompletedProcess[str]:
    """Have the forced command serve `his own`, as sshd does when a client asks for these words."""
    programs = {}
    for name in ("old", "new"):
        program = base / f"the {name} one"
        program.write_text(f'#!/bin/sh\necho {name}; pwd; printf "%s\\n" "$@"; env\n')
        program.chmod(0o700)
        programs[program] = f"borg-{name}"
    script = base / "serve"
    script.write_text(serving_script(programs, base, {"MARK": "a b"}))
    script.chmod(0o700)
    environment = {"PATH": os.environ["PATH"], "SSH_ORIGINAL_COMMAND": words, "SECRET": "x"}
    return subprocess.run([script, "his own"], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_client_chooses_among_the_programs_under_test(name: str, base: Path) -> None:
    """It gets its repository, whatever else it asks for, and an environment that is not its own."""
    done = ask(base, f"borg-{name} serve --restrict-to-path /")
    assert done.returncode == 0, done.stderr
    program, place, *words = done.stdout.splitlines()
    assert (program, place) == (name, str(base))
    assert words[:3] == ["serve", "--restrict-to-repository", "./repositories/his own"]
    assert "MARK=a b" in words
    assert "TZ=UTC" in words
    assert "SECRET=x" not in words


@pytest.mark.parametrize("words", ["", "sh", "borg", "borg-old;sh", "$(touch x)", "../the old one serve", "* serve"])
def test_nothing_else_is_run(words: str, base: Path) -> None:
    """Nor a shell."""
    before = set(base.iterdir())
    done = ask(base, words)
    assert (done.returncode, done.stdout) == (127, "")
    assert set(base.iterdir()) - before <= {base / "serve", base / "the old one", base / "the new one"}


def test_a_line_holds_one_command_and_no_right_besides() -> None:
    """A quote in it ends it only where sshd says so: it takes back no other escapes."""
    command = shlex.join(["/it's/serve", "a b"])
    options, _, key = authorized_line(command, "ssh-ed25519 AAAA").partition(" ssh-ed25519 ")
    assert key == "AAAA"
    assert options.startswith('restrict,command="')
    assert options.endswith('"')
    assert options[len('restrict,command="') : -1].replace('\\"', '"') == command
