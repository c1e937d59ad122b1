"""A join file lets in to its run, and nothing else does; what is wrong with one is one line."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from snapstorm.errors import ConfigError, HarnessError
from snapstorm.machines.join_file import make_credentials, read_join_file


def test_the_files_are_private_and_hold_what_their_side_needs(scratch: Path) -> None:
    """The key of the authority is in none."""
    credentials = make_credentials(scratch / "machines")
    join = scratch / "machines" / "join.pem"
    assert {path.name for path in (scratch / "machines").iterdir()} == {"join.pem", "coordinator.pem"}
    for path in (join, credentials.file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().count("PRIVATE KEY") == 2
        assert path.read_text().count("BEGIN CERTIFICATE") == 2
    assert read_join_file(join).authority_pem == credentials.authority_pem
    assert credentials.authority_pem in join.read_text()


def test_each_run_has_an_authority_of_its_own(scratch: Path) -> None:
    """Files of the run before are replaced."""
    before = make_credentials(scratch).authority_pem
    assert make_credentials(scratch).authority_pem != before
    assert read_join_file(scratch / "join.pem").authority_pem != before


def test_an_expired_file_is_told(scratch: Path) -> None:
    """With the time until which it was valid, and what to do."""
    make_credentials(scratch, days=-0.5)
    with pytest.raises(HarnessError, match=r"was valid until 20\d\d-\d\d-\d\d \d\d:\d\d UTC: copy machines/join.pem"):
        read_join_file(scratch / "join.pem")


def test_a_file_that_others_can_read_is_refused(scratch: Path) -> None:
    """It is as secret as a password."""
    make_credentials(scratch)
    (scratch / "join.pem").chmod(0o640)
    with pytest.raises(HarnessError, match="open to other users: run chmod 600"):
        read_join_file(scratch / "join.pem")


@pytest.mark.parametrize("keep", [0, 1, 100, 300, 600, 900])
def test_half_a_file_is_refused(scratch: Path, keep: int) -> None:
    """One that was not copied to its end."""
    make_credentials(scratch)
    join = scratch / "join.pem"
    join.write_bytes(join.read_bytes()[:keep])
    with pytest.raises(ConfigError, match="not a join file of snapstorm, or not a whole one"):
        read_join_file(join)


def test_a_file_that_is_not_there_is_bad_usage(scratch: Path) -> None:
    """With the reason of the system."""
    with pytest.raises(ConfigError, match="nowhere can't be read: No such file"):
        read_join_file(scratch / "nowhere")
