"""Setting a run up: its testbed, work directory, place and record, and what is checked before it begins."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from snapstorm.errors import ConfigError, HarnessError, SnapstormError, TargetError, TestbedError, did_you_mean
from snapstorm.faults.catalogue import FAULTS, read_keys
from snapstorm.faults.fault import FaultKind
from snapstorm.faults.network_path import NetworkPath, open_network_path
from snapstorm.filesystem.local_machine import clear_restores
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.temporaries import temporaries_in
from snapstorm.model.events import Listener, Noted, RunBegan
from snapstorm.model.location import GATEWAY, GatewayStorage, NamedStorage, read_storage
from snapstorm.model.protocols import Server, Target, TargetPlace
from snapstorm.model.verdict import Verdict
from snapstorm.persistence.persistence import REPOSITORY_FACT
from snapstorm.persistence.places import make_from_copy
from snapstorm.run.options import HarnessOptions, retention_for
from snapstorm.run.storm import heal_what_is_left, heal_with_server
from snapstorm.run.virtual_runs import begin_virtual_run
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.meter import Meter, Work
from snapstorm.runtime.process import ProcessRunner, end_processes_of
from snapstorm.targets.registry import read_target
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.identity import client_name
from snapstorm.testbed.testbed import Testbed, check_free_space, make_directories, open_testbed, remove_empty

PARAMETERS_FACT = "parameters"
CLOCK_BACKWARDS_MAX = timedelta(minutes=2)
"""Between machines, or after the clock was set, some difference is normal."""


async def begin_from_copy(options: HarnessOptions) -> None:
    """Make the testbed from a copy of a ledger, if that is asked for."""
    if options.copied_from is None:
        return
    assert options.testbed is not None
    await make_from_copy(
        options.copied_from,
        options.testbed,
        options.secrets_file,
        programs=options.named_programs,
        take_over=options.take_over,
    )


async def clear_after_a_kill(testbed: Testbed, clock: Clock, note: Callable[[str], None]) -> None:
    """End the processes and heal the faults that an earlier, killed run of this testbed has left. There was none
    if the testbed was made just now."""
    if testbed.is_new:
        return
    left_over = await end_processes_of(testbed.id)
    if left_over:
        note(f"ended {left_over} process(es) that an earlier, killed run of this testbed had left")
    heal_what_is_left(testbed.ledger, clock, note)


async def heal_rights(run: RunContext, server: Server) -> None:
    """Give clients back what a fault of a killed run had taken from them. Raises HarnessError."""
    try:
        await heal_with_server(run.ledger, run.clock, server, run.note)
    except TargetError as error:
        raise HarnessError(f"what a fault of a killed run has left could not be healed: {error}") from error


@asynccontextmanager
async def network_path_for(options: HarnessOptions) -> AsyncIterator[NetworkPath | None]:
    """Ways of the clients' own to the server, if the network is to be disturbed."""
    if not any(FAULTS[key].kind is FaultKind.NETWORK for key in read_keys(options.faults)):
        yield None
        return
    async with open_network_path() as path:
        yield path


@contextmanager
def testbed_for(options: HarnessOptions) -> Iterator[Testbed]:
    if options.testbed is not None:
        with open_testbed(options.testbed, must_exist=options.must_exist) as testbed:
            yield testbed
        return
    parent = Path(tempfile.mkdtemp(prefix="snapstorm-"))
    try:
        with open_testbed(parent / "testbed") as testbed:
            yield testbed
    finally:
        with suppress(OSError):  # Not empty: it holds a testbed that is to stay.
            parent.rmdir()


@contextmanager
def workdir_for(options: HarnessOptions, testbed: Testbed) -> Iterator[Path]:
    """Where clients' files live. Outside the testbed, each testbed has a directory of its own, gone with it."""
    if options.workdir is None:
        path = testbed.directory / "clients"
        path.mkdir(mode=0o700, exist_ok=True)
        clear_restores(path)
        yield path
        return
    path = options.workdir / f"snapstorm-{testbed.id}"
    check_free_space(path)
    made = make_directories(path)
    clear_restores(path)
    try:
        yield path
    finally:
        if testbed.is_new:
            remove_tree(path)
            remove_empty(made)


def named_storage(options: HarnessOptions, testbed: Testbed) -> NamedStorage | None:
    """Where the repository is; None for a directory in the testbed."""
    stored = testbed.ledger.fact(REPOSITORY_FACT)
    return options.repository or (read_storage(stored) if stored else None)


def place_for(options: HarnessOptions, testbed: Testbed, workdir: Path) -> TargetPlace:
    if testbed.ledger.fact("repository_id") is None:
        # What a run leaves that was killed while it made the repository; no client ever had a snapshot in it.
        for name in ("repository", "server", GATEWAY):
            remove_tree(testbed.directory / name)
    return TargetPlace(
        testbed=testbed.id,
        directory=testbed.directory,
        workdir=workdir,
        secrets=testbed.secrets,
        mode=options.mode,
        clients_ahead=[client_name(number) for number in range(1, options.clients_ahead + 1)],
        is_exclusive=options.external_server is None,
        is_new=testbed.ledger.fact("repository_id") is None,
        operation_seconds_max=options.operation_seconds_max,
        is_oldest_format=options.is_oldest_format,
        upgrades_format=options.upgrades_format,
        parameters=json.loads(testbed.ledger.fact(PARAMETERS_FACT) or "{}"),
        retention=retention.policy if (retention := testbed.ledger.expiries.retention) else None,
    )


