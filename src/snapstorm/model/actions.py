"""Actions: what a client can be asked to do, as frozen values that are validated at birth.

Each class is one action, in a class for its family. `key` is its name on the command line, in scenario files and in
reports; its docstring is what `snapstorm actions` prints; its fields are its options; its other class variables are its
traits, from which everybody else learns what there is to know of it. Defining an action puts it into `ACTIONS`.

An action says *what*; the draws that fill in the rest (which file, which snapshot) come from the client's own stream of
random numbers at the step where it runs. `snapstorm.actions` holds what performs each.
"""

from __future__ import annotations

import functools
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from snapstorm.model.action_results import Comparison, ListedSnapshot, TakenSnapshot, WriteReport
from snapstorm.model.amounts import Depth, FileBytes, FileCount, Percent, PercentAboveZero, Span
from snapstorm.model.change_kinds import MetadataKind, ModifyKind

Result = TypeVar("Result", covariant=True)

LATEST = "latest"
"""In place of a snapshot's id: the live snapshot that this client took last."""

ACTIONS: dict[str, type[Action[Any]]] = {}
"""Every action by its key, in the order in which they were defined, which is how they are listed to people."""


class Family(StrEnum):
    """What actions have in common that share a colour in reports."""

    SNAPSHOT = "snapshot"
    RESTORE = "restore"
    DELETE = "delete"
    LOOK = "look"
    FILES = "files"
    UPKEEP = "upkeep"


class Action(BaseModel, Generic[Result]):
    """One step of a client, which gives a `Result`. Frozen, and refuses unknown or impossible options when made.

    A class that has a `key` of its own is an action; the others only hold what several have in common.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: ClassVar[str]
    family: ClassVar[Family]
    asks_for: ClassVar[str] = ""
    """What it asks of the target, in a word: what hangs for one action is taken to hang for all that ask for the same.
    Default: its key."""
    needs_snapshot: ClassVar[bool] = False
    """It acts on live snapshots of its client, and is a no-op while there are none."""
    needs_right_to_delete: ClassVar[bool] = False
    is_killable: ClassVar[bool] = False
    """Its commands write or read much, so it is worth killing them in the midst of it."""
    is_repeatable: ClassVar[bool] = False
    """It changes nothing, so that several in a row are one that is repeated."""
    takes_room: ClassVar[bool] = False
    """It makes the repository larger."""
    gives_room: ClassVar[bool] = False
    """It makes the repository smaller, sooner or later."""
    deck_places: ClassVar[int] = 1
    """How many steps it takes until it is done, with the snapshots that must be there first."""
    swarm_weight_max: ClassVar[int] = 40
    """How much a swarm may have of it; 0 keeps it out of every swarm."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if "key" not in cls.__dict__:
            return
        if cls.key in ACTIONS:
            raise TypeError(f"two actions are called {cls.key}: {ACTIONS[cls.key].__name__} and {cls.__name__}")
        cls.asks_for = cls.asks_for or cls.key
        ACTIONS[cls.key] = cls

    @functools.cached_property
    def options_json(self) -> str:
        """The options that it was given, as JSON."""
        return self.model_dump_json(exclude_unset=True)

    @property
    def is_exclusive(self) -> bool:
        """Whether it makes sense, or is safe, only while no other client is at work."""
        return False

    @property
    def result_of_no_op(self) -> Result | None:
        """What it gives where there was nothing to act on. None if it has nothing to give then."""
        return None

    def on_snapshot(self, _snapshot: str) -> Action[Any]:
        """The action that does the same to the snapshot of this id. The action itself if it can't be told which."""
        return self


class FileAction(Action[WriteReport]):
    """An action on the client's own files, which asks nothing of the target."""

    family = Family.FILES

    @property
    def result_of_no_op(self) -> WriteReport:
        return WriteReport()


class Creation(Action[TakenSnapshot]):
    """An action that takes a snapshot."""

    family = Family.SNAPSHOT
    asks_for = "snapshot-root"
    is_killable = True
    takes_room = True


class Restore(Action[Comparison]):
    """An action that restores a live snapshot, or a part of one, and has it compared."""

    family = Family.RESTORE
    asks_for = "restore-snapshot"
    needs_snapshot = True
    is_killable = True


