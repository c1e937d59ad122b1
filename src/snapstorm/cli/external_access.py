"""The command line's part about a server that already runs: how many clients it has, and whether we may."""

from __future__ import annotations

import sys

from snapstorm.errors import ConfigError
from snapstorm.targets.plugin import ExternalServer


def count_clients(server: ExternalServer | None, asked: int | None, usual: int) -> int | None:
    """How many clients a run is to have: as asked for, or as usual, but no more than there are users.

    Raises ConfigError when more are asked for.
    """
    if server is None:
        return asked
    users = len(server.users)
    if asked is not None and asked > users:
        raise ConfigError(f"--clients {asked} is more than the {users} user(s) of the server that already runs")
    return min(usual, users) if asked is None else asked


def check_consent(server: ExternalServer, *, yes: bool) -> None:
    """Say what will be written to the server, and have it confirmed. Raises ConfigError when it is not."""
    print(server.warning, file=sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("say --yes to go on without a terminal to ask at")
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was done")
