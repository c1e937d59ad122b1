"""Secrets are random, durable, and readable by their owner only."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.errors import TestbedError
from snapstorm.runtime.secrets import FileSecretStore


def test_secret_stays_the_same_across_openings(tmp_path: Path) -> None:
    """A testbed that is opened again finds the passwords of its repository and clients."""
    path = tmp_path / "new" / "secrets.toml"
    store = FileSecretStore(path)
    made = {name: store.get(name) for name in ("repository", "client client-1@storm", 'odd "name"\n\\ \U0001f4a9')}
    assert len(set(made.values())) == 3
    assert all(len(secret) >= 32 for secret in made.values())
    again = FileSecretStore(path)
    assert {name: again.get(name) for name in made} == made
    assert set(again.values()) == set(made.values())


def test_file_is_private(tmp_path: Path) -> None:
    """Only its owner can read the file, and no half-written one is left beside it."""
    store = FileSecretStore(tmp_path / "secrets.toml")
    store.get("a")
    store.get("b")
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [store.path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Passwords that others may have read are not used."""
    path = tmp_path / "secrets.toml"
    FileSecretStore(path).get("a")
    path.chmod(mode)
    with pytest.raises(TestbedError, match="chmod 600"):
        FileSecretStore(path)


@pytest.mark.parametrize("content", ["not toml", "a = 1\n", '[table]\na = "b"\n', '"a" = "\udcff"'])
def test_broken_file_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    """A damaged file is never taken for an empty one: new passwords would lock us out."""
    path = tmp_path / "secrets.toml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(TestbedError, match="can't read the secrets") as caught:
        FileSecretStore(path)
    assert "\n" not in str(caught.value)


def test_secret_that_can_not_be_kept_is_not_given_out(tmp_path: Path) -> None:
    """A password that is not durable must not be used for anything."""
    store = FileSecretStore(tmp_path / "testbed" / "secrets.toml")
    (tmp_path / "testbed").write_text("a file where the directory should be")
    with pytest.raises(TestbedError, match="can't write the secrets"):
        store.get("a")
