"""Actions: what a client can be asked to do, as frozen values that are validated at birth.

Each class is one action. Its `key` is its name on the command line, in scenario files and in reports; its docstring is
what `snapstorm actions` prints; its fields are its options. An action says *what*; the draws that fill in the rest
(which file, which snapshot) come from the client's own stream of random numbers at the step where it runs.
"""

from __future__ import annotations

import functools
import math
import random
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator


class Span(BaseModel):
    """An inclusive range from which a number is drawn each time; written `"1..100"` in scenario files."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    low: int
    high: int

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if self.low > self.high:
            raise ValueError(f"the range {self} is upside down")
        return self

    @model_serializer
    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


def _read_amount(value: Any) -> Any:
    """Accept `5`, `"5"`, `"1..5"` and `Span(...)`; refuse booleans, which Python counts as integers."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number or a range such as 1..100")
    if isinstance(value, str):
        low, dots, high = value.replace("_", "").partition("..")
        try:
            ends = [int(low), int(high)] if dots else [int(low)]
        except ValueError as error:
            raise ValueError(f"must be a whole number or a range such as 1..100, not {value!r}") from error
        if ends != sorted(ends):
            raise ValueError(f"the range {value} is upside down: write {high}..{low}")
        return Span(low=ends[0], high=ends[1]) if dots else ends[0]
    return value


def _within(low: int, high: int) -> BeforeValidator:
    def check(value: Any) -> Any:
        amount = _read_amount(value)
        ends = (amount.low, amount.high) if isinstance(amount, Span) else (amount,)
        if not all(isinstance(end, int) and low <= end <= high for end in ends):
            raise ValueError(f"must be from {low:,} to {high:,}, not {value}")
        return amount

    return BeforeValidator(check)


# A fixed number, or a range to draw from. The bounds are generous and exist to catch slips of the keyboard.
FileCount: TypeAlias = Annotated[int | Span, _within(1, 10_000_000)]
FileBytes: TypeAlias = Annotated[int | Span, _within(0, 1 << 40)]
Depth: TypeAlias = Annotated[int | Span, _within(0, 64)]
Percent: TypeAlias = Annotated[int, Field(ge=0, le=100)]
PercentAboveZero: TypeAlias = Annotated[int, Field(ge=1, le=100)]


LATEST = "latest"
"""In place of a snapshot's id: the live snapshot that this client took last."""


def draw(amount: int | Span, draws: random.Random) -> int:
    """The number itself, or one drawn evenly from its range."""
    return draws.randint(amount.low, amount.high) if isinstance(amount, Span) else amount


def draw_size(size_bytes: int | Span, distribution: str, draws: random.Random) -> int:
    """A file's size in bytes from its range."""
    if not isinstance(size_bytes, Span) or distribution == "uniform":
        return draw(size_bytes, draws)
    # One more than the size, so that a range may begin at 0.
    low, high = math.log(size_bytes.low + 1), math.log(size_bytes.high + 1)
    return min(size_bytes.high, max(size_bytes.low, round(math.exp(draws.uniform(low, high))) - 1))


class Action(BaseModel):
    """One step of a client. Frozen, and refuses unknown or impossible options when made."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: ClassVar[str]

    @functools.cached_property
    def options_json(self) -> str:
        """The options that it was given, as JSON."""
        return self.model_dump_json(exclude_unset=True)

    @property
    def is_exclusive(self) -> bool:
        """Whether it makes sense, or is safe, only while no other client is at work."""
        return False


class FileAction(Action):
    """An action on the client's own files; carried out by its `FileWriter`."""


class TargetAction(Action):
    """An action on the target; carried out by the client's `Snapshotter`."""


class Oddity(StrEnum):
    """Kinds of entries and names that real trees have and simple generators forget."""

    EMPTY_FILE = "empty-file"
    EMPTY_DIRECTORY = "empty-directory"
    SYMLINK = "symlink"
    DANGLING_SYMLINK = "dangling-symlink"
    SPARSE_FILE = "sparse-file"
    ODD_NAME = "odd-name"
    ODD_MODE = "odd-mode"
    OLD_MTIME = "old-mtime"
    NON_UTF8_NAME = "non-utf8-name"
    HARD_LINK = "hard-link"
    XATTR = "xattr"


class WriteRandomFiles(FileAction):
    """Write new files into one random directory of the tree, making it where needed."""

    key: ClassVar[str] = "write-random-files"
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
    """How many entries are odd: links, sparse or empty files, unusual names, modes and times. 0 writes plain files."""
    links: bool = True
    """Whether symbolic links are among the odd entries."""
    one_of_each: bool = False
    """Besides, write one small entry of each odd kind, mode and shape of name that the target keeps. The first such
    action that a client draws does so, unless odd_percent is 0."""
    small_first: bool = False
    """Bound the size of a client's first files: by 64 KiB at its first step, by twice as much every second step. Only
    for actions that are drawn."""


class DeleteRandomSubdirectory(FileAction):
    """Delete one random subdirectory with everything below it."""

    key: ClassVar[str] = "delete-random-subdirectory"


class DeleteFiles(FileAction):
    """Delete a percentage of the entries of one random directory, directories included."""

    key: ClassVar[str] = "delete-files"
    percent: PercentAboveZero = 50


class ModifyKind(StrEnum):
    IN_PLACE = "in-place"
    APPEND = "append"
    TRUNCATE = "truncate"
    RENAME = "rename"