def begin_run(
    options: HarnessOptions, testbed: Testbed, target: Target, versions: str, clock: Clock, listener: Listener
) -> RunContext:
    """Record a new run, and tell those who watch. `versions` are the target's name and versions."""
    ledger, directory = testbed.ledger, testbed.directory
    seed = options.seed if options.seed is not None else secrets.randbelow(1 << 32)
    ledger.interrupt_open_operations()
    number = ledger.begin_run(
        seed=seed,
        began_utc=clock.utc(),
        scenario=json.dumps(options.scenario),
        target=json.dumps({**target.description.as_json(), "asked": options.target}),
    )
    began_seconds = clock.monotonic_seconds()
    begin_virtual_run(options, ledger, number, clock)
    listener(RunBegan(directory, number, seed, versions))
    listener(Noted(f"run {number}, seed {seed}, {versions}", is_warning=False))
    testbed.run_directory(number).mkdir(parents=True, mode=0o700, exist_ok=True)
    meter = Meter(clock.monotonic_seconds)
    ledger.around_transaction = meter.busy[Work.LEDGER]
    run = RunContext(number, seed, clock, began_seconds, ledger, meter, listener)
    run.tally.is_sweep_only = options.is_sweep_only
    for words in target.description.notes:
        run.note(words)
    return run


def check_parameters(options: HarnessOptions, testbed: Testbed, note: Callable[[str], None]) -> None:
    """Refuse settings that the target does not have (ConfigError). A testbed keeps those that it was made with."""
    # A server that already runs has settings of its operator's.
    plugin = read_target(options.target)[0]
    of_gateway = plugin.gateway_parameters
    offered = {**plugin.parameters, **of_gateway} if options.external_server is None else {}
    is_behind_gateway = isinstance(named_storage(options, testbed), GatewayStorage)
    check_offered(options.target, offered, options.parameters)
    for name, value in options.parameters.items():
        if name in of_gateway and value != of_gateway[name][0] and not is_behind_gateway:
            raise ConfigError(f"the parameter {name} needs a repository behind the gateway: --repository gateway")
    before = testbed.ledger.fact(PARAMETERS_FACT)
    if before is None and testbed.ledger.fact("repository_id") is not None:
        before = "{}"  # Made before there was a choice.
    if before is None:
        testbed.ledger.set_fact(PARAMETERS_FACT, json.dumps(dict(options.parameters)))
    elif options.parameters and json.loads(before) != dict(options.parameters):
        note(f"the testbed keeps the parameters that it was made with: {before}")


def check_offered(target: str, offered: Mapping[str, Sequence[str]], parameters: Mapping[str, str]) -> None:
    """Raise ConfigError for a setting that is not offered, or not with this value."""
    for name, value in parameters.items():
        if name not in offered:
            hint = did_you_mean(name, offered)
            known = ", ".join(offered) or "none"
            raise ConfigError(f"the target {target} has no parameter {name!r}; {hint}there are: {known}")
        if value not in offered[name]:
            raise ConfigError(f"the parameter {name} must be one of {', '.join(offered[name])}, not {value!r}")


def record_retention(options: HarnessOptions, testbed: Testbed, note: Callable[[str], None]) -> None:
    """Record which retention a new testbed has, before its target is told. An older one keeps its own, or none."""
    asked, expiries = options.retention, testbed.ledger.expiries
    if asked is None:
        return
    before = expiries.retention
    if before is None and testbed.ledger.fact("repository_id") is None:
        expiries.set_retention(retention_for(options, asked))
    elif before is None or before.policy != asked:
        was = "everything" if before is None else str(before.policy)
        note(f"the testbed keeps the retention that it was made with: {was}")


def check_history(testbed: Testbed, options: HarnessOptions, clock: Clock) -> None:
    """A testbed goes on with the kind of target and the mode that it began with."""
    target, _ = read_target(options.target)
    for name, now in (("target", target.name), ("mode", options.mode.value)):
        before = testbed.ledger.fact(name)
        if before is None:
            testbed.ledger.set_fact(name, now)
        elif before != now:
            raise ConfigError(f"this testbed was made with {name} {before}; choose that, or another testbed")
    _check_clock(testbed, clock.utc())


def _check_clock(testbed: Testbed, now_utc: str) -> None:
    """Ages would be wrong, and so would what the target does by the clock: retention, and what it collects."""
    last_utc = testbed.ledger.last_moment_utc()
    if last_utc is None:
        return
    behind = datetime.fromisoformat(last_utc) - datetime.fromisoformat(now_utc)
    if behind > CLOCK_BACKWARDS_MAX:
        raise HarnessError(
            f"this machine's clock says {now_utc}, but the last run on this testbed ended at {last_utc}; set the clock"
        )


def check_repository(testbed: Testbed, server: Server) -> None:
    before = testbed.ledger.fact("repository_id")
    if before is None:
        testbed.ledger.set_fact("repository_id", server.repository_id)
    elif before != server.repository_id:
        raise TestbedError(
            f"the repository in {testbed.directory} is not the one that its ledger knows; put that one back, "
            "or choose another testbed"
        )


@contextmanager
def recording_failure(run: RunContext) -> Iterator[None]:
    """Record in the history that the target did not get going; otherwise the run would look like a killed one."""
    try:
        yield
    except SnapstormError as error:
        summary = json.dumps({"error": str(error)})
        run.ledger.end_run(run.number, ended_utc=run.clock.utc(), verdict=Verdict.ERROR, summary=summary)
        raise


@asynccontextmanager
async def runner_for(testbed: Testbed, commands: CommandLog) -> AsyncIterator[ProcessRunner]:
    """Starts the processes of a run, each with a temporary directory of its own on the testbed."""
    with temporaries_in(testbed.directory / "tmp") as temporaries:
        async with ProcessRunner(
            testbed.id, on_command=commands, around_command=commands.around_command, temporaries=temporaries
        ) as runner:
            yield runner
