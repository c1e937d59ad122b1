"""The command `snapstorm`, and `python -m snapstorm`.

Loading the command line takes a third of a second. An interrupt during that time is handled here.
"""

from __future__ import annotations

import gc

from snapstorm.cli.failures import EXIT_HARNESS, EXIT_INTERRUPTED, show_if_debugged, unforeseen
from snapstorm.cli.standard_streams import complain, end, open_streams


def main() -> None:
    """Load the command line and run it; does not return."""
    open_streams()
    try:
        gc.disable()  # Modules stay: collecting garbage among them would take a tenth of the time.
        from snapstorm.cli.main import main as run  # noqa: PLC0415 - so that what it raises is caught

        gc.enable()
    except KeyboardInterrupt:
        complain("interrupted")
        end(EXIT_INTERRUPTED)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything while it is loaded
        show_if_debugged()
        complain(unforeseen(error))
        end(EXIT_HARNESS)
    run()


if __name__ == "__main__":
    main()
