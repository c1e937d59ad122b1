"""Borg, as the rest of snapstorm knows it."""

from __future__ import annotations

# What a run needs is imported where it is used, so that the help, and runs against other targets, need not load it.
# ruff: noqa: PLC0415
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snapstorm.errors import ConfigError
from snapstorm.model.manifest import Manifest
from snapstorm.targets.borg.parameters import PARAMETERS
from snapstorm.targets.plugin import ExternalServer, MakeTarget, Shown, TargetPlugin

if TYPE_CHECKING:
    from snapstorm.ledger.record import RecordedCommand
    from snapstorm.targets.borg.known_bugs.bench import Bench
    from snapstorm.targets.known_bug import KnownBugs
    from snapstorm.targets.planted import Specimens


@dataclass(frozen=True)
class BorgPlugin(TargetPlugin):
    """Implements `TargetPlugin`."""

    def find(self, programs: Sequence[Path], defect: str | None, server: ExternalServer | None) -> MakeTarget:
        """Find each program that was named, or the one that there is."""
        from snapstorm.targets.borg.discovery import find_borg
        from snapstorm.targets.borg.target import BorgTarget

        if defect is not None:
            raise ConfigError(f"the target borg has no defect {defect!r}")
        found = [find_borg(program) for program in programs] or [find_borg()]
        return lambda runner: BorgTarget(found, runner)

    def find_version(self, version: str) -> Path:
        """The borg of just this version. Raises HarnessError."""
        from snapstorm.targets.borg.discovery import find_version

        return find_version(version)

    def script(
        self, commands: Sequence[RecordedCommand], shown: Shown, manifest_of: Callable[[str], Manifest | None]
    ) -> Iterator[str]:
        """A bash script of the commands that a run has recorded."""
        from snapstorm.targets.borg.reproduction import Script

        return Script(manifest_of).lines(commands, shown)

    def specimens(self, programs: Sequence[Path]) -> Specimens:
        """Wrappers around the program that was named, or the one that there is."""
        from snapstorm.targets.borg.discovery import find_borg
        from snapstorm.targets.borg.planted import wrapped

        return wrapped(find_borg(*programs[-1:]).path)

    @property
    def known_bugs(self) -> KnownBugs[Bench]:
        """The table of `docs/known-bugs.md`."""
        from snapstorm.targets.borg.known_bugs.table import KNOWN_BUGS

        return KNOWN_BUGS


PLUGIN = BorgPlugin(
    name="borg",
    sentence="Borg: a repository for each client or one for all, reached as over ssh, or directly.",
    has_utf8_paths_only=True,
    parameters=PARAMETERS,
    parameters_not_drawn=("transport",),
)
