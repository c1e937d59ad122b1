"""Goes on from a copy of a ledger: in a new testbed, or in one whose own ledger is lost.

The copy does not know what happened on the testbed after it was made. Runs that the copy may have missed leave a *gap*
in the numbers of runs. Their snapshots are recognised by their tags and not judged. Since they may have deleted
snapshots, every snapshot is in doubt until it is listed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import ConfigError, HarnessError, TestbedError
from snapstorm.ledger.copies import CopyState, take_copy
from snapstorm.ledger.ledger import Ledger
from snapstorm.ledger.persisters import Persister
from snapstorm.model.location import FileStorage, GatewayStorage, read_storage
from snapstorm.persistence.persistence import INSTANCE_FACT, PERSISTED_TO_FACT, REPOSITORY_FACT, refuse_leased
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.machine import host_name
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.testbed.testbed import LEDGER_NAME, SECRETS_NAME, check_testbed_path, make_directories, remove_empty


@dataclass(frozen=True)
class Recovered:
    """The copy from which a testbed has gone on."""

    state: CopyState
    damaged: Path | None = None
    """Where the previous ledger is kept."""


async def make_testbed_from_copy(directory: Path, persister: Persister, secrets_file: Path, *, take_over: bool) -> None:
    """Make a testbed that goes on from the latest copy. The repository stays where it is.

    Raises ConfigError or TestbedError, one line; then nothing is left behind.
    """
    if not check_testbed_path(directory, must_exist=False):
        raise ConfigError(f"{directory} is a testbed already, and --from makes a new one; leave one of them out")
    secrets = FileSecretStore(secrets_file).all()
    if not secrets:
        raise ConfigError(
            f"there are no secrets in {secrets_file}; --secrets-file is the {SECRETS_NAME} of the copied testbed"
        )
    with _fetched(directory.parent) as scratch:
        await persister.fetch(scratch)
        ledger_file = scratch / LEDGER_NAME
        state = take_copy(scratch, ledger_file)
        if not take_over:
            refuse_leased(state, persister.place, Clock().utc())
        _prepare(ledger_file, state, persister.place)
        storage = None if state.repository is None else read_storage(state.repository)
        if isinstance(storage, GatewayStorage):
            raise TestbedError(
                "the copied testbed's repository was in its gateway, which is kept in the testbed itself"
            )
        if isinstance(storage, FileStorage) and not storage.path.is_dir():
            raise TestbedError(f"the repository of the copied testbed is not here: there is no {storage}; mount it")
        made = make_directories(directory)
        try:
            shutil.copyfile(secrets_file, scratch / SECRETS_NAME)
            (scratch / SECRETS_NAME).chmod(0o600)
            for name in (SECRETS_NAME, LEDGER_NAME):  # The ledger last: it makes the directory a testbed.
                shutil.move(scratch / name, directory / name)
        except BaseException:
            for name in (SECRETS_NAME, LEDGER_NAME):
                (directory / name).unlink(missing_ok=True)
            remove_empty(made)
            raise


async def recover_ledger(directory: Path, persister: Persister, *, take_over: bool) -> Recovered:
    """Replace a testbed's own ledger, which is damaged, lost or older, by the latest copy.

    The testbed must be locked. Raises TestbedError, one line, and then changes nothing.
    """
    ledger_file = directory / LEDGER_NAME
    with _fetched(directory) as scratch:
        await persister.fetch(scratch)
        state = take_copy(scratch, scratch / LEDGER_NAME)
        is_own = (state.host, state.directory) == (host_name(), str(directory))
        if not take_over and not is_own:
            refuse_leased(state, persister.place, Clock().utc())
        _refuse_needless(ledger_file, state, persister.place)
        _prepare(scratch / LEDGER_NAME, state, persister.place, is_elsewhere=not is_own)
        damaged = _put_aside(ledger_file)
        (scratch / LEDGER_NAME).rename(ledger_file)
    return Recovered(state, damaged)


@contextmanager
def _fetched(parent: Path) -> Iterator[Path]:
    """A directory for a fetched copy, on the file system where the copy is to go."""
    existing = next(path for path in (parent, *parent.parents) if path.exists())
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".snapstorm-copy-", dir=existing))
    except OSError as error:
        raise TestbedError(f"{existing} can't be written: {error.strerror}") from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _prepare(ledger_file: Path, state: CopyState, place: str, *, is_elsewhere: bool = True) -> None:
    """Make a fetched ledger ready to go on."""
    with closing(Ledger.open(ledger_file)) as ledger:
        if ledger.fact("testbed_id") != state.testbed:
            raise TestbedError(f"the copy in {place} is damaged: its ledger is not that of testbed {state.testbed}")
        first_unknown = state.run + 1 if state.is_final else state.run
        # The last known tick: a listing of the next run begins after it, and settles the doubts.
        ledger.gaps.begin(first_unknown, ledger.position[1], may_have_deleted=not state.is_final)
        ledger.set_fact(PERSISTED_TO_FACT, place)
        if is_elsewhere:
            ledger.drop_fact(INSTANCE_FACT)
            if state.repository is not None:
                ledger.set_fact(REPOSITORY_FACT, state.repository)


def _refuse_needless(ledger_file: Path, state: CopyState, place: str) -> None:
    """Raise TestbedError if the ledger can be opened and knows as much as the copy: then it must not be replaced."""
    if not ledger_file.exists() or ledger_file.stat().st_size == 0:
        return
    try:
        ledger = Ledger.open_to_read(ledger_file)
    except HarnessError:
        return
    with closing(ledger):
        testbed_id, position, is_whole = ledger.fact("testbed_id"), ledger.position, ledger.is_whole()
    if testbed_id != state.testbed:
        raise TestbedError(f"the copy in {place} is of another testbed ({state.testbed}, not {testbed_id})")
    if is_whole and position >= state.position:
        raise TestbedError(f"the ledger {ledger_file} is intact and knows all that the copy knows; nothing was done")


def _put_aside(ledger_file: Path) -> Path | None:
    """Rename the existing ledger and the files that SQLite has beside it. Returns the new path; None if there was no
    ledger."""
    if not ledger_file.exists():
        return None
    stamp = Clock().utc().replace(":", "").replace("-", "")
    aside = ledger_file.with_name(f"{ledger_file.name}.damaged-{stamp}")
    for ending in ("-wal", "-shm", ""):
        part = ledger_file.with_name(ledger_file.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    return aside
