"""The Kopia under test is found in the promised order, identified, and refused in one line where it must be."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.targets.executables import VersionQuestion
from snapstorm.targets.kopia.discovery import (
    find_kopia,
    find_testing_build,
    find_virtual_kopia,
    is_built_for_testing,
)

ANSWER = "echo '0.23.1 build: -(unknown_revision) from: '"
pytestmark = pytest.mark.usefixtures("no_kopia")
BUILD_INFORMATION = "# path\tcommand\n# dep\tgithub.com/kopia/kopia\t{}\th1:hash=\n"


def program(path: Path, script: str = ANSWER, comment: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{comment}{script}\n")
    path.chmod(0o755)
    return path


def test_the_first_of_the_promised_places_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--program before KOPIA_EXE before PATH before the project's own build."""
    project = tmp_path / "project"
    (project / "tools" / "kopia-0.23.1").mkdir(parents=True)
    (project / "below").mkdir()
    own = program(project / ".tools" / "bin" / "kopia-0.23.1")
    monkeypatch.chdir(project / "below")
    assert find_kopia().path == own
    on_path = program(tmp_path / "bin" / "kopia")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert find_kopia().path == on_path
    from_environment = program(tmp_path / "environment" / "anything")
    monkeypatch.setenv("KOPIA_EXE", str(from_environment))
    assert find_kopia().path == from_environment
    named = program(tmp_path / "named" / "k")
    assert find_kopia(named).path == named


def test_own_build_of_the_checkout_is_found_from_anywhere(tmp_path: Path) -> None:
    """The package's own checkout counts, wherever the user stands."""
    (tmp_path / "tools" / "kopia-0.23.1").mkdir(parents=True)
    own = program(tmp_path / ".tools" / "bin" / "kopia-0.23.1")
    assert find_kopia().path == own


def test_program_is_identified_by_version_and_hash(tmp_path: Path) -> None:
    """The hash is that of the file itself."""
    path = program(tmp_path / "kopia")
    found = find_kopia(path)
    assert found.version == "0.23.1"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("script", "comment", "version"),
    [
        ("echo 'v0-unofficial build: unknown from: '", "", "unknown"),
        ("echo 'v0-unofficial build: unknown from: '", BUILD_INFORMATION.format("v0.19.0"), "0.19.0"),
        ("echo 'v0-unofficial build: unknown from: '", BUILD_INFORMATION.format("(devel)"), "unknown"),
        ("exit 1", BUILD_INFORMATION.format("v0.22.3"), "0.22.3"),
        ("echo '20261101.0.123 build: abc from: kopia/kopia' >&2", "", "20261101.0.123"),
        ("echo warming up; echo 'v0.24.0-rc1 build: abc from: kopia/kopia'", "", "0.24.0-rc1"),
    ],
)
def test_version_comes_from_the_answer_then_from_the_build_then_is_unknown(
    tmp_path: Path, script: str, comment: str, version: str
) -> None:
    """Any Kopia is accepted, and an unknown version is said to be one."""
    assert find_kopia(program(tmp_path / "kopia", script, comment)).version == version


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'restic 0.16.4 compiled with go1.22'", "is not Kopia"),
        ("exit 0", "is not Kopia"),
        ("echo '0.17.0 build: abc from: kopia/kopia'", "0.17.0, which is too old: .* 0.18.0"),
        ("echo 'v0-unofficial build: unknown from: '", None),
    ],
)
def test_what_is_no_kopia_or_too_old_is_refused_in_one_line(tmp_path: Path, script: str, problem: str | None) -> None:
    """One line with what is wrong; a version that can't be known is no reason."""
    path = program(tmp_path / "kopia", script)
    if problem is None:
        find_kopia(path)
        return
    with pytest.raises(HarnessError, match=problem) as caught:
        find_kopia(path)
    assert "\n" not in str(caught.value)


