"""A stored repository of Kopia, opened without a server; and how its blobs lie in a directory."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from snapstorm.errors import OperationFailed
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.abilities import StoredPlace, StoredRepository
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.administration import Administration
from snapstorm.targets.kopia.blobs import ENDING
from snapstorm.targets.kopia.command import Actor, Kopia
from snapstorm.targets.kopia.repository import IDENTITY, REPOSITORY_SECRET

DIRECTORY_FILES = {".shards": b'{"default":[],"maxNonShardedLength":20}'}
"""How blobs are spread over directories: not at all, so that one directory holds them under their ids. Kopia goes by
this file where there is one (0.19.0 and 0.23.1, measured)."""

_COMMANDS_BETWEEN_CLEARED_LOGS = 50


def path_in_directory(blob_id: str) -> PurePosixPath:
    """Where a blob lies in a repository that is stored in a directory."""
    return PurePosixPath(f"{blob_id}{ENDING}")


@dataclass
class StoredKopia:
    """Implements `StoredRepository`."""

    kopia: Kopia
    actor: Actor
    _commands: int = 0

    async def list_snapshots(self) -> Sequence[ListedSnapshot]:
        """All complete snapshots."""
        completed = await self.kopia.list_snapshots(self.actor)
        return [entry for entry in snapshot_answers.read_listing(completed) if entry.incomplete is None]

    async def verify(self, snapshots: Sequence[str]) -> None:
        """Have Kopia find these snapshots and read all of their files, in one process."""
        self._clear_logs()
        snapshot_answers.check_verified(await self.kopia.verify_snapshots(self.actor, 100, *snapshots))

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Restore a snapshot, or what is at `sub_path` in it."""
        completed = await self.kopia.restore(self.actor, snapshot, sub_path, destination)
        answers.check(completed, "restore", OperationFailed)

    async def maintain(self) -> None:
        """Run full maintenance with all margins of safety."""
        completed = await Administration(self.kopia, self.actor).run_maintenance(is_full=True, is_safe=True)
        answers.check(completed, "maintenance run", OperationFailed)

    def _clear_logs(self) -> None:
        """Thousands of commands leave thousands of files, through which each command looks."""
        self._commands += 1
        if self._commands % _COMMANDS_BETWEEN_CLEARED_LOGS == 0:
            remove_tree(self.actor.directory / "logs")


async def open_stored(kopia: Kopia, place: StoredPlace) -> StoredRepository:
    """Connect to a stored repository, as who may run maintenance. Raises TargetError if it can't be opened."""
    password = place.secret(REPOSITORY_SECRET)
    actor = Actor(
        place.directory,
        password,
        has_cache=place.may_cache,
        storage_secrets=place.storage_secrets,
        clock_url=place.clock,
    )
    completed = await kopia.connect_to_repository(actor, place.storage, IDENTITY)
    answers.check(completed, "repository connect", OperationFailed)
    return StoredKopia(kopia, actor)


def commands_to_look(program: Path, directory: str, snapshot: str) -> Sequence[str]:
    """Lines of bash that open a repository in a directory, and read a snapshot back."""
    user, _, host = IDENTITY.partition("@")
    kopia = shlex.quote(str(program))
    return [
        'export KOPIA_CONFIG_PATH="$(mktemp -d)/repository.config" KOPIA_CHECK_FOR_UPDATES=false',
        "export KOPIA_PERSIST_CREDENTIALS_ON_CONNECT=false",
        f": ${{KOPIA_PASSWORD:?must be what {REPOSITORY_SECRET!r} is in the secrets.toml of the testbed}}",
        "export KOPIA_PASSWORD",
        "set -x",
        f"{kopia} repository connect filesystem --path={shlex.quote(directory)} --content-cache-size-mb=0"
        f" --override-username={user} --override-hostname={host}",
        f"{kopia} snapshot list --all",
        f"{kopia} snapshot verify --verify-files-percent=100 {snapshot}",
        f'{kopia} restore {snapshot} "$(mktemp -d)/restored"',
    ]
