"""What snapstorm asks of a machine elsewhere, and the answers: plain values, as they travel.

Paths are bytes, because names of files are. The state of a client's draws goes along with whatever draws, and comes
back: so a client's choices are the same wherever it runs.
"""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

import msgspec

from snapstorm.filesystem.explain import ContentExplained
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt, WriteReport
from snapstorm.model.manifest import Entry

Answer = TypeVar("Answer", covariant=True)


class HostRequest(msgspec.Struct, Generic[Answer], frozen=True, tag=True):
    """One call. `answer` is the type of what it gives."""

    answer: ClassVar[type]


class Done(msgspec.Struct, frozen=True):
    """There is nothing to say but that it is done."""


class FilesState(msgspec.Struct, frozen=True):
    """What is known of a client's files after a call."""

    can_apply: frozenset[str]
    """Keys of the file actions that would find something to act on."""


class Begun(msgspec.Struct, frozen=True):
    """Where a run's files are on that machine."""

    workdir: bytes
    """Holds a directory for each client."""


class BeginRun(HostRequest[Begun], frozen=True):
    """A run begins: what an earlier one has left is removed. The first request to each incarnation of a machine."""

    answer = Begun
    testbed: str
    shared_directory: bytes | None
    """The directory of the testbed, if that machine is the coordinator's own."""
    shared_workdir: bytes | None
    """The same for the directory of clients' files."""
    capabilities: str
    """As JSON: what writers may make."""
    data_bytes_max: int
    programs: tuple[bytes, ...]
    """The programs of the target on that machine; empty if it is to search for one."""


class OpenWriter(HostRequest[FilesState], frozen=True):
    """Open a client's files."""

    answer = FilesState
    client: str
    remembered: bytes | None
    """The manifest of the tree, as it was seen last."""


class Applied(msgspec.Struct, frozen=True):
    """What became of a change."""

    report: WriteReport | None
    """None where there was nothing to act on."""
    reason: str
    draws: bytes
    state: FilesState


class ApplyAction(HostRequest[Applied], frozen=True):
    """Change a client's files."""

    answer = Applied
    client: str
    action: str
    options: str
    """Of the action, as JSON."""
    draws: bytes


class FreeSpace(HostRequest[Applied], frozen=True):
    """Delete about half of a client's files."""

    answer = Applied
    client: str
    draws: bytes


class Scanned(msgspec.Struct, frozen=True):
    """What a client's files are."""

    manifest: bytes
    changes: list[str]
    """By others, since they were watched."""
    state: FilesState


class ScanFiles(HostRequest[Scanned], frozen=True):
    """Look at a client's files."""

    answer = Scanned
    client: str


class Adopt(HostRequest[Scanned], frozen=True):
    """Make what an operation has restored a client's files."""

    answer = Scanned
    client: str
    operation: str


class WatchFiles(HostRequest[Done], frozen=True):
    """From now on others may not change a client's files."""

    answer = Done
    client: str


class Changes(msgspec.Struct, frozen=True):
    """What others have changed."""

    lines: list[str]
    state: FilesState


class FindChanges(HostRequest[Changes], frozen=True):
    """What others have changed in a client's files since they were watched."""

    answer = Changes
    client: str


class Picked(msgspec.Struct, frozen=True):
    """A directory that was drawn, if there is one."""

    path: bytes | None
    draws: bytes


class PickDirectory(HostRequest[Picked], frozen=True):
    """Draw one of the directories of a client's files."""

    answer = Picked
    client: str
    draws: bytes


class NewRestore(HostRequest[Done], frozen=True):
    """Make the place to which an operation restores."""

    answer = Done
    client: str
    operation: str


class ClearRestore(HostRequest[Done], frozen=True):
    """Remove what was restored there until now."""

    answer = Done
    client: str
    operation: str


class Restored(msgspec.Struct, frozen=True):
    """What was restored."""

    manifest: bytes | None
    """None if what is compared of it is what was wanted."""
    strays: list[bytes]
    """What stands beside it."""


class ScanRestore(HostRequest[Restored], frozen=True):
    """Look at what an operation has restored."""

    answer = Restored
    client: str
    operation: str
    wanted: bytes
    """What is compared must have this digest (`judging.digest_of`)."""
    capabilities: str
    """Under which it is compared, as JSON."""
    is_detailed: bool
    """Whether the manifest that is promised is."""
    is_small: bool


class Explained(msgspec.Struct, frozen=True):
    """What is wrong in files."""

    contents: dict[bytes, ContentExplained]


class ExplainRestore(HostRequest[Explained], frozen=True):
    """Explain what differs in restored files."""

    answer = Explained
    client: str
    operation: str
    expected: list[Entry]


class Fetched(msgspec.Struct, frozen=True):
    """A tree."""

    archive: bytes
    """As tar."""


class FetchRestore(HostRequest[Fetched], frozen=True):
    """Fetch what was restored: all of a small tree, else the files that differ. What was fetched is there no more."""

    answer = Fetched
    client: str
    operation: str
    differing: list[bytes]
    bytes_total: int


class RemoveRestore(HostRequest[Done], frozen=True):
    """Remove the place to which an operation has restored, now or soon."""

    answer = Done
    client: str
    operation: str
    entries: int
    is_small: bool


class MakeTree(HostRequest[Scanned], frozen=True):
    """Make a small tree of snapstorm's own beside a client's files."""

    answer = Scanned
    client: str
    name: str
    text: str


class RemoveTree(HostRequest[Done], frozen=True):
    """Remove it."""

    answer = Done
    client: str
    name: str


class Signalled(msgspec.Struct, frozen=True):
    """How many groups of processes got a signal."""

    count: int


class SignalOperation(HostRequest[Signalled], frozen=True):
    """Send a signal to the processes that run on behalf of an operation. 0 only counts them."""

    answer = Signalled
    of: str
    number: int


class Ended(msgspec.Struct, frozen=True):
    """What was ended, each in words."""

    shown: tuple[str, ...]


class EndStrays(HostRequest[Ended], frozen=True):
    """End the processes that have left the commands which started them, and do not end by themselves."""

    answer = Ended


class AskConnection(HostRequest[Done], frozen=True):
    """Connect a client to the server; with what is given for that, if it is the first time."""

    answer = Done
    client: str
    access: bytes
    """A `ClientAccess`. It holds passwords."""
    address: str | None
    """Where the client reaches the server, as HOST:PORT, if not where that listens."""


class AskDisconnection(HostRequest[Done], frozen=True):
    """Have a client forget its connection."""

    answer = Done
    client: str


class AskCreation(HostRequest[SnapshotReceipt], frozen=True):
    """Have a client take a snapshot."""

    answer = SnapshotReceipt
    client: str
    source: bytes
    operation: str


class AskRestore(HostRequest[Done], frozen=True):
    """Have a client restore a snapshot."""

    answer = Done
    client: str
    snapshot: str
    destination: bytes
    sub_path: bytes


class AskDeletion(HostRequest[Done], frozen=True):
    """Have a client delete a snapshot."""

    answer = Done
    client: str
    snapshot: str


class AskExpiry(HostRequest[Done], frozen=True):
    """Have a client delete all but the latest snapshots of a source."""

    answer = Done
    client: str
    source: bytes
    keep_latest: int


class Listed(msgspec.Struct, frozen=True):
    """What a client is shown."""

    snapshots: tuple[ListedSnapshot, ...]


class AskListing(HostRequest[Listed], frozen=True):
    """Have a client list snapshots."""

    answer = Listed
    client: str


class AskCheck(HostRequest[Done], frozen=True):
    """Have a client run the target's own check."""

    answer = Done
    client: str
