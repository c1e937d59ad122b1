"""Copies of a ledger outside its testbed: made by SQLite's own backup, with a digest that tells whole copies from
partial ones.

A copy is a directory with the ledger's file and `persisted.json`, which is written last. It says which testbed the copy
belongs to, how far it has come, which instance owns it, and the digest of the file. Without a matching digest there is
no copy.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import blake3

from snapstorm.errors import TestbedError, reading_failure
from snapstorm.ledger.opening import refuse_what_is_not_ours, translated

STATE_NAME = "persisted.json"
SCHEMA = 1
_BACKUP_PAGES_AT_ONCE = 4096


@dataclass(frozen=True)
class CopyState:
    """What is known of a copy without opening its ledger."""

    testbed: str
    instance: str
    """The testbed directory that wrote it. A testbed that went on from a copy elsewhere is another instance."""
    host: str
    directory: str
    run: int
    """The testbed's last run."""
    tick: int
    is_final: bool
    """No run was at work, so the copy knows everything that has happened on the testbed."""
    written_utc: str
    lease_until_utc: str | None
    """The instance may be at work until then; None once it has ended its run."""
    repository: str | None
    """Where the repository under test is; None if only a server knows."""
    mode: str
    target: str
    ledger_file: str = ""
    ledger_blake3: str = ""
    schema: int = SCHEMA

    @property
    def position(self) -> tuple[int, int]:
        """How far the testbed had come. Of two copies of one testbed, the one with the greater position is newer."""
        return self.run, self.tick


def write_copy(ledger: Path, directory: Path, state: CopyState) -> CopyState:
    """Copy a ledger to a directory that may hold an older copy of it. A run may be writing to the ledger meanwhile.

    The older copy stays whole until the new one is complete. Returns the state with the file's name and digest. Raises
    TestbedError or NoSpaceError, one line, if the copy can't be written.
    """
    new = directory / f".ledger.{os.getpid()}.new"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _back_up(ledger, new)
        digest = blake3.blake3().update_mmap(new).hexdigest()
        state = CopyState(**{**asdict(state), "ledger_file": f"ledger-{digest[:16]}.sqlite3", "ledger_blake3": digest})
        new.replace(directory / state.ledger_file)
        _write_state(directory, state)
        for old in directory.glob("ledger-*.sqlite3"):
            if old.name != state.ledger_file:
                old.unlink()
    except sqlite3.Error as error:
        raise translated(error, ledger) from error
    except OSError as error:
        raise TestbedError(f"the ledger can't be copied to {directory}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            new.unlink()
    return state


def _back_up(ledger: Path, copy: Path) -> None:
    with (
        closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        copy.chmod(0o600)
        source.backup(target, pages=_BACKUP_PAGES_AT_ONCE, sleep=0)
        target.execute("PRAGMA journal_mode = DELETE")  # A single file, which can be read without writing to it.
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def _write_state(directory: Path, state: CopyState) -> None:
    new = directory / f".{STATE_NAME}.{os.getpid()}.new"
    with new.open("w", encoding="utf-8") as file:
        new.chmod(0o600)
        json.dump(asdict(state), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(directory / STATE_NAME)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_state(directory: Path) -> CopyState | None:
    """The state of the copy in a directory; None if there is none. Raises TestbedError if it can't be read."""
    path = directory / STATE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise TestbedError(f"{path} can't be read: {reading_failure(error)}") from error
    return parse_state(text, str(path))


def parse_state(text: str, where: str) -> CopyState:
    """The state in a `persisted.json`. Raises TestbedError if it is damaged or of a newer snapstorm."""
    try:
        found: dict[str, Any] = json.loads(text)
        if found["schema"] > SCHEMA:
            raise TestbedError(f"{where} was written by a newer snapstorm; use that version")
        return CopyState(**{field.name: found[field.name] for field in fields(CopyState)})
    except (ValueError, KeyError, TypeError) as error:
        raise TestbedError(f"{where} is no state of a copied ledger, or is damaged: {error!r}") from error


def take_copy(directory: Path, ledger: Path) -> CopyState:
    """Put the ledger of the copy in `directory` at the path `ledger`, where nothing may exist, after checking that it
    is whole.

    Raises TestbedError for a directory without a copy, with a partial copy, or with a damaged one.
    """
    state = read_state(directory)
    if state is None:
        raise TestbedError(f"there is no copy of a ledger in {directory}: it has no {STATE_NAME}")
    source = directory / state.ledger_file
    new = ledger.with_name(f".{ledger.name}.new")
    try:
        shutil.copyfile(source, new)
        new.chmod(0o600)
        if blake3.blake3().update_mmap(new).hexdigest() != state.ledger_blake3:
            raise TestbedError(f"the copy {source} is damaged or half written: its digest is not the recorded one")
        _check_whole(new)
        new.rename(ledger)
    except FileNotFoundError:
        raise TestbedError(f"the copy in {directory} is half written: there is no {state.ledger_file}") from None
    except OSError as error:
        raise TestbedError(f"the copy in {directory} can't be taken: {error.strerror}") from error
    finally:
        new.unlink(missing_ok=True)
    return state


def _check_whole(ledger: Path) -> None:
    refuse_what_is_not_ours(ledger)
    try:
        with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise translated(error, ledger) from error
    if answer != "ok":
        raise TestbedError(f"the copied ledger is damaged ({answer}); take an older copy")
