"""Abilities: what of a target can be broken or looked at, beside what every `Server` does.

A server that has one implements its protocol as well; a fault looks before it acts, and one that finds no such ability
is not available there. All that is done here is undone by the method beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

from snapstorm.errors import TargetError
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.location import Storage
from snapstorm.model.manifest import Manifest

if TYPE_CHECKING:
    from snapstorm.model.client_access import ClientAccess, ClientPlace
    from snapstorm.model.protocols import ClientSnapshotter

Route: TypeAlias = Callable[[str, str, int], Awaitable[tuple[str, int]]]
"""From a client, and the host and port that it wants to reach, to those that it has to connect to."""


@runtime_checkable
class Restartable(Protocol):
    """The server can be ended, and started again as it was: same address, same certificate."""

    async def end_server(self, *, is_asked: bool) -> None:
        """End it: asked to (TERM), or at once (KILL). Returns once it is gone."""
        ...

    async def start_server(self) -> None:
        """Start it again; returns once it answers. Does nothing while it runs."""
        ...


@runtime_checkable
class InProcess(Protocol):
    """The server is a process of its own on this machine."""

    @property
    def server_pid(self) -> int | None:
        """Its process id; None while it is ended."""
        ...


@runtime_checkable
class ServesInSessions(Protocol):
    """The server has processes of their own for connections, outside the process group of `InProcess.server_pid`."""

    def stop_all(self) -> None:
        """Stop the server and these. Raises ProcessLookupError where there is no server."""
        ...

    def continue_all(self) -> None:
        """Have what was stopped go on. Raises ProcessLookupError where there is no server."""
        ...


@runtime_checkable
class SeesJumps(Protocol):
    """In virtual time, something of the target goes on through jumps, as a server does."""

    async def see_jump(self) -> None:
        """Time has jumped: returns once all of the target goes by the new time."""
        ...


@runtime_checkable
class KeepsTemporaryFiles(Protocol):
    """The server, a process on this machine, has a temporary directory of its own."""

    @property
    def temporary_directory(self) -> Path | None:
        """None while it is ended."""
        ...


@runtime_checkable
class KeepsToItsPlaces(Protocol):
    """Commands run in directories of their own, in which it is known what they are told to write."""

    def stray_files(self) -> Sequence[Path]:
        """What lies there besides."""
        ...


@runtime_checkable
class RunsCommands(Protocol):
    """Clients' operations, and maintenance, are processes of their own on this machine."""

    @property
    def runs_commands(self) -> bool: ...


@runtime_checkable
class Routed(Protocol):
    """Clients reach the server over the network, by the way that `TargetPlace.route` tells them."""

    @property
    def is_routed(self) -> bool: ...


@runtime_checkable
class CachesOfClients(Protocol):
    """Clients keep caches."""

    def client_cache(self, client: str) -> Path:
        """The directory of this client's cache. It may be deleted at any time."""
        ...


@runtime_checkable
class ChecksWholeRepository(Protocol):
    """The target's own check, whichever client asks for it, may be of everybody's snapshots."""

    @property
    def checks_whole_repository(self) -> bool: ...


@dataclass(frozen=True)
class Blob:
    """A file of the repository that holds what clients have backed up."""

    id: str
    """What tells it from every other one, and what stands in the `blobs` of an error that is about it."""
    path: Path
    size_bytes: int
    holds_files: bool = True
    """What is in clients' files, rather than what is known about them: directories, snapshots."""


@runtime_checkable
class StoredInFiles(Protocol):
    """The repository is a directory on this machine."""

    @property
    def storage_directory(self) -> Path | None:
        """None where it is somewhere else this time."""
        ...

    async def content_blobs(self) -> Sequence[Blob]:
        """The files that hold clients' files and directories, in the order of their ids."""
        ...

    @property
    def unfinished_suffix(self) -> str:
        """How the names of files end that the target has not finished writing."""
        ...


class SnapshotMarks(NamedTuple):
    """What tells whose a stored snapshot is, be it complete or not."""

    client: str
    """`user@host`."""
    testbed: str | None
    """The id of the testbed whose tag it carries."""


@runtime_checkable
class ShowsLayout(Protocol):
    """What is stored can be looked at past the server, in the target's own terms. Nobody is at work meanwhile."""

    async def irregularities(self) -> Sequence[str]:
        """In words, what breaks the rules of the target's own layout."""
        ...

    async def stored_snapshots(self) -> Mapping[str, SnapshotMarks] | None:
        """All snapshots that are stored, whoever is shown them, by their ids; None where that can't be told."""
        ...

    async def open_sessions(self) -> int | None:
        """How many writers seem to be at work; None where that can't be told."""
        ...


@runtime_checkable
class NamesObjects(Protocol):
    """What is stored of a file can be named in the target's own terms, for those who look for a cause."""

    async def describe_objects(self, snapshot: str, paths: Sequence[bytes]) -> str:
        """In words, how the target keeps these files of a snapshot: objects, contents, blobs. Read past all caches.

        What can't be found out stands in the words; raises TargetError only where nothing could be.
        """
        ...


