"""A command that finds its repository locked is repeated, for no longer than a command may wait."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.targets.borg.command import Actor, Borg
from snapstorm.targets.programs import Programs

pytestmark = pytest.mark.anyio

LOCKED = json.dumps({"type": "log_message", "levelname": "ERROR", "message": "locked", "msgid": "LockTimeout"})
GONE = json.dumps({"type": "log_message", "levelname": "ERROR", "message": "gone", "msgid": "Repository.DoesNotExist"})


async def perform(place: Path, program: str, seconds_max: float) -> tuple[CompletedCommand, list[str]]:
    """One command, and the words of each try."""
    tries = place / "tries"
    path = place / "borg"
    path.write_text(f"#!/bin/sh\necho \"$*\" >>'{tries}'\n{program}\n")
    path.chmod(0o700)
    async with ProcessRunner("bed") as runner:
        actor = Actor("c1@h", place / "c1", "file:///r", "secret")
        completed = await Borg(Programs([path]), runner, seconds_max).run(actor, "info")
    return completed, tries.read_text().splitlines()


async def test_it_is_repeated_until_the_lock_is_free(tmp_path: Path) -> None:
    program = f"[ $(wc -l <'{tmp_path}/tries') = 3 ] && exit 0\necho '{LOCKED}' >&2\nexit 73"
    completed, tries = await perform(tmp_path, program, 100.0)
    assert (completed.exit_code, len(tries)) == (0, 3)
    assert set(tries) == {"--log-json --lock-wait=5 info"}


@pytest.mark.parametrize(("said", "seconds_max"), [(GONE, 100.0), (LOCKED, 4.0)])
async def test_it_is_not_after_another_failure_or_a_whole_wait(tmp_path: Path, said: str, seconds_max: float) -> None:
    completed, tries = await perform(tmp_path, f"echo '{said}' >&2\nexit 73", seconds_max)
    assert (completed.exit_code, len(tries)) == (73, 1)
