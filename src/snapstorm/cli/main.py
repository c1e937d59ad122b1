"""The command line: reads what was typed, composes the parts, and turns what comes of it into an exit status.

    snapstorm run                      a real server, four clients, 60 s of random actions, every snapshot restored
    snapstorm run --testbed DIR        the same, on a testbed that goes on with its history at each run
    snapstorm run many-small-files     another scenario; `snapstorm scenarios` lists them

Exit status: 0 pass, 1 violated, 2 bad usage or configuration, 3 environment or harness, 4 inconclusive,
130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import anyio
import cyclopts
from cyclopts import App, Group, Parameter

from snapstorm import __version__
from snapstorm.actions.plugins import load_actions
from snapstorm.cli import show
from snapstorm.cli.configuration import draw_configuration
from snapstorm.cli.external_access import check_consent, count_clients, read_operator
from snapstorm.cli.failures import EXIT_BAD_USAGE, EXIT_HARNESS, EXIT_INTERRUPTED, show_if_debugged, unforeseen
from snapstorm.cli.repeat import check_repetition, run_until_violation
from snapstorm.cli.signals import handle_signals
from snapstorm.cli.stages import Interrupted, ProgressChoice, Stage, plan_stages, run_stages
from snapstorm.cli.standard_streams import complain, end
from snapstorm.cli.watch import watching, with_addresses
from snapstorm.cli.words import (
    TypedPath,
    above_zero,
    changed,
    changes_of,
    choose_scenario,
    operation_seconds,
    read_place,
    read_seconds,
    read_size,
)
from snapstorm.errors import ConfigError, SnapstormError
from snapstorm.model.protocols import Mode
from snapstorm.persistence.places import recover as recover_copy
from snapstorm.run.harness import HarnessOptions
from snapstorm.runtime.adoption import adopt_orphans
from snapstorm.testbed.testbed import LEDGER_NAME, open_testbed, read_testbed

if TYPE_CHECKING:
    from snapstorm.report.writing import ReportDirectory

app = App(
    name="snapstorm",
    version=__version__,
    help="Find out whether backups come back.",
    help_epilogue=(
        "Exit status: 0 pass, 1 violated, 2 bad usage or configuration, 3 environment or harness, 4 inconclusive, "
        "130 interrupted."
    ),
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # It would become a SystemExit, which `main` takes for a failure.
)
app.register_install_completion_command()
show.register(app)
# By name, because what they need takes a tenth of a second to load, which each run would pay for.
app.command("snapstorm.cli.known_bugs:known_bugs", name="known-bugs")
app.command("snapstorm.cli.bundle:bundle", name="bundle")
app.command("snapstorm.cli.calibrate:calibrate_judge", name="calibrate")
app.command("snapstorm.cli.report:report", name="report")
app.command("snapstorm.cli.recheck:recheck_run", name="recheck")
app.command("snapstorm.cli.replay:replay", name="replay")
app.command("snapstorm.cli.shrink:shrink", name="shrink")

_WHAT = Group("What runs", sort_key=1)
_WHERE = Group("Where and against what", sort_key=2)
_OPERATED = Group("A server that already runs", sort_key=3)
_COPIES = Group("Copies of the ledger", sort_key=4)
_JUDGING = Group("Judging", sort_key=5)
_OUTPUT = Group("Output", sort_key=6)
_WATCHING = Group("Watching", sort_key=7)


@app.command
def run(
    scenario: Annotated[str | None, Parameter(group=_WHAT)] = None,
    /,
    *,
    clients: Annotated[int | None, Parameter(group=_WHAT)] = None,
    duration: Annotated[str | None, Parameter(group=_WHAT)] = None,
    actions: Annotated[int | None, Parameter(group=_WHAT)] = None,
    seed: Annotated[int | None, Parameter(group=_WHAT)] = None,
    weights: Annotated[list[str] | None, Parameter(group=_WHAT, negative="")] = None,
    option: Annotated[list[str] | None, Parameter(group=_WHAT, negative="")] = None,
    config: Annotated[TypedPath | None, Parameter(group=_WHAT)] = None,
    faults: Annotated[list[str] | None, Parameter(group=_WHAT, negative="")] = None,
    swarm: Annotated[bool, Parameter(group=_WHAT, negative="")] = False,
    until_violation: Annotated[bool, Parameter(group=_WHAT, negative="")] = False,
    minutes: Annotated[float | None, Parameter(group=_WHAT)] = None,
    testbed: Annotated[TypedPath | None, Parameter(group=_WHERE)] = None,
    target: Annotated[str, Parameter(group=_WHERE)] = "kopia",
    kopia: Annotated[list[Path] | None, Parameter(group=_WHERE, negative="")] = None,
    upgrade: Annotated[bool, Parameter(group=_WHERE, negative="")] = False,
    mode: Annotated[Literal["server", "direct"] | None, Parameter(group=_WHERE)] = None,
    server: Annotated[str | None, Parameter(group=_OPERATED)] = None,
    fingerprint: Annotated[str | None, Parameter(group=_OPERATED)] = None,
    clients_file: Annotated[TypedPath | None, Parameter(group=_OPERATED)] = None,
    yes: Annotated[bool, Parameter(group=_OPERATED, negative="")] = False,
    workdir: Annotated[TypedPath | None, Parameter(group=_WHERE)] = None,
    repository: Annotated[str | None, Parameter(group=_WHERE)] = None,
    persist: Annotated[str | None, Parameter(group=_COPIES)] = None,
    persist_minutes: Annotated[float, Parameter(group=_COPIES)] = 10.0,
    copied_from: Annotated[str | None, Parameter(name="--from", group=_COPIES)] = None,
    secrets_file: Annotated[TypedPath | None, Parameter(group=_COPIES)] = None,
    take_over: Annotated[bool, Parameter(group=_COPIES, negative="")] = False,
    repository_bytes_max: Annotated[str | None, Parameter(group=_WHERE)] = None,
    sweep_seconds: Annotated[float | None, Parameter(group=_JUDGING)] = None,
    operation_timeout: Annotated[str | None, Parameter(group=_JUDGING)] = None,
    keep_going: Annotated[bool, Parameter(group=_JUDGING, negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", group=_OUTPUT, negative="")] = False,
    progress_kind: Annotated[ProgressChoice, Parameter(name="--progress", group=_OUTPUT)] = "auto",
    report: Annotated[TypedPath | None, Parameter(group=_OUTPUT)] = None,
    web: Annotated[str | None, Parameter(group=_WATCHING)] = None,
    metrics: Annotated[str | None, Parameter(group=_WATCHING)] = None,
) -> int:
    """Run clients against a real backup server and verify every restore.

    Without options: an embedded repository and server, four clients, 60 s of random actions, then every live snapshot
    is restored and compared.

    Parameters
    ----------
    scenario
        What the clients do; `snapstorm scenarios` lists them. Default: randomized.
    clients
        How many clients work at once.
    duration
        How long random actions go on, such as 60s, 5m or 1.5h.
    actions
        Random actions of all clients together, instead of a duration.
    seed
        Every draw of the run follows from it. Default: a random one, which is printed.
    weights
        KEY=N, may be repeated: how often an action is drawn against the others; the rest keep theirs.
    option
        KEY.OPTION=VALUE, may be repeated: how an action is drawn; `snapstorm actions` lists them.
    config
        A scenario of your own, in TOML.
    faults
        What is broken on purpose while clients work, by name and separated by commas, or all: as much as is possible
        here. `snapstorm faults` lists them.
    swarm
        Draw the whole configuration from the seed: actions, faults, trees, number of clients, the target's own
        settings. It is printed as a scenario; the same seed draws the same.
    until_violation
        Run again and again on the same testbed, with a fresh seed each time, until something is violated.
    minutes
        With --until-violation: no run is begun that would take longer than so many minutes in all.
    testbed
        The directory that holds repository, ledger and runs; made if missing, gone on with otherwise. Default: a
        temporary one, kept only if something is violated.
    target
        kopia, memory (simulated), or memory:DEFECT (simulated, with a planted defect).
    kopia
        The program under test. Default: KOPIA_EXE, then PATH, then the project's own build. Given several times, each
        process, of the server and of the clients, is one of them.
    upgrade
        Run the programs given by --kopia one after the other on the same testbed, with a sweep between.
    mode
        server: many clients against one server; direct: one client on the repository itself.
    server
        https://HOST:PORT of a Kopia server of your own. Needs a testbed, which remembers what was promised there.
    fingerprint
        The SHA-256 of its certificate, as `kopia server start` prints it.
    clients_file
        The users you made for this: a TOML file of mode 0600 with "user@host" = "password" on each line.
    yes
        Write there without asking first.
    workdir
        Where clients' files and restores live. Default: inside the testbed.
    repository
        Where the repository is stored: a directory, or s3://BUCKET/PREFIX?endpoint=https://HOST:PORT with credentials
        from the environment or ~/.aws. Default: inside the testbed.
    persist
        Copy the ledger there, now, every some minutes and at the end: to a folder, or to a second Kopia repository at
        kopia:DIRECTORY or s3://BUCKET/PREFIX?endpoint=... Default: where it went before; "none" ends it.
    persist_minutes
        How far apart these copies are.
    copied_from
        Begin a new testbed that goes on from the copy kept there, with the repository where it is.
    secrets_file
        The secrets.toml of the testbed that was copied. It is never part of a copy.
    take_over
        Go on although another instance of the testbed holds the copy.
    repository_bytes_max
        What the repository may hold, such as 8GiB: near it more is deleted and collected, beyond it no snapshot taken.
    sweep_seconds
        Bounds the final sweep; without it every live snapshot is restored.
    operation_timeout
        After this time an operation is ended. Default: 300s, with faults 100s.
    keep_going
        Go on with actions after a violation.
    json_output
        Print one JSON object on stdout, and nothing else there.
    progress_kind
        How the run is shown on stderr while it goes on.
    report
        A directory for reports of the run, in each format that `snapstorm report` has.
    web
        Serve a live page of the run, with buttons to pause it, to end it and to break something, at HOST:PORT. Default
        of the address: this machine alone, any free port. It is printed, and holds a secret.
    metrics
        Serve Prometheus metrics at http://HOST:PORT/metrics; a port alone is of this machine alone. The live page has
        them, too.
    """
    operator = read_operator(server, fingerprint, clients_file, testbed)
    if swarm:
        seed = secrets.randbelow(1 << 32) if seed is None else seed
        chosen = draw_configuration(seed, target, has_operator=operator is not None, is_alone=not (scenario or config))
    else:
        chosen = choose_scenario(scenario, config)
    clients = count_clients(operator, clients, chosen.clients)
    chosen = changed(chosen, changes_of(clients, duration, actions, mode, weights, option))
    options = HarnessOptions(
        testbed=testbed,
        target=target,
        kopias=kopia or [],
        mode=chosen.mode,
        seed=seed,
        workdir=workdir,
        repository=read_place("--repository", repository),
        persist=persist or copied_from,
        persist_minutes=persist_minutes,
        copied_from=copied_from,
        secrets_file=secrets_file,
        take_over=take_over,
        clients_ahead=chosen.clients,
        data_bytes_max=chosen.data_bytes_max,
        repository_bytes_max=read_size("--repository-bytes-max", repository_bytes_max),
        operation_seconds_max=operation_seconds(operation_timeout, has_faults=bool(faults or chosen.faults)),
        faults=tuple(faults or chosen.faults),
        are_faults_optional=swarm and not faults,
        is_each_fault_awaited=bool(faults),
        fault_weights=chosen.fault_weights,
        parameters=chosen.parameters,
        sweep_seconds=above_zero("--sweep-seconds", sweep_seconds),
        keep_going=keep_going,
        operator=operator,
        scenario=chosen.model_dump_json(),
    )
    stages = plan_stages(options, chosen, is_upgrade=upgrade)
    is_repeated = until_violation or minutes is not None
    if is_repeated:
        check_repetition(minutes, chosen, is_wanted=until_violation, is_upgrade=upgrade)
    if operator is not None:
        check_consent(operator, yes=yes)
    with _reports_in(report, testbed) as reports, watching(web, metrics) as board:
        if is_repeated:
            return run_until_violation(
                stages[0], progress_kind, minutes, json_output=json_output, reports=reports, board=board
            )
        return run_stages(stages, progress_kind, json_output=json_output, reports=reports, board=board)


def _reports_in(directory: Path | None, testbed: Path | None) -> AbstractContextManager[ReportDirectory | None]:
    """Where a run's reports go, if any were asked for. Raises ConfigError where they can't."""
    if directory is None:
        return contextlib.nullcontext()
    if testbed is not None and directory.is_relative_to(testbed):
        raise ConfigError(f"reports can't be inside the testbed {testbed}, which is snapstorm's own")
    from snapstorm.report.writing import report_directory  # noqa: PLC0415 - which other runs need not load

    return report_directory(directory)


@app.command
def sweep(
    *,
    testbed: TypedPath,
    kopia: Annotated[list[Path] | None, Parameter(negative="")] = None,
    target: str | None = None,
    server: str | None = None,
    fingerprint: str | None = None,
    clients_file: TypedPath | None = None,
    sweep_seconds: float | None = None,
    operation_timeout: str = "300s",
    workdir: TypedPath | None = None,
    repository: str | None = None,
    persist: str | None = None,
    take_over: Annotated[bool, Parameter(negative="")] = False,
    report: TypedPath | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    progress_kind: Annotated[ProgressChoice, Parameter(name="--progress")] = "auto",
) -> int:
    """Restore and compare every live snapshot of a testbed; write nothing new.

    Parameters
    ----------
    testbed
        The testbed, which must exist.
    kopia
        The program under test.
    target
        Default: the one that the testbed was made with.
    server
        https://HOST:PORT of the server of your own that the testbed was made with.
    fingerprint
        The SHA-256 of its certificate.
    clients_file
        Its users, as for `snapstorm run`.
    sweep_seconds
        Bounds the sweep; snapshots with the greatest restore debt come first.
    operation_timeout
        After this time an operation is ended.
    workdir
        Where restores go. Default: inside the testbed.
    repository
        Where the repository is now, if it has been moved.
    persist
        Where copies of the ledger go; "none" for nowhere. Default: where they went before.
    take_over
        Go on although another instance of the testbed holds the copy.
    report
        Leave reports of the sweep in this directory: report.html, junit.xml, report.json, report.md.
    json_output
        Print one JSON object on stdout, and nothing else there.
    progress_kind
        How the run is shown on stderr while it goes on.
    """
    with read_testbed(testbed) as ledger:
        kind = ledger.fact("target") or "kopia"
        mode = Mode(ledger.fact("mode") or "server")
    options = HarnessOptions(
        testbed=testbed,
        target=target or kind,
        kopias=kopia or [],
        mode=mode,
        workdir=workdir,
        repository=read_place("--repository", repository),
        persist=persist,
        take_over=take_over,
        operation_seconds_max=read_seconds("--operation-timeout", operation_timeout),
        sweep_seconds=above_zero("--sweep-seconds", sweep_seconds),
        must_exist=True,
        is_sweep_only=True,
        operator=read_operator(server, fingerprint, clients_file, testbed),
        scenario="sweep",
    )
    with _reports_in(report, testbed) as reports:
        return run_stages([Stage(options, None)], progress_kind, json_output=json_output, reports=reports)


@app.command
def compact(*, testbed: TypedPath, keep_runs: int = 20) -> int:
    """Make a testbed's ledger smaller: drop the steps of old runs. What was promised, proven or violated stays.

    Parameters
    ----------
    testbed
        The testbed, which must exist and not be in use.
    keep_runs
        So many of the latest runs keep every step, and so does each run that found a violation.
    """
    if keep_runs < 1:
        raise ConfigError(f"--keep-runs must be at least 1, not {keep_runs}")
    with open_testbed(testbed, must_exist=True) as opened:
        opened.is_new = False
        ledger_file = opened.directory / LEDGER_NAME
        bytes_before = ledger_file.stat().st_size
        dropped = opened.ledger.compact(keep_runs)
        bytes_after = ledger_file.stat().st_size
    print(
        f"dropped {dropped.operations:,} operation(s), {dropped.commands:,} command(s) and {dropped.verifications:,} "
        f"superseded verification(s); the ledger went from {bytes_before:,} to {bytes_after:,} bytes"
    )
    return 0


@app.command
def recover(
    *,
    testbed: TypedPath,
    copied_from: Annotated[str, Parameter(name="--from")],
    kopia: Path | None = None,
    take_over: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Put the latest copy of a testbed's ledger in the place of its own, which is damaged or lost.

    The ledger that is there is kept under another name. What happened after the copy was made is not known any more:
    snapshots of that time are not judged, and one that the copy promises and that is not listed makes the next run
    inconclusive.

    Parameters
    ----------
    testbed
        The testbed.
    copied_from
        Where the copies are: what was given to --persist.
    kopia
        The program that reads them, if they are in a Kopia repository.
    take_over
        Take the copy although another instance of the testbed holds it.
    """
    done = anyio.run(
        functools.partial(recover_copy, copied_from, testbed, executables=[kopia] if kopia else [], take_over=take_over)
    )
    print(f"the ledger is that of {done.state.written_utc}, run {done.state.run}, from {copied_from}")
    if done.damaged is not None:
        print(f"the one that was there is kept as {done.damaged}")
    print(f"now: snapstorm sweep --testbed {testbed}")
    return 0


