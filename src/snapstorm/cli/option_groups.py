"""Options that several commands have, each declared once: as a type, or as a dataclass for a group of them."""

# Annotations are values here, not strings: cyclopts reads those of a dataclass where one that extends it stands.
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cyclopts import Group, Parameter

from snapstorm.cli.words import TypedPath
from snapstorm.targets.registry import DEFAULT_TARGET

WHAT = Group("What runs", sort_key=1)
WHERE = Group("Where and against what", sort_key=2)
TARGETS_SORT_KEY = 3
COPIES = Group("Copies of the ledger", sort_key=4)
JUDGING = Group("Judging", sort_key=5)
OUTPUT = Group("Output", sort_key=6)
WATCHING = Group("Watching", sort_key=7)

ProgressChoice: TypeAlias = Literal["auto", "rich", "plain", "github", "none"]

JsonOutput: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object on stdout, and nothing else there.")
]
ExistingTestbed: TypeAlias = Annotated[TypedPath, Parameter(help="The testbed, which must exist.")]
Programs: TypeAlias = Annotated[list[Path] | None, Parameter(name=["--program", "--kopia"], negative="")]
"""The programs under test. `--kopia` is an older spelling."""
OneProgram: TypeAlias = Annotated[Path | None, Parameter(name=["--program", "--kopia"])]


@Parameter(name="*", group=WHERE, negative="")
@dataclass(frozen=True)
class AgainstTarget:
    """The target of a new run."""

    target: str = DEFAULT_TARGET
    """kopia, memory (simulated), or another that is installed. NAME:DEFECT is one with a planted defect."""
    program: Programs = None
    """The program under test. Default: what the target finds; Kopia: KOPIA_EXE, then PATH, then the project's own
    build. Given several times, each process, of the server and of the clients, is one of them."""


@Parameter(name="*", group=WHERE, negative="")
@dataclass(frozen=True)
class AgainstSameTarget:
    """The target of a recorded run."""

    target: str | None = None
    """Default: the one of the run."""
    program: Programs = None
    """The program under test. Default: the one of the run, if it is still there."""


@Parameter(name="*", group=WHERE, negative="")
@dataclass(frozen=True)
class Directories:
    """What lies elsewhere than in the testbed."""

    workdir: TypedPath | None = None
    """Where clients' files and restores live. Default: inside the testbed."""
    repository: str | None = None
    """Where the repository is stored, or was moved to: a directory, s3://BUCKET/PREFIX?endpoint=https://HOST:PORT
    with credentials from the environment or ~/.aws, or "gateway": an S3 server of snapstorm's own in the testbed, which
    keeps a history of all writes. Default: a directory inside the testbed."""


@Parameter(name="*", group=COPIES, negative="")
@dataclass(frozen=True)
class Copies:
    """Where copies of the ledger go."""

    persist: str | None = None
    """Copy the ledger there, now, every some minutes and at the end: to a folder, or to a second Kopia repository at
    kopia:DIRECTORY or s3://BUCKET/PREFIX?endpoint=... Default: where it went before; "none" ends it."""
    take_over: bool = False
    """Go on although another instance of the testbed holds the copy."""


@Parameter(name="*", group=JUDGING, negative="")
@dataclass(frozen=True)
class Judging:
    """How long judging may take."""

    sweep_seconds: float | None = None
    """Bounds the final sweep: snapshots with the greatest restore debt come first. Without it every live snapshot is
    restored."""
    operation_timeout: str | None = None
    """After this time an operation is ended. Default: 300s, with faults 100s."""
    known: list[str] | None = None
    """KEY, may be repeated: list what this known bug of the target predicts exactly, and don't count it."""


@Parameter(name="*", group=OUTPUT, negative="")
@dataclass(frozen=True)
class Output:
    """How a run is shown."""

    json_output: JsonOutput = False
    progress_kind: Annotated[ProgressChoice, Parameter(name="--progress")] = "auto"
    """How each run is shown on stderr while it goes on."""


@Parameter(name="*", group=OUTPUT, negative="")
@dataclass(frozen=True)
class ReportedOutput(Output):
    """How a run is shown, and where its reports go."""

    report: TypedPath | None = None
    """A directory for reports of the run, in each format that `snapstorm report` has."""
