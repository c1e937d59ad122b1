"""A stored repository of restic, opened without a server."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from snapstorm.errors import OperationFailed
from snapstorm.model.abilities import StoredPlace, StoredRepository
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.location import S3Storage
from snapstorm.targets.restic import answers, repository_answers, snapshot_answers
from snapstorm.targets.restic.command import Actor, Restic, address_of
from snapstorm.targets.restic.repositories import REPOSITORY_SECRET
from snapstorm.targets.restic.snapshotter import ResticClient


@dataclass(frozen=True)
class StoredRestic:
    """Implements `StoredRepository`."""

    restic: Restic
    actor: Actor
    """Reads, and takes no locks: those of whoever was at work at a crash are still there."""
    maintainer: Actor
    """Takes locks."""

    async def list_snapshots(self) -> Sequence[ListedSnapshot]:
        """All snapshots: there are no incomplete ones."""
        completed = await self.restic.list_snapshots(self.actor)
        return snapshot_answers.read_listing(completed, tells_counts=False)

    async def verify(self, snapshots: Sequence[str]) -> None:
        """Have restic find these snapshots and read everything back that is in the repository: versions up to 0.18 can
        check it only as a whole."""
        listed = {one.id for one in await self.list_snapshots()}
        if missing := [one for one in snapshots if one not in listed]:
            raise OperationFailed(f"there is no snapshot {', '.join(missing)}")
        snapshot_answers.check_verified(await self.restic.check(self.actor))

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Restore a snapshot, or what is at `sub_path` in it."""
        client = ResticClient(self.restic, self.actor, host="", testbed="", tells_counts=False)
        await client.restore_snapshot(snapshot, destination, sub_path)

    async def maintain(self) -> None:
        """Prune, after all locks are gone: nobody is at work here, and who was has ended."""
        answers.check(
            await self.restic.unlock(self.maintainer, is_for_all=True), "unlock --remove-all", OperationFailed
        )
        snapshot_answers.check_pruned(await self.restic.prune(self.maintainer, is_full=True))


async def open_stored(restic: Restic, place: StoredPlace) -> StoredRepository:
    """Look whether a stored repository can be opened. Raises TargetError if not."""
    storage = place.storage
    maintainer = Actor(
        place.directory,
        address_of(storage),
        place.secret(REPOSITORY_SECRET),
        has_cache=False,
        storage_secrets=place.storage_secrets,
        region=storage.region if isinstance(storage, S3Storage) else None,
    )
    reader = replace(maintainer, takes_locks=False)
    repository_answers.read_config(await restic.read_config(reader))
    return StoredRestic(restic, reader, maintainer)


def commands_to_look(program: Path, directory: str, snapshot: str) -> Sequence[str]:
    """Lines of bash that look into a repository in a directory, and read a snapshot back."""
    restic = f"{shlex.quote(str(program))} --no-lock --no-cache"
    return [
        f"export RESTIC_REPOSITORY={shlex.quote(directory)}",
        f": ${{RESTIC_PASSWORD:?must be what {REPOSITORY_SECRET!r} is in the secrets.toml of the testbed}}",
        "export RESTIC_PASSWORD",
        "set -x",
        f"{restic} snapshots",
        f"{restic} check --read-data",
        f'{restic} restore {snapshot} --target="$(mktemp -d)/restored"',
    ]
