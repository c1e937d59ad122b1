"""The command that runs clients against a target: `snapstorm run`."""

from __future__ import annotations

import secrets
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from snapstorm.cli.option_groups import (
    WATCHING,
    WHAT,
    WHERE,
    AgainstTarget,
    Copies,
    Directories,
    Judging,
    ReportedOutput,
)
from snapstorm.cli.repeat import check_repetition, run_until_violation
from snapstorm.cli.stages import plan_stages, run_stages, showing
from snapstorm.cli.target_options import OwnOptions, own_options
from snapstorm.cli.words import (
    TypedPath,
    above_zero,
    changed,
    choose_scenario,
    keeping,
    lasting,
    operation_seconds,
    read_typed,
    with_parameters,
)
from snapstorm.errors import ConfigError
from snapstorm.faults.catalogue import FAULTS
from snapstorm.model.location import GATEWAY, read_storage
from snapstorm.report.listings import scenario_lines
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.run_machines import read_machines
from snapstorm.scenario.quantities import read_bytes
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.swarm import draw_swarm
from snapstorm.targets.plugin import ExternalServer
from snapstorm.targets.registry import read_target

if TYPE_CHECKING:
    RunOwnOptions = OwnOptions
else:
    RunOwnOptions = own_options("run")


@Parameter(name="*", group=WHAT, negative="")
@dataclass(frozen=True)
class Workload:
    """What clients do, and what is broken meanwhile."""

    clients: int | None = None
    """How many clients work at once."""
    duration: str | None = None
    """How long random actions go on, such as 60s, 5m or 1.5h."""
    actions: int | None = None
    """Random actions of all clients together, instead of a duration."""
    virtual_days: int | None = None
    """For scenarios that advance virtual time: how many days they last."""
    seed: int | None = None
    """Every draw of the run follows from it. Default: a random one, which is printed."""
    weights: list[str] | None = None
    """KEY=N, may be repeated: how often an action is drawn against the others; the rest keep theirs."""
    option: list[str] | None = None
    """KEY.OPTION=VALUE, may be repeated: how an action is drawn; `snapstorm actions` lists them."""
    keep: list[str] | None = None
    """PERIOD=N,..., such as daily=7,weekly=4: how many hourly, daily, weekly, monthly, annual and latest snapshots of
    each source the target keeps by its own retention, which is judged. For a new testbed. Default: all."""
    config: TypedPath | None = None
    """A scenario of your own, in TOML."""
    faults: list[str] | None = None
    """What is broken on purpose while clients work, by name and separated by commas, or all: as much as is possible
    here. `snapstorm faults` lists them."""
    parameter: list[str] | None = None
    """NAME=VALUE, may be repeated: a setting of the target's own, for a new testbed; the rest keep theirs."""
    swarm: bool = False
    """Draw the whole configuration from the seed: actions, faults, trees, number of clients, the target's own
    settings. It is printed as a scenario; the same seed draws the same."""
    until_violation: bool = False
    """Run again and again on the same testbed, with a fresh seed each time, until something is violated."""
    minutes: float | None = None
    """With --until-violation: no run is begun that would take longer than so many minutes in all."""

    @property
    def is_repeated(self) -> bool:
        """Whether there may be several runs."""
        return self.until_violation or self.minutes is not None


@Parameter(name="*", group=WHERE, negative="")
@dataclass(frozen=True)
class Place:
    """Where a run takes place, and against what."""

    testbed: TypedPath | None = None
    """The directory that holds repository, ledger and runs; made if missing, gone on with otherwise. Default: a
    temporary one, kept only if something is violated."""
    against: AgainstTarget = AgainstTarget()
    mode: Literal["server", "direct"] | None = None
    """server: many clients against one server; direct: one client on the repository itself."""
    upgrade: bool = False
    """Run the programs given by --program one after the other on the same testbed, with a sweep between."""
    directories: Directories = Directories()
    machines: str | None = None
    """local:N has clients run in N processes of their own on this machine. Default: in this process."""
    repository_bytes_max: str | None = None
    """What the repository may hold, such as 8GiB: near it more is deleted and collected, beyond it no snapshot
    taken."""
    history_bytes_max: str | None = None
    """With --repository gateway: what it may keep of all that is stored and ever was, such as 2GiB. Beyond it, the
    oldest of what is stored no more goes, and `snapstorm explore` begins later."""
    yes: bool = False
    """Write to a server that already runs without asking first."""


@dataclass(frozen=True)
class RunCopies(Copies):
    """Where copies of the ledger go, and from which one a new testbed begins."""

    persist_minutes: float = 10.0
    """How far apart these copies are."""
    copied_from: Annotated[str | None, Parameter(name="--from")] = None
    """Begin a new testbed that goes on from the copy kept there, with the repository where it is."""
    secrets_file: TypedPath | None = None
    """The secrets.toml of the testbed that was copied. It is never part of a copy."""


@dataclass(frozen=True)
class RunJudging(Judging):
    """How long judging may take, and whether it goes on."""

    keep_going: bool = False
    """Go on with actions after a violation."""


@Parameter(name="*", group=WATCHING, negative="")
@dataclass(frozen=True)
class Watching:
    """Who may look on."""

    web: str | None = None
    """Serve a live page of the run, with buttons to pause it, to end it and to break something, at HOST:PORT. Default
    of the address: this machine alone, any free port. It is printed, and holds a secret."""
    metrics: str | None = None
    """Serve Prometheus metrics at http://HOST:PORT/metrics; a port alone is of this machine alone. The live page has
    them, too."""


