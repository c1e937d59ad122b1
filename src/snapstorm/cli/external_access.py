"""The command line's part about a server that already runs: what its operator gave, and whether we may."""

from __future__ import annotations

import sys
from pathlib import Path

from snapstorm.errors import ConfigError
from snapstorm.targets.kopia.external_server import OperatorAccess, read_access


def read_operator(
    server: str | None, fingerprint: str | None, clients_file: Path | None, testbed: Path | None
) -> OperatorAccess | None:
    """The server that already runs, if one was named. Raises ConfigError unless all that it needs was."""
    given = {"--server": server, "--fingerprint": fingerprint, "--clients-file": clients_file}
    if not any(given.values()):
        return None
    if server is None or fingerprint is None or clients_file is None:
        missing = [name for name, value in given.items() if value is None]
        raise ConfigError(f"a server that already runs needs {' and '.join(missing)} as well")
    if testbed is None:
        raise ConfigError("a server that already runs needs --testbed, which remembers the snapshots that are there")
    return read_access(server, fingerprint, clients_file)


def count_clients(operator: OperatorAccess | None, asked: int | None, usual: int) -> int | None:
    """How many clients a run is to have: as asked for, or as usual, but no more than there are users.

    Raises ConfigError when more are asked for.
    """
    if operator is None:
        return asked
    users = len(operator.users)
    if asked is not None and asked > users:
        raise ConfigError(f"--clients {asked} is more than the {users} user(s) that --clients-file names")
    return min(usual, users) if asked is None else asked


def check_consent(operator: OperatorAccess, *, yes: bool) -> None:
    """Say what will be written to the server, and have it confirmed. Raises ConfigError when it is not."""
    users = ", ".join(operator.users)
    print(
        f"This writes to the Kopia server {operator.address.url}: as {users} it takes, restores and deletes snapshots "
        "of files that it makes below the testbed, sets the retention of just these paths, and tries a wrong password "
        "and, for users without the right, a deletion of its own. "
        "Snapshots that it did not take are not touched; those that it leaves are for the next run.",
        file=sys.stderr,
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("say --yes to go on without a terminal to ask at")
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was done")
