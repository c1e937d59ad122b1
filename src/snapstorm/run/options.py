"""How a run is made: the options of a harness, and what can't be."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snapstorm.errors import ConfigError, FaultNotPossible
from snapstorm.faults.catalogue import ALL, FAULTS, read_keys
from snapstorm.guarantees.panel import known_guarantees
from snapstorm.model.location import FileStorage, GatewayStorage, NamedStorage, S3Storage
from snapstorm.model.manifest import is_utf8, path_as_text
from snapstorm.model.protocols import Mode
from snapstorm.model.retention import KeepPolicy, Retention
from snapstorm.run.run_machines import MachineChoice
from snapstorm.runtime.paths import clean_path
from snapstorm.scenario.seeds import SEED_MAX
from snapstorm.targets.plugin import ExternalServer, TargetPlugin
from snapstorm.targets.registry import (
    DEFAULT_TARGET,
    NamedPrograms,
    clean_place_of_copies,
    clean_storage,
    find_known_bugs,
    keeper_of,
    read_place_of_copies,
    read_target,
)
from snapstorm.testbed.testbed import check_testbed_path


@dataclass(frozen=True)
class HarnessOptions:
    """How a run is made. Paths are made absolute and clean here, with ConfigError for one that can't be; the rest is
    checked when the harness opens."""

    testbed: Path | None = None
    """The testbed's directory; None for a temporary one, kept only if something is violated."""
    target: str = DEFAULT_TARGET
    """The name of a target that is installed, or `NAME:DEFECT`, such as `memory:restore-flips-a-byte`."""
    programs: Sequence[Path] = ()
    """The programs under test: of several, each process is one, drawn from the seed. Empty to search for one."""
    external_server: ExternalServer | None = None
    """A server that already runs, with users that its operator made; None for a server of our own."""
    mode: Mode = Mode.SERVER
    seed: int | None = None
    """None for a random one, which the run prints."""
    workdir: Path | None = None
    """Where clients' files and restores live; None for inside the testbed."""
    data_bytes_max: int = 1 << 30
    """What one client's data directory may hold."""
    repository_bytes_max: int | None = None
    """What the repository may hold: near it more is deleted and collected, beyond it nothing new is snapshotted."""
    history_bytes_max: int | None = None
    """What the gateway may keep of what its bucket holds and ever held; None for all."""
    clients_ahead: int = 0
    """How many clients the run is going to have: a target may prepare for them while it starts."""
    operation_seconds_max: float = 300.0
    """After this time an operation is ended."""
    sweep_seconds: float | None = None
    """Bounds the final sweep; None to verify every live snapshot."""
    known_bugs: Sequence[str] = ()
    """Keys of known bugs of the target: what they predict exactly is listed, and not counted."""
    keep_going: bool = False
    """Go on with the clients' actions after a violation."""
    repository: NamedStorage | None = None
    """Where the repository is stored; None for where it is, in a new testbed for inside of it."""
    persist: str | None = None
    """Where copies of the ledger are kept: a folder, `kopia:DIRECTORY` or `s3://BUCKET/PREFIX?...`; `none` for nowhere;
    None for where they were kept before."""
    persist_minutes: float = 10.0
    """A copy is made at the beginning, every so many minutes, and at the end."""
    copied_from: str | None = None
    """Make a new testbed that goes on from the copy that is kept there."""
    secrets_file: Path | None = None
    """The secrets of the testbed that was copied."""
    take_over: bool = False
    """Become the owner of the copies although another instance of the testbed seems to be at work."""
    faults: Sequence[str] = ()
    """Keys of the faults that are injected while clients work (`snapstorm faults` lists them), or `all`: as many as are
    possible here."""
    fault_weights: Mapping[str, int] = field(default_factory=dict)
    """How often each fault is drawn against the others, where that is not what the table of faults says."""
    are_faults_optional: bool = False
    """Faults that are not possible here are left out, as with `all`, although they are named."""
    is_each_fault_awaited: bool = False
    """Clients work on until each of the named faults has struck, and not only until one has. Not for `all`."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The target's own settings for a new testbed; one that exists keeps those that it was made with."""
    retention: KeepPolicy | None = None
    """What the target of a new testbed keeps of each source; None for everything. One that exists keeps its own."""
    fault_pace: float = 1.0
    """How many times faster faults follow each other, and heal, than they would by themselves."""
    recovery_seconds_max: float = 120.0
    """Once every fault has healed, each client has completed a snapshot and its restore within this time. A client of
    Kopia gives a broken server up after 14 to 23 s (measured), and does both in a second on an idle machine."""
    is_oldest_format: bool = False
    """Make a new repository in the oldest format that the target can still make."""
    upgrades_format: bool = False
    """Bring a repository of an older format to the newest, before the clients begin."""
    must_exist: bool = False
    """Refuse to make a new testbed."""
    is_sweep_only: bool = False
    """Nothing but a sweep is asked for, so a run without snapshots of its own can pass."""
    virtual_start: str | None = None
    """Live in virtual time, which begins at this moment (`2022-01-01T00:00:00Z`) in a new testbed, and goes on where it
    was in one that lives in it already. None for real time, unless the testbed lives in virtual time."""
    clock_skews_seconds: Sequence[float] = ()
    """By how much the clock of each client is ahead in virtual time, the first client's first; negative for behind."""
    is_virtual: bool = False
    """The run is in virtual time. Found out when the harness opens."""
    machines: MachineChoice | None = None
    """On which machines clients run; None for this one, in this process."""
    scenario: str = "library"
    """What the ledger is to remember of the scenario, as its name or JSON."""

    def __post_init__(self) -> None:
        for names, clean in _CLEANED:
            for name in names:
                if (value := getattr(self, name)) is not None:
                    object.__setattr__(self, name, clean(value))

    @property
    def named_programs(self) -> NamedPrograms:
        """The programs under test, and what they are of."""
        return NamedPrograms(self.programs, self.target)


