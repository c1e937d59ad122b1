"""What the engine drives: small protocols, and the values that travel across them.

The words are the seed's: a `FileWriter` changes a client's files, a `Snapshotter` snapshots and restores them, a
`ClientSnapshotter` is one that connects to a `Server`, and the server stands before a repository. A `Target` makes
them. The engine knows nothing else of the backup system under test.

Methods raise `TargetError` subclasses to say what is known about a failure, `HarnessError` where we or the machine
could not do our part; they return only on an acknowledged success.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from snapstorm.errors import HarnessError
from snapstorm.model.abilities import Route
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt, WriteReport
from snapstorm.model.actions import FileAction
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.location import FileStorage, Storage
from snapstorm.model.manifest import Manifest
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.retention import KeepPolicy

LOOPBACK = "127.0.0.1"


class Mode(StrEnum):
    """How clients reach the repository."""

    SERVER = "server"
    """Many clients against one server: the multi-client test."""
    DIRECT = "direct"
    """One client directly on the repository, without a server: the standard test."""


class FileWriter(Protocol):
    """Changes the files of one client, and knows their whole truth."""

    @property
    def data_directory(self) -> Path:
        """The tree that this writer owns. Nothing else writes there."""
        ...

    def can_apply(self, action: type[FileAction]) -> bool:
        """Whether there is now something that this kind of action could act on."""
        ...

    async def apply(self, action: FileAction, draws: random.Random) -> Ok[WriteReport] | NoOp:
        """Carry the action out, drawing all that it leaves open from `draws`, and nothing from anywhere else.

        Raises NoSpaceError when the disk is full; files written until then stay, and stay known.
        """
        ...

    async def scan(self) -> Manifest:
        """What the data directory holds now."""
        ...

    async def watch(self) -> None:
        """From now on until the writer's next change of its own, nobody is to change the data directory."""
        ...

    async def changes_by_others(self) -> Sequence[str]:
        """What somebody else has changed in it since `watch`, a line for each entry; told once. For use while nobody
        else uses this writer."""
        ...

    async def adopt(self, tree: Path) -> Manifest:
        """Make `tree`, on the same file system, the data directory in place of the old one. Returns a fresh scan."""
        ...

    async def pick_directory(self, draws: random.Random) -> bytes | None:
        """A random directory below the root, as a path relative to it, or None if there is none."""
        ...

    async def free_space(self, draws: random.Random) -> WriteReport:
        """Delete about half of this client's own files, after a full disk."""
        ...


class Restorer(Protocol):
    """Restores snapshots."""

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Restore a snapshot, or the file or directory at `sub_path` in it, to `destination`, which must not exist."""
        ...


class Auditor(Restorer, Protocol):
    """Restores and checks anybody's snapshots straight from the repository, past the server and every cache."""

    async def verify_snapshot(self, snapshot: str) -> None:
        """Run the target's own full check of one snapshot. Raises OperationPartial when that reports damage."""
        ...


class Snapshotter(Restorer, Protocol):
    """Takes, restores, lists and deletes the snapshots of one identity."""

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        """Snapshot the tree at `source`, tagged with the testbed's and the operation's id.

        Raises OperationUnknown unless the target acknowledged a complete snapshot.
        """
        ...

    async def delete_snapshot(self, snapshot: str) -> None:
        """Delete a snapshot. Raises OperationUnknown when the target does not acknowledge it."""
        ...

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        """Delete all but the latest `keep_latest` snapshots of `source`, by when the target says that it took them, by
        its own retention."""
        ...

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        """Everything that this identity is shown, incomplete entries included, whoever made it."""
        ...

    async def verify_snapshots(self) -> None:
        """Run the target's own check. Raises OperationPartial when the check itself reports damage."""
        ...


class ClientSnapshotter(Snapshotter, Protocol):
    """A `Snapshotter` that connects to a server, and disconnects."""

    async def connect(self) -> None:
        """Connect as this client. Raises AccessDenied when the server lets it in nowhere."""
        ...

    async def disconnect(self) -> None:
        """Forget the connection. Does nothing when there is none."""
        ...


