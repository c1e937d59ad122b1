"""Copies of a ledger at the places that users name: open one for a run, go on from one, or recover a ledger from
one."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from snapstorm.errors import ConfigError
from snapstorm.ledger.persisters import Persister
from snapstorm.persistence.persistence import PERSISTED_TO_FACT, AnyCopies, NoCopies, Persistence
from snapstorm.persistence.recovery import Recovered, make_testbed_from_copy, recover_ledger
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.registry import NOWHERE, NamedPrograms, find_persister
from snapstorm.testbed.testbed import SECRETS_NAME, Testbed, locked

_SECONDS_MAX = 300.0


@asynccontextmanager
async def open_persistence(
    testbed: Testbed,
    runner: ProcessRunner,
    clock: Clock,
    *,
    place: str | None,
    programs: NamedPrograms,
    minutes: float,
    take_over: bool,
) -> AsyncIterator[AnyCopies]:
    """The place for this run's copies: the one that was named, or else the one used before.

    Raises ConfigError, HarnessError or TestbedError, one line, before anything is changed there.
    """
    chosen = place or testbed.ledger.fact(PERSISTED_TO_FACT) or NOWHERE
    if chosen == NOWHERE:
        yield NoCopies()
        return
    open_persister = find_persister(chosen, programs)
    async with open_persister(runner, testbed.directory / "copies", testbed.secrets.get, _SECONDS_MAX) as persister:
        persistence = Persistence(persister, testbed, clock, minutes=minutes)
        await persistence.begin(take_over=take_over)
        yield persistence


async def make_from_copy(
    place: str, testbed: Path, secrets_file: Path | None, *, programs: NamedPrograms, take_over: bool
) -> None:
    """Make a new testbed that goes on from the latest copy at `place`."""
    find_persister(place, programs)
    if secrets_file is None:
        raise ConfigError(
            f"--from needs --secrets-file: the {SECRETS_NAME} of the copied testbed, which is never part of the copy"
        )
    async with _open_to_read(place, secrets_file, programs) as persister:
        await make_testbed_from_copy(testbed, persister, secrets_file, take_over=take_over)


async def recover(place: str, testbed: Path, *, programs: NamedPrograms, take_over: bool) -> Recovered:
    """Replace a testbed's own ledger by the latest copy at `place`. All paths are absolute."""
    secrets_file = testbed / SECRETS_NAME
    if not FileSecretStore(secrets_file).all():
        raise ConfigError(f"{testbed} is no testbed: it has no {SECRETS_NAME}; `snapstorm run --from` makes a new one")
    async with _open_to_read(place, secrets_file, programs) as persister:
        with locked(testbed):
            return await recover_ledger(testbed, persister, take_over=take_over)


@asynccontextmanager
async def _open_to_read(place: str, secrets_file: Path, programs: NamedPrograms) -> AsyncIterator[Persister]:
    open_persister = find_persister(place, programs)
    secrets = FileSecretStore(secrets_file).all()
    with tempfile.TemporaryDirectory(prefix="snapstorm-") as scratch:
        async with (
            ProcessRunner("copies") as runner,
            open_persister(
                runner, Path(scratch) / "copies", lambda name: secrets.get(name, "none"), _SECONDS_MAX
            ) as opened,
        ):
            yield opened