@runtime_checkable
class NamesEntries(Protocol):
    """Where a snapshot is entered among all, and its deletion, can be told in the target's own terms."""

    async def describe_entries(self, snapshots: Sequence[str]) -> Mapping[str, str]:
        """For each of these snapshots, in words, what the target has written down of it. Read past all caches.

        Raises TargetError where nothing could be found out.
        """
        ...


@runtime_checkable
class ChangesPasswords(Protocol):
    """Passwords of users can be changed while their clients work. In effect on return."""

    async def change_password(self, client: str) -> None:
        """Give the client's user another password, which the client does not learn."""
        ...

    async def restore_password(self, client: str) -> None:
        """Give the user the password back that the client knows."""
        ...


@runtime_checkable
class NarrowsRights(Protocol):
    """Clients' rights can be taken away and given back while they work. In effect on return."""

    async def narrow_rights(self, client: str) -> None:
        """Let the client read its snapshots only, not take or delete any."""
        ...

    async def widen_rights(self, client: str) -> None:
        """Give the client back what every client may."""
        ...


@runtime_checkable
class RefusesDeletions(Protocol):
    """The server can be restarted so that it lets nobody delete, and as it was. In effect on return."""

    async def refuse_deletions(self) -> None:
        """Restart it so that it only adds: what clients ask to have deleted stays."""
        ...

    async def allow_deletions(self) -> None:
        """Restart it as it was. Does nothing where deletions are allowed."""
        ...


RETENTION = "retention"
"""The name of the setting that says which snapshots expire."""


@runtime_checkable
class SetByOthers(Protocol):
    """Somebody else decides what is kept of clients' trees and what clients may do, and may change it at any time."""

    async def read_settings(self, client: str) -> None:
        """Read what applies to this client anew. It is used from now on.

        Raises HarnessError for what no run can be judged under, TargetError where it can't be read.
        """
        ...

    def settings(self, client: str) -> Mapping[str, str]:
        """What applies to this client, as it was read last, by names for people."""
        ...

    def unknown_settings(self, client: str) -> Sequence[str]:
        """Settings of which it is not known what they do, as they were read last."""
        ...

    async def kept_of(self, client: str, source: Path, tree: Manifest) -> Manifest:
        """What is kept of the client's tree at `source`."""
        ...


@dataclass(frozen=True)
class StoredPlace:
    """Where a repository is stored that nobody serves, and where the commands that open it may put their files."""

    storage: Storage
    directory: Path
    """Private to whoever opens it. Absolute."""
    secret: Callable[[str], str]
    """Gives the secret of a name, of the testbed that the repository is of."""
    storage_secrets: Mapping[str, str]
    """Credentials for storage on S3, as variables of the environment."""
    operation_seconds_max: float = 300.0
    clock: str | None = None
    """The address of the clock that the commands go by; None for real time."""
    may_cache: bool = False
    """Whether commands may remember what they have read: nobody replaces it while the repository is open."""


class StoredRepository(Protocol):
    """An opened repository that nobody serves. Each call reads all that it needs from where it is stored, which may
    have been replaced since the last one, unless the place may be cached."""

    async def list_snapshots(self) -> Sequence[ListedSnapshot]:
        """All complete snapshots, of all clients."""
        ...

    async def verify(self, snapshots: Sequence[str]) -> None:
        """Find these snapshots and read back everything in them. Raises TargetError unless all is there."""
        ...

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Restore a snapshot, or what is at `sub_path` in it, to `destination`, which must not exist."""
        ...

    async def maintain(self) -> None:
        """Run full maintenance, in the way that may run beside other work."""
        ...


@runtime_checkable
class OpensStored(Protocol):
    """A target that can open a stored repository without a server of its own, and knows how its objects on S3 lie in a
    directory."""

    async def open_stored(self, place: StoredPlace) -> StoredRepository:
        """Connect to the repository. Raises TargetError if it can't be opened."""
        ...

    def path_in_directory(self, key: str) -> PurePosixPath:
        """Where the object of this key lies in a repository that is stored in a directory."""
        ...

    @property
    def directory_files(self) -> Mapping[str, bytes]:
        """Files that a repository in a directory has besides, by name."""
        ...

    def commands_to_look(self, directory: str, snapshot: str) -> Sequence[str]:
        """Lines of bash that show, with the target's own program alone, what a repository in this directory holds."""
        ...


@runtime_checkable
class ServesOtherMachines(Protocol):
    """The server may have clients on other machines."""

    @property
    def only_here(self) -> str | None:
        """Why its clients can only be on this machine; None if they can be on others."""
        ...

    def client_access(self, client: str) -> ClientAccess:
        """What makes a client that was added, on any machine. Raises ConfigError where `only_here` says why not."""
        ...

    def add_last_words(self, error: TargetError) -> None:
        """Add to a failure of a client on another machine how the server has ended, if it has."""
        ...


@runtime_checkable
class OpensClients(Protocol):
    """A target that makes clients of a server that may be on another machine."""

    def open_client(self, access: ClientAccess, place: ClientPlace) -> ClientSnapshotter:
        """The client. What `Server.client` returns is made from the same value. Raises HarnessError."""
        ...