class Server(Protocol):
    """Serves one repository, manages who may use it, and runs commands directly on it."""

    @property
    def repository_id(self) -> str:
        """What tells this repository from every other one."""
        ...

    @property
    def authenticates(self) -> bool:
        """Whether it must refuse a client with a wrong password, and one that was removed."""
        ...

    @property
    def isolates_clients(self) -> bool:
        """Whether it promises to show each client its own snapshots only. Where it does not, clients may be shown the
        snapshots of others, of all or of some."""
        ...

    @property
    def manages_users(self) -> bool:
        """Whether clients can be added and removed here."""
        ...

    @property
    def refused_actions(self) -> frozenset[str]:
        """Keys of the actions that are not possible here."""
        ...

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Let these clients in, with a password each that was made for this testbed. Known ones stay as they are."""
        ...

    async def remove_client(self, client: str) -> None:
        """Let this client in no more; in effect when this returns."""
        ...

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added."""
        ...

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client` and has a wrong password. It must get in nowhere."""
        ...

    @property
    def auditor(self) -> Auditor | None:
        """None where there is no way past the server."""
        ...

    async def refresh(self) -> None:
        """Make the server see what was changed directly on the repository."""
        ...

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """Drop what the server and these clients have cached, so that what is restored next must come from the
        repository: a cache can hide that the repository has lost something. For use while no client is at work."""
        ...

    async def storage_bytes(self) -> int | None:
        """How many bytes the repository holds where it is stored; None where that can't be told."""
        ...

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        """Run maintenance directly on the repository: full, or the quick kind that looks for no garbage.

        Unless `is_safe`, what is being written meanwhile may be destroyed: for use while no client is at work.
        Raises OperationFailed also where the target claims success and nothing was done.
        """
        ...


class SecretStore(Protocol):
    """Passwords of one testbed: random, kept in a file of mode 0600, never in the ledger."""

    def get(self, name: str) -> str:
        """The secret of that name, made at the first call."""
        ...


class TargetTime(Protocol):
    """The virtual time that a target is to live by. Each actor has a clock of its own, which may be ahead or behind."""

    def now_ns(self, actor: str) -> int:
        """What the clock of this actor says, in nanoseconds since 1970. Clients are actors by their names; who is none
        has a clock that is right."""
        ...

    def url(self, actor: str, valid_seconds: float) -> str:
        """Where a program asks for the time that is to live by this actor's clock. It adds the real time that passes,
        and asks again after so many seconds. Raises HarnessError where the target's storage is not the gateway, which
        tells the time."""
        ...


@dataclass(frozen=True)
class TargetPlace:
    """Where a target may put its files, and what it needs to know of the testbed."""

    testbed: str
    """The testbed's id, for tags."""
    directory: Path
    """The target owns `repository`, `server` and `clients` below it. All absolute."""
    secrets: SecretStore
    mode: Mode = Mode.SERVER
    is_new: bool = True
    """Create the repository (True) or connect to the one that must be there (False)."""
    operation_seconds_max: float = 300.0
    """After this time an operation is ended, and its outcome is unknown."""
    clients_ahead: Sequence[str] = ()
    """Clients that will soon be let in: what that takes may begin beside the rest."""
    is_exclusive: bool = True
    """The repository and its users are ours alone; otherwise others may work there, with rights that we don't know."""
    seed: int = 0
    """What the target draws for itself follows from it."""
    is_oldest_format: bool = False
    """A new repository is made in the oldest format that the target can still make."""
    upgrades_format: bool = False
    """A repository of an older format is brought to the newest that the target knows."""
    named_storage: Storage | None = None
    """Where the repository is stored, if not in the testbed."""
    storage_secrets: Mapping[str, str] | None = field(default=None, repr=False)
    """Credentials for storage on S3, as variables of the environment; None for those that the user has."""
    stored_bytes: Callable[[], int] | None = None
    """How many bytes the storage holds, where it is snapstorm's own gateway. Blocks."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The target's own settings, of those that its plugin offers."""
    retention: KeepPolicy | None = None
    """What a new repository is told to keep of each source; None for everything. Only for a target whose plugin says
    how its retention counts."""
    workdir: Path | None = None
    """Where clients' files live, each client's in a directory of its name; None for `clients` below `directory`."""
    route: Route | None = None
    """By which way clients reach the server; None for the straight one."""
    time: TargetTime | None = None
    """The virtual time to live by; None for real time."""
    listen_host: str = LOOPBACK
    """Where the server listens: the address of this machine, or the name, by which all clients reach it."""

    @property
    def storage(self) -> Storage:
        """Where the repository is stored."""
        return self.named_storage or FileStorage(self.directory / "repository")

    @property
    def repository(self) -> Path:
        """The directory of a repository that is in one. Raises HarnessError for one that is not."""
        if not isinstance(self.storage, FileStorage):
            raise HarnessError(f"the repository is not in a directory, but in {self.storage}")
        return self.storage.path

    @property
    def server(self) -> Path:
        return self.directory / "server"

    @property
    def work(self) -> Path:
        """Holds a directory for each client, with its files in `data`."""
        return self.workdir or self.directory / "clients"

    def client(self, client: str) -> Path:
        """The directory for configuration, cache and logs (below `logs`) of one client; its files live elsewhere."""
        return self.directory / "clients" / client / "connection"


@dataclass(frozen=True)
class Program:
    """One program under test, identified. Builds of one version differ, so the file's hash counts as well."""

    path: Path
    version: str
    sha256: str


@dataclass(frozen=True)
class TargetDescription:
    """What is under test, for reports."""

    name: str
    programs: tuple[Program, ...] = ()
    """Several where each process is one of them, drawn from the seed."""
    notes: tuple[str, ...] = field(default=())
    """What a reader should know, such as a property that can't be judged here."""

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions of the programs, each once, in the order in which they were given."""
        return tuple(dict.fromkeys(program.version for program in self.programs))

    def as_json(self) -> dict[str, Any]:
        """The same as plain values. Every key is present; what is absent is null."""
        first = self.programs[0] if self.programs else None
        return {
            "name": self.name,
            "version": first.version if first else None,
            "versions": list(self.versions),
            "executable": str(first.path) if first else None,
            "sha256": first.sha256 if first else None,
            "executables": [
                {"path": str(program.path), "version": program.version, "sha256": program.sha256}
                for program in self.programs
            ],
        }


class Target(Protocol):
    """The backup system under test."""

    @property
    def description(self) -> TargetDescription: ...

    @property
    def capabilities(self) -> Capabilities:
        """What survives a snapshot and a restore, for the user that this process runs as."""
        ...

    def capabilities_with(self, parameters: Mapping[str, str]) -> Capabilities:
        """The same, where these of its `parameters` were chosen."""
        return self.capabilities

    @property
    def modes(self) -> frozenset[Mode]:
        """The modes that this target can be driven in."""
        ...

    def serve(self, place: TargetPlace) -> AbstractAsyncContextManager[Server]:
        """Create or connect to the repository at `place`, start the server, and end everything with the block."""
        ...