_CLEANED: Sequence[tuple[Sequence[str], Callable[[Any], object]]] = (
    (("testbed", "workdir", "secrets_file"), clean_path),
    (("persist", "copied_from"), clean_place_of_copies),
    (("repository",), clean_storage),
)
"""Options that are or hold a path, and what cleans them. The programs are cleaned where they are looked for."""


def check_faults(faults: Sequence[str], *, are_optional: bool) -> None:
    """Raise ConfigError for a fault that is not known, HarnessError for one that was asked for by name and is not
    possible on this machine."""
    keys = read_keys(faults)
    if ALL in faults or are_optional:
        return
    for key in keys:
        reason = FAULTS[key].why_not_here()
        if reason is not None:
            raise FaultNotPossible(key, reason)


def check_paths(target: TargetPlugin, paths: Mapping[str, Path | None]) -> None:
    """Raise ConfigError for each path that the target can't have. `paths` are by the option that they come from."""
    if not target.has_utf8_paths_only:
        return
    problems = [
        f"{option} {path_as_text(path)}: the target {target.name} can't have a path that is not UTF-8; choose another"
        for option, path in paths.items()
        if path is not None and not is_utf8(path)
    ]
    if problems:
        raise ConfigError(*problems)


def check_paths_of(options: HarnessOptions) -> None:
    """Raise ConfigError for each path of a run that its target, or what keeps its copies, can't have."""
    temporary = {"TMPDIR": Path(tempfile.gettempdir())}
    testbed = temporary if options.testbed is None else {"--testbed": options.testbed}
    repository = _directory_of(options.repository)
    target, _ = read_target(options.target)
    check_paths(target, {**testbed, "--workdir": options.workdir, "--repository": repository})
    # What a run goes on from, it also copies to.
    options_by_place = {options.persist: "--persist", options.copied_from: "--from"}
    for place, option in options_by_place.items():
        keeper = None if place is None else keeper_of(place)
        if place is not None and keeper is not None:
            _, storage = read_place_of_copies(place)
            check_paths(keeper, {**testbed, **temporary, option: _directory_of(storage)})