@app.command
def accept(violation: int, /, *, testbed: TypedPath, reason: str) -> int:
    """Accept a loss that is known, so that it is listed, and not counted again in later runs.

    Parameters
    ----------
    violation
        Its number, as `snapstorm status` shows it.
    testbed
        The testbed, which must exist.
    reason
        Why, for those who read the history.
    """
    if not reason.strip():
        raise ConfigError("--reason must say why the loss is accepted")
    with open_testbed(testbed, must_exist=True) as opened:
        opened.is_new = False
        if not opened.ledger.accept(violation, reason.strip()):
            raise ConfigError(f"this testbed has no violation {violation}; `snapstorm status` lists them")
    print(f"violation {violation} is accepted: {reason.strip()}")
    return 0


def main() -> NoReturn:
    """Run the command that was typed, and end with its exit status."""
    adopt_orphans()  # Here, where the process is our own: the library must not do it to somebody else's.
    try:
        handle_signals()
        load_actions()
        arguments = with_addresses(sys.argv[1:])
        if not arguments or arguments[0] in app.help_flags:
            for name in app:
                app[name]  # Loads it, so that its description is known.
        status: object = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (cyclopts.CycloptsError, ConfigError) as error:
        complain(str(error))
        status = EXIT_BAD_USAGE
    except (Interrupted, KeyboardInterrupt):
        complain("interrupted")
        status = EXIT_INTERRUPTED
    except SnapstormError as error:
        complain(str(error))
        status = EXIT_HARNESS
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the last place where it can be told
        show_if_debugged()
        complain(unforeseen(error))
        status = EXIT_HARNESS
    end(status if isinstance(status, int) else 0)
