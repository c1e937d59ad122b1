"""What a kind of target is to the rest of snapstorm: one object, found by its name.

A target is a folder, or a distribution of its own, with a subclass of `TargetPlugin`. An instance of it is declared in
the entry-point group `snapstorm.targets`:

    [project.entry-points."snapstorm.targets"]
    tar = "snapstorm_tar.plugin:PLUGIN"

Every plugin is loaded for the help of commands that have options of targets, so its module must be quick to import:
what a run needs, methods import when they are called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from snapstorm.errors import ConfigError
from snapstorm.ledger.persisters import Persister
from snapstorm.model.location import Storage
from snapstorm.model.manifest import Manifest
from snapstorm.model.protocols import Mode, Target
from snapstorm.runtime.process import ProcessRunner

if TYPE_CHECKING:
    from snapstorm.ledger.record import RecordedCommand
    from snapstorm.targets.known_bug import KnownBugs
    from snapstorm.targets.planted import Specimens

MakeTarget: TypeAlias = Callable[[ProcessRunner], Target]
"""Makes a target once a testbed is open."""

OpenPersister: TypeAlias = Callable[
    [ProcessRunner, Path, Callable[[str], str], float], AbstractAsyncContextManager[Persister]
]
"""Opens what keeps copies of a ledger. Takes a directory that goes with the block, what gives the secret of a name, and
the time for an operation in seconds."""


class ExternalServer(Protocol):
    """A server that already runs, and the users that its operator made for us."""

    @property
    def target(self) -> str:
        """The name of the target that it is of."""
        ...

    @property
    def users(self) -> Sequence[str]:
        """The clients that it lets in."""
        ...

    @property
    def warning(self) -> str:
        """What a run will do there, for the operator to agree to."""
        ...


@dataclass(frozen=True)
class TargetOptions:
    """Options of the command line that only one target has.

    A target subclasses this as a frozen dataclass: each field is an option, with a default and a docstring for the
    help. A `Path` is absolute and clean.
    """

    def external_server(self, testbed: Path | None) -> ExternalServer | None:
        """The server that already runs, if one was named. Raises ConfigError unless all that it needs was."""
        return None

    @property
    def is_upgrade(self) -> bool:
        """Whether the programs run one after the other, instead of side by side."""
        return False


@dataclass(frozen=True)
class Shown:
    """What a run has shown, which the script of a bug report is to show again."""

    guarantee: str
    operations: Collection[str | None]
    """Those that showed it; None stands for what was looked at beside them."""
    faults: Collection[str] = ()
    """That struck."""
    is_sequence: bool = True
    """Whether one step followed the other."""


@dataclass(frozen=True)
class TargetPlugin(ABC):
    """A kind of target. What most targets don't have, the methods here answer with nothing."""

    name: str
    """By which people choose it; the name of its entry point."""
    sentence: str
    """What it is."""
    has_programs: bool = True
    """Whether it consists of programs, which people can name."""
    has_planted_defects: bool = False
    """Whether it has planted defects of its own, beside those that can be planted in every target (`NAME:DEFECT`)."""
    has_bucket_storage: bool = False
    """Whether its repository can be stored on S3."""
    has_gateway_storage: bool = False
    """Whether it can be stored behind the gateway, if it can't be stored on S3 in general."""
    bucket_modes: frozenset[Mode] = frozenset(Mode)
    """The modes in which its repository can be stored on S3 or behind the gateway, if it can."""
    keeps_copies: bool = False
    """Whether copies of a ledger can be kept as snapshots in a repository of it, at the place `NAME:DIRECTORY`."""
    has_utf8_paths_only: bool = False
    """Whether nothing that it works on may have a path that is not UTF-8."""
    retention_ends_at_latest: bool | None = None
    """How the periods of its retention are counted (see `model.retention.Retention`); None if it has no retention that
    a run may set. Each snapshot of a target that has one is dated, in receipts and listings."""
    has_virtual_time: bool = False
    """Whether it can live by a clock that its place gives it (`TargetPlace.time`), in place of the machine's."""
    gateway_parameters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Settings as in `parameters` that only a repository behind the gateway can have."""
    parameters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Its own settings that a scenario may choose, each with its values, the default first."""
    parameters_not_drawn: Collection[str] = ()
    """Those of them that nobody draws at random, because they take what a machine may lack."""
    options: Mapping[str, type[TargetOptions]] = field(default_factory=dict)
    """By command (`run`, `sweep`), the options that only this target has."""

    @abstractmethod
    def find(self, programs: Sequence[Path], defect: str | None, server: ExternalServer | None) -> MakeTarget:
        """Find the programs, or take those that people have named, changing nothing, and return what makes the target.

        Each process will be one of the programs. `defect` is one of its own. Raises ConfigError for a defect that there
        is not, HarnessError, one line, when a program can't be found or is not what it should be.
        """

    def find_virtual(self, programs: Sequence[Path], defect: str | None) -> MakeTarget:
        """Like `find`, of programs that can live in virtual time. Raises HarnessError also for one that can't."""
        return self.find(programs, defect, None)

    def find_version(self, version: str) -> Path:
        """Its program of just this version. Raises ConfigError if it has no versions, HarnessError if there is none."""
        raise ConfigError(f"the target {self.name} has no versions to run through")

    def find_persister(self, storage: Storage, programs: Sequence[Path]) -> OpenPersister:
        """What keeps copies of a ledger as snapshots there, changing nothing. Raises HarnessError without a program."""
        raise NotImplementedError(f"{self.name} says that it keeps copies, and does not")

    def script(
        self, commands: Sequence[RecordedCommand], shown: Shown, manifest_of: Callable[[str], Manifest | None]
    ) -> Iterator[str] | None:
        """The lines of a script for a bug report that needs no snapstorm. `manifest_of` knows the trees by digest."""
        return None

    def specimens(self, programs: Sequence[Path]) -> Specimens | None:
        """What is run against the judge to see what it catches. Raises HarnessError when a program can't be found."""
        from snapstorm.targets.planted import specimens_of  # noqa: PLC0415

        return specimens_of(self.name, programs)

    @property
    def known_bugs(self) -> KnownBugs[Any] | None:
        """Its bugs that are known, and can be provoked."""
        return None