def _directory_of(storage: NamedStorage | None) -> Path | None:
    return storage.path if isinstance(storage, FileStorage) else None


def retention_for(options: HarnessOptions, policy: KeepPolicy) -> Retention:
    """This policy, as the target reads it. Raises ConfigError where its retention can't be set."""
    if options.external_server is not None:
        raise ConfigError("the server that already runs has a retention of its operator's, so no other one can be set")
    ends_at_latest = read_target(options.target)[0].retention_ends_at_latest
    if ends_at_latest is None:
        raise ConfigError(f"the target {options.target} has no retention that can be set, so leave it out")
    if policy.keeps_all:
        raise ConfigError("a retention whose counts are all 0 keeps everything, as none does, so leave it out")
    return Retention(policy=policy, ends_at_latest=ends_at_latest)


def _check_retention(options: HarnessOptions) -> None:
    if options.retention is not None:
        retention_for(options, options.retention)


def check_storage(target: TargetPlugin, storage: NamedStorage | None, mode: Mode) -> None:
    """Raise ConfigError where the target can't have its repository there, or not in this mode."""
    if not isinstance(storage, S3Storage | GatewayStorage):
        return
    if not target.has_bucket_storage and not (isinstance(storage, GatewayStorage) and target.has_gateway_storage):
        raise ConfigError(f"the target {target.name} keeps its repository in a directory")
    if mode not in target.bucket_modes:
        modes = " or ".join(sorted(f"--mode {mode}" for mode in target.bucket_modes))
        raise ConfigError(f"in mode {mode} the target {target.name} stores in directories only; a bucket needs {modes}")


def check_options(options: HarnessOptions) -> None:
    """Look, before anything is changed, whether a run can be made like this. Raises ConfigError or TestbedError."""
    problems = []
    if options.seed is not None and not 0 <= options.seed <= SEED_MAX:
        problems.append(f"the seed must be from 0 to {SEED_MAX}, not {options.seed}")
    if options.operation_seconds_max <= 0:
        problems.append("the time for an operation must be above 0")
    if options.repository_bytes_max is not None and options.repository_bytes_max < 1:
        problems.append(f"the repository must be allowed at least 1 byte, not {options.repository_bytes_max}")
    if options.fault_pace <= 0 or options.recovery_seconds_max <= 0:
        problems.append("the pace of faults and the time to recover must be above 0")
    if unknown := sorted(options.fault_weights.keys() - FAULTS.keys()):
        problems.append(f"fault weights name {', '.join(map(repr, unknown))}, which no fault is called")
    if any(weight < 1 for weight in options.fault_weights.values()):
        problems.append("the weight of a fault must be at least 1; one that is not to strike is not to be named")
    if options.persist_minutes <= 0:
        problems.append("copies of the ledger must be some minutes apart")
    is_elsewhere = options.repository is not None and not isinstance(options.repository, GatewayStorage)
    lasting = {"--repository": is_elsewhere, "--persist": options.persist, "--from": options.copied_from}
    if options.testbed is None:
        problems.extend(f"{name} needs --testbed: a temporary one goes" for name, value in lasting.items() if value)
    if problems:
        raise ConfigError(*problems)
    find_known_bugs(options.target, options.known_bugs)
    known_guarantees()  # Those of other packages may be none.
    check_faults(options.faults, are_optional=options.are_faults_optional)
    check_paths_of(options)
    _check_retention(options)
    target, _ = read_target(options.target)
    check_storage(target, options.repository, options.mode)
    if options.testbed is not None:
        check_testbed_path(options.testbed, must_exist=options.must_exist)
    if options.workdir is not None and options.workdir.exists() and not options.workdir.is_dir():
        raise ConfigError(f"the work directory {options.workdir} is not a directory")