class Deletion(Action[None]):
    """An action that deletes live snapshots."""

    family = Family.DELETE
    asks_for = "delete-snapshot"
    needs_snapshot = True
    needs_right_to_delete = True
    is_killable = True
    gives_room = True
    deck_places = 2


class Inspection(Action[Result], Generic[Result]):
    """An action that looks at what is there, and changes nothing."""

    family = Family.LOOK


class Upkeep(Action[None]):
    """An action on the repository as a whole."""

    family = Family.UPKEEP


class WriteRandomFiles(FileAction):
    """Write new files into one random directory of the tree, making it where needed."""

    key = "write-random-files"
    count: FileCount = Span(low=1, high=10)
    size_bytes: FileBytes = Span(low=0, high=65_536)
    size_distribution: Literal["log-uniform", "uniform"] = "log-uniform"
    """How sizes are drawn from a range: log-uniform gives many small files and a few large ones, as real trees have."""
    depth: Depth = Span(low=0, high=3)
    total_bytes_max: Annotated[int, Field(ge=1, le=1 << 44)] = 512 << 20
    """The action stops early rather than write more than this."""
    duplicate_percent: Percent = 20
    """How many of the files repeat the content of another file, for deduplication to find."""
    compressible_percent: Percent = 50
    odd_percent: Percent = 15
    """How many entries are odd: links, sparse or empty files, special files, unusual names, modes and times. 0 writes
    plain files."""
    links: bool = True
    """Whether symbolic links are among the odd entries."""
    one_of_each: bool = False
    """Besides, write one small entry of each odd kind, mode and shape of name that the target keeps. The first such
    action that a client draws does so, unless odd_percent is 0."""
    small_first: bool = False
    """Bound the size of a client's first files: by 64 KiB at its first step, by twice as much every second step. Only
    for actions that are drawn."""


class ModifyFiles(FileAction):
    """Change existing files: overwrite blocks in place (same size), append, truncate, rename or replace."""

    key = "modify-files"
    count: FileCount = Span(low=1, high=10)
    kinds: Annotated[frozenset[ModifyKind], Field(min_length=1)] = frozenset(ModifyKind)
    """Replacing puts a new file in the place of one name of a file, a link or a special file. By default this is done
    only where the target keeps hard links or special files."""


class ChangeMetadata(FileAction):
    """Change what is known about files, not what is in them: mode, mtime, owner (as root), extended attributes."""

    key = "change-metadata"
    count: FileCount = Span(low=1, high=10)
    kinds: Annotated[frozenset[MetadataKind], Field(min_length=1)] = frozenset(MetadataKind)
    """Kinds that the target does not restore, or that only root may change, are left out when the action runs."""


class DeleteFiles(FileAction):
    """Delete a percentage of the entries of one random directory, directories included."""

    key = "delete-files"
    percent: PercentAboveZero = 50


class DeleteRandomSubdirectory(FileAction):
    """Delete one random subdirectory with everything below it."""

    key = "delete-random-subdirectory"


class SnapshotRoot(Creation):
    """Snapshot the client's whole data directory."""

    key = "snapshot-root"


class SnapshotSubpath(Creation):
    """Snapshot one random directory below the client's data directory, as a source of its own."""

    key = "snapshot-subpath"


class RestoreSnapshot(Restore):
    """Restore one snapshot into an empty directory and compare every entry and byte."""

    key = "restore-snapshot"
    is_repeatable = True
    swarm_weight_max = 0  # `RestoreRandomSnapshot` draws the snapshot.
    id: Annotated[str, Field(min_length=1)] = LATEST

    def on_snapshot(self, snapshot: str) -> RestoreSnapshot:
        return RestoreSnapshot(id=snapshot)


class RestoreRandomSnapshot(Restore):
    """Restore one of the client's live snapshots into an empty directory and compare every entry and byte."""

    key = "restore-random-snapshot"
    is_repeatable = True

    def on_snapshot(self, snapshot: str) -> RestoreSnapshot:
        return RestoreSnapshot(id=snapshot)


class RestoreSubpath(Restore):
    """Restore one random directory or file from inside a live snapshot, and compare it."""

    key = "restore-subpath"


class RestoreIntoDataDirectory(Restore):
    """Restore a live snapshot, compare it, and go on from it: the restored tree becomes the client's data directory."""

    key = "restore-into-data-directory"