def run(
    scenario: Annotated[str | None, Parameter(group=WHAT)] = None,
    /,
    *,
    work: Workload = Workload(),
    place: Place = Place(),
    own: RunOwnOptions = RunOwnOptions(),
    copies: RunCopies = RunCopies(),
    judging: RunJudging = RunJudging(),
    output: ReportedOutput = ReportedOutput(),
    watched: Watching = Watching(),
) -> int:
    """Run clients against a real backup server and verify every restore.

    Without options: an embedded repository and server, four clients, 60 s of random actions, then every live snapshot
    is restored and compared.

    Parameters
    ----------
    scenario
        What the clients do; `snapstorm scenarios` lists them. Default: randomized.
    """
    target, _ = read_target(place.against.target)
    chosen_options = own.of(target)
    server = chosen_options.external_server(place.testbed)
    seed, chosen = _choose(scenario, work, place, server)
    options = HarnessOptions(
        testbed=place.testbed,
        target=place.against.target,
        programs=place.against.program or [],
        mode=chosen.mode,
        seed=seed,
        workdir=place.directories.workdir,
        machines=read_typed("--machines", place.machines, read_machines),
        repository=read_typed("--repository", place.directories.repository, read_storage),
        persist=copies.persist or copies.copied_from,
        persist_minutes=copies.persist_minutes,
        copied_from=copies.copied_from,
        secrets_file=copies.secrets_file,
        take_over=copies.take_over,
        clients_ahead=chosen.clients,
        data_bytes_max=chosen.data_bytes_max,
        repository_bytes_max=read_typed("--repository-bytes-max", place.repository_bytes_max, read_bytes),
        history_bytes_max=read_typed("--history-bytes-max", place.history_bytes_max, read_bytes),
        operation_seconds_max=operation_seconds(
            judging.operation_timeout, has_faults=bool(work.faults or chosen.faults)
        ),
        faults=tuple(work.faults or chosen.faults),
        are_faults_optional=work.swarm and not work.faults,
        is_each_fault_awaited=bool(work.faults),
        fault_weights=chosen.fault_weights,
        parameters=chosen.parameters,
        retention=chosen.retention,
        sweep_seconds=above_zero("--sweep-seconds", judging.sweep_seconds),
        known_bugs=tuple(judging.known or ()),
        keep_going=judging.keep_going,
        external_server=server,
        virtual_start=chosen.virtual_start,
        clock_skews_seconds=chosen.clock_skews_seconds,
        scenario=chosen.model_dump_json(),
    )
    is_upgrade = place.upgrade or chosen_options.is_upgrade
    stages = plan_stages(options, chosen, is_upgrade=is_upgrade)
    if work.is_repeated:
        check_repetition(work.minutes, chosen, is_wanted=work.until_violation, is_upgrade=is_upgrade)
    if server is not None:
        _check_consent(server, yes=place.yes)
    with showing(output, place.testbed, watched.web, watched.metrics) as shown:
        if work.is_repeated:
            return run_until_violation(stages[0], work.minutes, shown)
        return run_stages(stages, shown)


def _choose(
    name: str | None, work: Workload, place: Place, server: ExternalServer | None
) -> tuple[int | None, Scenario]:
    """The seed, if it is known already, and the scenario with what was typed."""
    seed = work.seed
    if work.swarm:
        if name or work.config:
            raise ConfigError("--swarm draws the scenario, so leave the other one out")
        seed = secrets.randbelow(1 << 32) if seed is None else seed
        is_behind_gateway = place.directories.repository == GATEWAY
        chosen = _draw(seed, place.against.target, has_operator=server is not None, is_behind_gateway=is_behind_gateway)
    else:
        chosen = choose_scenario(name, work.config)
    typed = changed(
        chosen,
        clients=_count_clients(server, work.clients, chosen.clients),
        duration=work.duration,
        actions=work.actions,
        mode=place.mode,
        weights=work.weights or (),
        options=work.option or (),
    )
    typed = with_parameters(typed, work.parameter or ())
    return seed, lasting(keeping(typed, work.keep or ()), work.virtual_days)


def _draw(seed: int, target: str, *, has_operator: bool, is_behind_gateway: bool) -> Scenario:
    """The configuration that follows from this seed, printed on stderr as a scenario that can be run again."""
    plugin, _ = read_target(target)
    offered = {**plugin.parameters, **(plugin.gateway_parameters if is_behind_gateway else {})}
    parameters = {name: values for name, values in offered.items() if name not in plugin.parameters_not_drawn}
    possible = {key: fault for key, fault in FAULTS.items() if not fault.needs_machines}
    faults = [key for key, fault in possible.items() if is_behind_gateway or not fault.needs_gateway]
    scenario = draw_swarm(seed, [], {}) if has_operator else draw_swarm(seed, faults, parameters)
    print(f"swarm: seed {seed} draws", file=sys.stderr)
    print(textwrap.indent("\n".join(scenario_lines(scenario, as_json=False)), "    "), file=sys.stderr)
    return scenario


def _count_clients(server: ExternalServer | None, asked: int | None, usual: int) -> int | None:
    """The number of clients: as asked for, or as usual, but not more than the server has users."""
    if server is None:
        return asked
    users = len(server.users)
    if asked is not None and asked > users:
        raise ConfigError(f"--clients {asked} is more than the {users} user(s) of the server that already runs")
    return min(usual, users) if asked is None else asked


def _check_consent(server: ExternalServer, *, yes: bool) -> None:
    """Say what will be written to the server, and ask for consent. Raises ConfigError if it is not given."""
    print(server.warning, file=sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("say --yes to go on without a terminal to ask at")
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was done")
