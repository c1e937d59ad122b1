"""Where restic's repositories are made, and where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.model.location import FileStorage
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.programs import Programs
from snapstorm.targets.restic.command import Restic
from snapstorm.targets.restic.repositories import Repositories

pytestmark = pytest.mark.anyio

KEY = "ab" * 32
INIT = """#!/bin/sh
[ -e "$RESTIC_REPOSITORY/keys" ] && { echo "keys are there already" >&2; exit 1; }
mkdir -p "$RESTIC_REPOSITORY/keys" && echo made >"$RESTIC_REPOSITORY/config"
"""


def repositories_in(directory: Path, runner: ProcessRunner, repository: Path) -> Repositories:
    program = directory / "restic"
    program.write_text(INIT)
    program.chmod(0o755)
    secrets = FileSecretStore(directory / "secrets.toml")
    place = TargetPlace("bed", directory, secrets, named_storage=FileStorage(repository))
    return Repositories(Restic(Programs([program]), {program: (0, 18, 1)}, runner, 30.0), place)


async def test_a_repository_of_somebody_else_is_not_built_into(tmp_path: Path) -> None:
    """Also where it is one of restic's own."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config").write_text("somebody's")
    async with ProcessRunner("bed") as runner:
        with pytest.raises(HarnessError, match="is not empty"):
            await repositories_in(tmp_path, runner, foreign).open()
    assert [path.name for path in foreign.iterdir()] == ["config"]


@pytest.mark.parametrize("holds_data", [False, True])
async def test_what_a_killed_run_has_begun_is_made_anew(holds_data: bool, tmp_path: Path) -> None:
    """But nothing that holds data is ever removed."""
    directory = tmp_path / "repository" / "c1@h"
    (directory / "keys").mkdir(parents=True)
    (directory / "keys" / KEY).write_text("begun")
    pack = directory / "data" / "ab" / KEY
    pack.parent.mkdir(parents=True)
    if holds_data:
        pack.write_text("data")
    async with ProcessRunner("bed") as runner:
        repositories = repositories_in(tmp_path, runner, tmp_path / "repository")
        if holds_data:
            with pytest.raises(HarnessError, match="keys are there already"):
                await repositories.create(FileStorage(directory))
            assert pack.exists()
        else:
            await repositories.create(FileStorage(directory))
            assert (directory / "config").read_text() == "made\n"
            assert list((directory / "keys").iterdir()) == []
