"""What is asked of Kopia, seen from a program that stands in for it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from pathlib import Path

import anyio
import pytest

from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.tasks import together
from snapstorm.targets.kopia.command import Actor, Kopia
from snapstorm.targets.kopia.environment import bash_that_unsets, inherited_environment
from snapstorm.targets.kopia.repository import password_hash
from snapstorm.targets.programs import Programs

pytestmark = pytest.mark.anyio


async def test_commands_see_the_users_environment_but_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would change what Kopia does is taken out; the record has our own variables only, and no password."""
    changing = {"KOPIA_LOG_DIR_MAX_FILES": "1", "AWS_ACCESS_KEY_ID": "theirs", "GODEBUG": "x=1", "TZ": "Asia/Tokyo"}
    users = {
        "HOME": "/home/theirs",
        "XDG_CONFIG_HOME": "/somewhere",
        "LANG": "C.UTF-8",
        "SHIM_TOKEN": "a token of the user's",
    }
    for name, value in {**changing, **users, "SNAPSTORM_DEBUG": "", "PWD": "/", "KOPIA_PASSWORD": "theirs"}.items():
        monkeypatch.setenv(name, value)
    script = tmp_path / "kopia"
    script.write_text(f"#!{sys.executable} -IS\nimport json, os\nprint(json.dumps(dict(os.environ)))\n")
    script.chmod(0o755)
    actor = Actor(tmp_path / "place" / "actor", "the password of it")
    async with ProcessRunner("commands-test") as runner:
        completed = await Kopia(Programs([script]), runner, 30.0).list_snapshots(actor)
    seen = json.loads(completed.stdout)
    assert {name: seen.get(name) for name in users} == {**users, "SHIM_TOKEN": "(secret)"}
    assert not seen.keys() & {*changing, "SNAPSTORM_DEBUG", "PWD"}
    assert seen["KOPIA_PASSWORD"] == "(secret)"
    assert seen["PATH"] == os.environ["PATH"]
    assert completed.env == {name: value for name, value in seen.items() if name in completed.env}
    assert completed.env["KOPIA_CONFIG_PATH"] == str(actor.directory / "repository.config")
    assert all(name.startswith("KOPIA_") for name in completed.env)
    assert "the password of it" not in repr(actor)
    assert actor.directory.stat().st_mode & 0o777 == 0o700
    assert actor.directory.parent.stat().st_mode & 0o777 == 0o700


async def test_a_script_takes_the_same_variables_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a reproduction in bash leaves what a command of a run is left with."""
    for name in ("KOPIA_X", "AWS_PROFILE", "GOGC", "TZ", "SHIM_TOKEN"):
        monkeypatch.setenv(name, "1")
    done = await anyio.run_process(["bash", "-uc", f"{bash_that_unsets()}; env"])
    left = {line.partition("=")[0] for line in done.stdout.decode().splitlines()}
    assert "SHIM_TOKEN" in left
    assert inherited_environment().keys() <= left
    assert not left & (os.environ.keys() - inherited_environment().keys() - {"PWD", "OLDPWD"})


async def test_error_of_one_of_several_comes_out_as_it_is() -> None:
    """The first failure ends the others, and is no group."""

    async def fail() -> None:
        raise ValueError("own")

    async def wait() -> None:
        await anyio.sleep_forever()

    with pytest.raises(ValueError, match="own"):
        await together([wait, fail, wait])


def test_password_hash_is_what_kopia_computes() -> None:
    """JSON in base64, with salt and PBKDF2 key, another salt each time."""
    profile = json.loads(base64.b64decode(password_hash("secret")))
    salted = base64.b64decode(profile["passwordHash"])
    assert profile["passwordHashVersion"] == 2
    assert salted[32:] == hashlib.pbkdf2_hmac("sha256", b"secret", salted[:32], 600_000, 32)
    assert password_hash("secret") != password_hash("secret")
