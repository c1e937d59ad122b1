"""The options of the command line that only Kopia has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snapstorm.errors import ConfigError
from snapstorm.targets.plugin import TargetOptions

if TYPE_CHECKING:
    from snapstorm.targets.kopia.external_server import OperatorAccess


@dataclass(frozen=True)
class AccessOptions(TargetOptions):
    """Which server that already runs is meant."""

    server: str | None = None
    """https://HOST:PORT of a Kopia server of your own. Needs a testbed, which remembers what was promised there."""
    fingerprint: str | None = None
    """The SHA-256 of its certificate, as `kopia server start` prints it."""
    clients_file: Path | None = None
    """The users you made for this: a TOML file of mode 0600 with "user@host" = "password" on each line."""

    def external_server(self, testbed: Path | None) -> OperatorAccess | None:
        """The server that already runs, if one was named. Raises ConfigError unless all that it needs was."""
        given = {"--server": self.server, "--fingerprint": self.fingerprint, "--clients-file": self.clients_file}
        if not any(given.values()):
            return None
        if self.server is None or self.fingerprint is None or self.clients_file is None:
            missing = [name for name, value in given.items() if value is None]
            raise ConfigError(f"a server that already runs needs {' and '.join(missing)} as well")
        if testbed is None:
            raise ConfigError(
                "a server that already runs needs --testbed, which remembers the snapshots that are there"
            )
        from snapstorm.targets.kopia.external_server import read_access  # noqa: PLC0415 - for few runs

        return read_access(self.server, self.fingerprint, self.clients_file)
