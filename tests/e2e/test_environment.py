"""A program under test sees the user's environment, leaves the user's home alone, and nothing of it is recorded."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.commandline import scenario, snapstorm

pytestmark = pytest.mark.usefixtures("nothing_left")

TOKEN = "ghp_of-the-user-4711"
NEEDS_THE_USERS = f"""
if os.environ.get("SHIM_TOKEN") != {TOKEN!r} or not (pathlib.Path.home() / "shims").is_dir():
    sys.exit("shim: this is not the user's environment")
if any(os.environ.get(name) == "theirs" for name in os.environ):
    sys.exit("shim: a setting of the user's slips in")
if argv[:2] != ["server", "start"]:
    print("shim: used", os.environ["SHIM_TOKEN"], file=sys.stderr)
"""
FAILS_TO_RESTORE = (
    NEEDS_THE_USERS
    + """
if argv[:1] == ["restore"]:
    sys.exit("shim: no restore for " + os.environ["SHIM_TOKEN"])
"""
)


@pytest.fixture
def user(scratch: Path) -> dict[str, str]:
    """The environment of a user with a home of their own, a token, and settings of Kopia's."""
    home = scratch / "home"
    (home / "shims").mkdir(parents=True)
    theirs = dict.fromkeys(("KOPIA_CONFIG_PATH", "KOPIA_PASSWORD", "KOPIA_LOG_DIR", "AWS_PROFILE", "GODEBUG"), "theirs")
    return {**theirs, "HOME": str(home), "SHIM_TOKEN": TOKEN, "HTTPS_PROXY": "http://127.0.0.1:9"}


@pytest.fixture
def steps(scratch: Path) -> Path:
    """A scenario with something of each kind that a client asks the target for."""
    config = scratch / "steps.toml"
    config.write_text(scenario("write-random-files count = 2", "snapshot-root", "restore-snapshot", clients=1))
    return config


def files_with(text: str, directory: Path) -> Iterator[Path]:
    for path in directory.rglob("*"):
        if path.is_file() and text.encode() in path.read_bytes():
            yield path


@pytest.mark.parametrize("mode", ["server", "direct"])
def test_a_shim_works_and_the_home_stays_as_it_was(
    mode: str, wrapper: Callable[[str], Path], user: dict[str, str], steps: Path, scratch: Path
) -> None:
    """As server, client and auditor; Kopia writes nothing into the user's home, and the token is nowhere."""
    shim, bed = wrapper(NEEDS_THE_USERS), scratch / "bed"
    ran = snapstorm(
        "run", "--kopia", shim, "--testbed", bed, "--mode", mode, "--config", steps,
        "--persist", f"kopia:{scratch / 'copies'}", "--json", env=user,
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert [path.name for path in (scratch / "home").rglob("*")] == ["shims"]
    assert list(files_with(TOKEN, bed)) == []
    assert TOKEN not in ran.stdout + ran.stderr


def test_nothing_of_the_users_is_in_the_evidence(
    wrapper: Callable[[str], Path], user: dict[str, str], steps: Path, scratch: Path
) -> None:
    """A program that prints a token of the user's: not in evidence, ledger, report or bundle."""
    bed, bundle = scratch / "bed", scratch / "bundle.tar.gz"
    ran = snapstorm(
        "run", "--kopia", wrapper(FAILS_TO_RESTORE), "--testbed", bed, "--mode", "direct", "--config", steps,
        "--report", scratch / "reports", "--json", env=user,
    )  # fmt: skip
    assert ran.status == 1, ran.stderr
    assert any("no restore for (secret)" in path.read_text() for path in bed.rglob("output.txt"))
    assert list(files_with(TOKEN, bed)) == list(files_with(TOKEN, scratch / "reports")) == []
    assert TOKEN not in ran.stdout + ran.stderr
    assert snapstorm("bundle", bed, "--output", bundle, env=user).status == 0
    with tarfile.open(bundle) as archive:
        archive.extractall(scratch / "unpacked", filter="data")
    assert os.listdir(scratch / "unpacked")
    assert list(files_with(TOKEN, scratch / "unpacked")) == []
