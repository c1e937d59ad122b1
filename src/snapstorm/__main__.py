"""The command `snapstorm`, and `python -m snapstorm`.

Loading the command line takes a third of a second, in which somebody may already want to end it.
"""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Load the command line and run it; does not return."""
    try:
        gc.disable()  # What is loaded stays: looking for garbage in it takes a tenth of the time.
        from snapstorm.cli import main as run  # noqa: PLC0415 - so that what is raised meanwhile is caught

        gc.enable()
    except KeyboardInterrupt:
        print("snapstorm: interrupted", file=sys.stderr, flush=True)
        os._exit(130)
    run()


if __name__ == "__main__":
    main()
