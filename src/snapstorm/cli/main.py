"""The command line: reads the arguments, runs a command, and turns its result into an exit status.

    snapstorm run                      a real server, four clients, 60 s of random actions, every snapshot restored
    snapstorm run --testbed DIR        the same, on a testbed that goes on with its history at each run
    snapstorm run many-small-files     another scenario; `snapstorm scenarios` lists them

Exit status: 0 pass, 1 violated, 2 bad usage or configuration, 3 environment or harness, 4 inconclusive,
130 interrupted.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import cyclopts
from cyclopts import App

from snapstorm import __version__
from snapstorm.actions.plugins import load_actions
from snapstorm.cli.failures import EXIT_BAD_USAGE, EXIT_HARNESS, EXIT_INTERRUPTED, show_if_debugged, unforeseen
from snapstorm.cli.signals import Interrupted, handle_signals
from snapstorm.cli.standard_streams import complain, end
from snapstorm.cli.watch import with_addresses
from snapstorm.errors import ConfigError, SnapstormError
from snapstorm.runtime.adoption import adopt_orphans

app = App(
    name="snapstorm",
    version=__version__,
    help="Find out whether backups come back.",
    help_epilogue=(
        "Exit status: 0 pass, 1 violated, 2 bad usage or configuration, 3 environment or harness, 4 inconclusive, "
        "130 interrupted."
    ),
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # It would become a SystemExit, which `main` treats as a failure.
)
app.register_install_completion_command()

_COMMANDS = {
    "status": "show:status",
    "history": "show:history",
    "actions": "show:actions",
    "scenarios": "show:scenarios",
    "faults": "show:faults",
    "target": "show:target",
    "known-bugs": "known_bugs:known_bugs",
    "bundle": "bundle:bundle",
    "calibrate": "calibrate:calibrate_judge",
    "compare": "compare:compare",
    "report": "report:report",
    "recheck": "recheck:recheck_run",
    "explore": "explore:explore",
    "replay": "replay:replay",
    "shrink": "shrink:shrink",
    "run": "run:run",
    "machine": "host_machine:machine",
    "sweep": "sweep_testbed:sweep",
    "compact": "compact:compact",
    "recover": "recover:recover",
    "accept": "accept:accept",
}
"""Each command, with its module in this package, which is loaded only when the command is used."""

for _name, _place in _COMMANDS.items():
    app.command(f"snapstorm.cli.{_place}", name=_name)


def main() -> NoReturn:
    """Run the command that was typed, and end with its exit status."""
    adopt_orphans()  # Only here: the library must not do it in a process that is not its own.
    status: object
    try:
        handle_signals()
        load_actions()
        arguments = with_addresses(sys.argv[1:])
        if not arguments or arguments[0] in app.help_flags:
            for name in app:
                app[name]  # Loads its description.
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
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