class DeleteSnapshot(Deletion):
    """Delete one snapshot of the client."""

    key = "delete-snapshot"
    swarm_weight_max = 0
    id: Annotated[str, Field(min_length=1)] = LATEST

    def on_snapshot(self, snapshot: str) -> DeleteSnapshot:
        return DeleteSnapshot(id=snapshot)


class DeleteRandomSnapshot(Deletion):
    """Delete one of the client's live snapshots."""

    key = "delete-random-snapshot"

    def on_snapshot(self, snapshot: str) -> DeleteSnapshot:
        return DeleteSnapshot(id=snapshot)


class DeleteSnapshots(Deletion):
    """Delete all of the client's live snapshots but the latest, or the oldest, few; one by one, until one fails."""

    key = "delete-snapshots"
    swarm_weight_max = 0
    keep: Literal["latest", "oldest"] = "latest"
    keep_count: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class Expire(Deletion):
    """Apply a retention policy to the client's data directory: all but its latest snapshots are deleted, no other."""

    key = "expire"
    asks_for = key
    deck_places = 3
    keep_latest: Annotated[int, Field(ge=1, le=1_000_000)] = 5


class ListSnapshots(Inspection[tuple[ListedSnapshot, ...]]):
    """List snapshots and compare the listing with what the client must see, no more and no less."""

    key = "list-snapshots"
    is_repeatable = True
    swarm_weight_max = 4  # Costly beside the rest, as a collection is, and a few go a long way.


class VerifyRepository(Inspection[None]):
    """Run the target's own check over the client's snapshots; a complaint is held against it."""

    key = "verify-repository"
    is_repeatable = True


class RunGc(Upkeep):
    """Collect garbage directly on the repository, while the server and the other clients go on."""

    key = "run-gc"
    gives_room = True
    swarm_weight_max = 4
    kind: Literal["quick", "full", "random"] = "full"
    """random: one of the two, drawn each time. Only a full collection looks for what no snapshot needs any more."""
    safety: Literal["full", "none"] = "full"
    """none: at once, without the time that shields what is being written meanwhile. Only while nobody else works."""

    @property
    def is_exclusive(self) -> bool:
        return self.safety == "none"


class AdvanceTime(Upkeep):
    """Have virtual days or hours pass at once. Only for scenarios in virtual time."""

    key = "advance-time"
    swarm_weight_max = 0
    days: Annotated[float, Field(ge=0, le=3_660)] | None = None
    """Default, unless hours are given: 1."""
    hours: Annotated[float, Field(ge=0, le=87_840)] | None = None

    @model_validator(mode="after")
    def _goes_forward(self) -> AdvanceTime:
        if self.seconds <= 0:
            raise ValueError("time only goes forward: the days and hours must be above 0")
        return self

    @property
    def seconds(self) -> float:
        """How much time passes."""
        if self.days is None and self.hours is None:
            return 86_400.0
        return (self.days or 0.0) * 86_400.0 + (self.hours or 0.0) * 3_600.0

    @property
    def is_exclusive(self) -> bool:
        return True


class MarkStorage(Inspection[None]):
    """Remember how many bytes the repository holds now, for `check-storage` to compare with."""

    key = "mark-storage"

    @property
    def is_exclusive(self) -> bool:
        return True


class CheckStorage(Inspection[None]):
    """Compare how many bytes the repository holds with the mark; to have grown by more than allowed is a leak."""

    key = "check-storage"
    growth_percent_max: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    slack_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = 1 << 20
    """So much more is allowed besides: indexes and logs take room, too."""

    @property
    def is_exclusive(self) -> bool:
        return True


def keys_of(family: Family) -> tuple[str, ...]:
    """The keys of all actions of a family."""
    return tuple(key for key, action in ACTIONS.items() if action.family is family)


def describe(action: Action[Any]) -> str:
    """The action as one writes it in a test: `WriteRandomFiles(count=100)`, defaults left out, keys in order."""
    options = ", ".join(f"{name}={_as_code(getattr(action, name))}" for name in sorted(action.model_fields_set))
    return f"{type(action).__name__}({options})"


def _as_code(value: object) -> str:
    if isinstance(value, Span):
        return f'"{value}"'
    if isinstance(value, frozenset):
        return repr(sorted(str(item) for item in value))
    return repr(value)