def test_what_is_missing_or_can_not_be_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which place it came from."""
    with pytest.raises(HarnessError, match=r"no Kopia at /no/such \(from --program\)"):
        find_kopia(Path("/no/such"))
    with pytest.raises(HarnessError, match="no Kopia at"):
        find_kopia(tmp_path)
    monkeypatch.setenv("KOPIA_EXE", "/no/such")
    with pytest.raises(HarnessError, match=r"\(from KOPIA_EXE\)"):
        find_kopia()
    plain = tmp_path / "plain"
    plain.write_text("text")
    with pytest.raises(HarnessError, match="not executable"):
        find_kopia(plain)
    plain.chmod(0o755)
    plain.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(HarnessError, match="can't be started"):
        find_kopia(plain)


def test_no_kopia_at_all_says_what_to_do() -> None:
    """The four ways out, in one line."""
    with pytest.raises(HarnessError, match="give --program PATH, set KOPIA_EXE, put kopia on PATH, or build"):
        find_kopia()


def test_the_version_is_asked_for_in_the_users_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every other command: a version manager's shim needs HOME, and no setting of the user's reaches Kopia."""
    monkeypatch.setenv("HOME", "/home/theirs")
    monkeypatch.setenv("KOPIA_USE_KEYRING", "true")
    shim = f"""[ "$HOME$KOPIA_USE_KEYRING" = /home/theirs ] || exit 1; {ANSWER}"""
    assert find_kopia(program(tmp_path / "kopia", shim)).version == "0.23.1"


def test_a_path_with_parents_in_it_is_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given by name, by the environment, or found in a relative directory of PATH."""
    path = program(tmp_path / "bin" / "kopia")
    assert find_kopia(Path("../bin/kopia")).path == path
    monkeypatch.setenv("KOPIA_EXE", "../bin/../bin/kopia")
    assert find_kopia().path == path
    monkeypatch.delenv("KOPIA_EXE")
    monkeypatch.setenv("PATH", "../bin:/usr/bin:/bin")
    assert find_kopia().path == path
    assert find_kopia(Path("kopia")).path == path


def test_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """A program that waits for something, and its child that holds the pipe, do not hang the search."""
    question = VersionQuestion(program(tmp_path / "kopia", "echo $$; sleep 60 & wait"), ["--version"], os.environ)
    pid = question.ask(seconds_max=0.2)
    assert not Path(f"/proc/{int(pid)}").exists()


TESTING = "# build\t-buildmode=exe\nbuild\t-tags={}\n# end\n"


@pytest.mark.parametrize(
    ("comment", "is_it"),
    [(TESTING.format("testing"), True), (TESTING.format("nohtmlui,testing"), True), (TESTING.format("tested"), False)],
)
def test_what_can_live_in_virtual_time_is_told_by_its_build_information(
    tmp_path: Path, comment: str, is_it: bool
) -> None:
    path = program(tmp_path / "kopia", comment=comment)
    assert is_built_for_testing(path) is is_it
    if is_it:
        assert find_virtual_kopia(path).path == path
    else:
        with pytest.raises(HarnessError, match=f"{path} can't live in virtual time"):
            find_virtual_kopia(path)


def test_without_a_name_one_is_found_that_can_live_in_virtual_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of KOPIA_EXE if it can, else the project's own build that can; a stock one is passed by."""
    monkeypatch.setenv("KOPIA_EXE", str(program(tmp_path / "stock")))
    with pytest.raises(HarnessError, match="build it with `make tools-all`"):
        find_virtual_kopia()
    (tmp_path / "tools" / "kopia-0.23.1").mkdir(parents=True)
    own = program(tmp_path / ".tools" / "bin" / "kopia-0.23.1-testing", comment=TESTING.format("testing"))
    assert find_virtual_kopia().path == own
    named = program(tmp_path / "mine", comment=TESTING.format("testing"))
    monkeypatch.setenv("KOPIA_EXE", str(named))
    assert find_virtual_kopia().path == named


def test_the_testing_build_of_a_program_is_itself_or_that_of_its_version(tmp_path: Path) -> None:
    """Who names one has it used; for a stock build, the project's own of just that version."""
    stock = find_kopia(program(tmp_path / "stock"))
    with pytest.raises(HarnessError, match="no Kopia 0.23.1-testing was found: build it with `make tools-all`"):
        find_testing_build(stock)
    (tmp_path / "tools" / "kopia-0.23.1").mkdir(parents=True)
    own = program(tmp_path / ".tools" / "bin" / "kopia-0.23.1-testing", comment=TESTING.format("testing"))
    assert find_testing_build(stock).path == own
    named = find_kopia(program(tmp_path / "mine", comment=TESTING.format("testing")))
    assert find_testing_build(named) == named
