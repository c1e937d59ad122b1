"""What is asked of Kopia, seen from a program that stands in for it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import anyio
import pytest

from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.kopia.command import Actor, Kopia
from snapstorm.targets.kopia.concurrency import side_by_side
from snapstorm.targets.kopia.programs import Programs
from snapstorm.targets.kopia.repository import password_hash

pytestmark = pytest.mark.anyio


async def test_commands_run_in_an_environment_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the user reaches Kopia; the password does, and is not in the record."""
    monkeypatch.setenv("KOPIA_LOG_DIR_MAX_FILES", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    script = tmp_path / "kopia"
    script.write_text("#!/bin/sh\nenv\n")
    script.chmod(0o755)
    actor = Actor(tmp_path / "place" / "actor", "the password")
    async with ProcessRunner("commands-test") as runner:
        completed = await Kopia(Programs([script]), runner, 30.0).list_snapshots(actor)
    seen = dict(line.split("=", 1) for line in completed.stdout.decode().splitlines())
    for unasked in ("PWD", "SHLVL", "_", "OLDPWD", "SNAPSTORM_OWNER"):
        seen.pop(unasked, None)
    assert seen.pop("KOPIA_PASSWORD") == "the password"
    assert seen == completed.env
    assert seen["KOPIA_CONFIG_PATH"] == str(actor.directory / "repository.config")
    assert seen["PATH"] == os.environ["PATH"]
    assert not any(name.startswith("XDG") or "MAX_FILES" in name for name in seen)
    assert "the password" not in repr(actor)
    assert actor.directory.stat().st_mode & 0o777 == 0o700
    assert actor.directory.parent.stat().st_mode & 0o777 == 0o700


async def test_error_of_one_of_several_comes_out_as_it_is() -> None:
    """The first failure ends the others, and is no group."""

    async def fail() -> None:
        raise ValueError("own")

    async def wait() -> None:
        await anyio.sleep_forever()

    with pytest.raises(ValueError, match="own"):
        await side_by_side(wait, fail, wait)


def test_password_hash_is_what_kopia_computes() -> None:
    """JSON in base64, with salt and PBKDF2 key, another salt each time."""
    profile = json.loads(base64.b64decode(password_hash("secret")))
    salted = base64.b64decode(profile["passwordHash"])
    assert profile["passwordHashVersion"] == 2
    assert salted[32:] == hashlib.pbkdf2_hmac("sha256", b"secret", salted[:32], 600_000, 32)
    assert password_hash("secret") != password_hash("secret")