class ModifyFiles(FileAction):
    """Change existing files: overwrite blocks in place (same size), append, truncate or rename."""

    key: ClassVar[str] = "modify-files"
    count: FileCount = Span(low=1, high=10)
    kinds: Annotated[frozenset[ModifyKind], Field(min_length=1)] = frozenset(ModifyKind)


class MetadataKind(StrEnum):
    MODE = "mode"
    MTIME = "mtime"
    OWNER = "owner"
    XATTR = "xattr"


class ChangeMetadata(FileAction):
    """Change what is known about files, not what is in them: mode, mtime, owner (as root), extended attributes."""

    key: ClassVar[str] = "change-metadata"
    count: FileCount = Span(low=1, high=10)
    kinds: Annotated[frozenset[MetadataKind], Field(min_length=1)] = frozenset(MetadataKind)
    """Kinds that the target does not restore, or that only root may change, are left out when the action runs."""


class SnapshotRoot(TargetAction):
    """Snapshot the client's whole data directory."""

    key: ClassVar[str] = "snapshot-root"


class SnapshotSubpath(TargetAction):
    """Snapshot one random directory below the client's data directory, as a source of its own."""

    key: ClassVar[str] = "snapshot-subpath"


class RestoreSnapshot(TargetAction):
    """Restore one snapshot into an empty directory and compare every entry and byte."""

    key: ClassVar[str] = "restore-snapshot"
    id: Annotated[str, Field(min_length=1)] = LATEST


class RestoreRandomSnapshot(TargetAction):
    """Restore one of the client's live snapshots into an empty directory and compare every entry and byte."""

    key: ClassVar[str] = "restore-random-snapshot"


class RestoreSubpath(TargetAction):
    """Restore one random directory or file from inside a live snapshot, and compare it."""

    key: ClassVar[str] = "restore-subpath"


class RestoreIntoDataDirectory(TargetAction):
    """Restore a live snapshot, compare it, and go on from it: the restored tree becomes the client's data directory."""

    key: ClassVar[str] = "restore-into-data-directory"


class DeleteSnapshot(TargetAction):
    """Delete one snapshot of the client."""

    key: ClassVar[str] = "delete-snapshot"
    id: Annotated[str, Field(min_length=1)] = LATEST


class DeleteRandomSnapshot(TargetAction):
    """Delete one of the client's live snapshots."""

    key: ClassVar[str] = "delete-random-snapshot"


class DeleteSnapshots(TargetAction):
    """Delete all of the client's live snapshots but the latest, or the oldest, few; one by one, until one fails."""

    key: ClassVar[str] = "delete-snapshots"
    keep: Literal["latest", "oldest"] = "latest"
    keep_count: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class Expire(TargetAction):
    """Apply a retention policy to the client's data directory: all but its latest snapshots are deleted, no other."""

    key: ClassVar[str] = "expire"
    keep_latest: Annotated[int, Field(ge=1, le=1_000_000)] = 5


class ListSnapshots(TargetAction):
    """List snapshots and compare the listing with what the client must see, no more and no less."""

    key: ClassVar[str] = "list-snapshots"


class VerifyRepository(TargetAction):
    """Run the target's own check over the client's snapshots; a complaint is held against it."""

    key: ClassVar[str] = "verify-repository"


class RunGc(TargetAction):
    """Collect garbage directly on the repository, while the server and the other clients go on."""

    key: ClassVar[str] = "run-gc"
    kind: Literal["quick", "full", "random"] = "full"
    """random: one of the two, drawn each time. Only a full collection looks for what no snapshot needs any more."""
    safety: Literal["full", "none"] = "full"
    """none: at once, without the time that shields what is being written meanwhile. Only while nobody else works."""

    @property
    def is_exclusive(self) -> bool:
        return self.safety == "none"


class MarkStorage(TargetAction):
    """Remember how many bytes the repository holds now, for `check-storage` to compare with."""

    key: ClassVar[str] = "mark-storage"

    @property
    def is_exclusive(self) -> bool:
        return True


class CheckStorage(TargetAction):
    """Compare how many bytes the repository holds with the mark; to have grown by more than allowed is a leak."""

    key: ClassVar[str] = "check-storage"
    growth_percent_max: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    slack_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = 1 << 20
    """So much more is allowed besides: indexes and logs take room, too."""

    @property
    def is_exclusive(self) -> bool:
        return True


ACTIONS: dict[str, type[Action]] = {
    action.key: action
    for action in (
        WriteRandomFiles,
        ModifyFiles,
        ChangeMetadata,
        DeleteFiles,
        DeleteRandomSubdirectory,
        SnapshotRoot,
        SnapshotSubpath,
        RestoreSnapshot,
        RestoreRandomSnapshot,
        RestoreSubpath,
        RestoreIntoDataDirectory,
        DeleteSnapshot,
        DeleteRandomSnapshot,
        DeleteSnapshots,
        Expire,
        ListSnapshots,
        VerifyRepository,
        RunGc,
        MarkStorage,
        CheckStorage,
    )
}
"""Every action by its key, in the order in which they are listed to people."""


def describe(action: Action) -> str:
    """The action as one writes it in a test: `WriteRandomFiles(count=100)`, defaults left out, keys in order."""
    options = ", ".join(f"{name}={_as_code(getattr(action, name))}" for name in sorted(action.model_fields_set))
    return f"{type(action).__name__}({options})"


def _as_code(value: object) -> str:
    if isinstance(value, Span):
        return f'"{value}"'
    if isinstance(value, frozenset):
        return repr(sorted(str(item) for item in value))
    return repr(value)
