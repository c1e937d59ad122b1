"""restic, as the rest of snapstorm knows it."""

from __future__ import annotations

# What a run needs is imported where it is used, so that the help, and runs against other targets, need not load it.
# ruff: noqa: PLC0415
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snapstorm.model.manifest import Manifest
from snapstorm.model.protocols import Mode
from snapstorm.targets.plugin import ExternalServer, MakeTarget, Shown, TargetPlugin
from snapstorm.targets.restic.parameters import PARAMETERS

if TYPE_CHECKING:
    from snapstorm.ledger.record import RecordedCommand
    from snapstorm.targets.known_bug import KnownBugs
    from snapstorm.targets.planted import Specimens
    from snapstorm.targets.restic.known_bugs.bench import Bench


@dataclass(frozen=True)
class ResticPlugin(TargetPlugin):
    """Implements `TargetPlugin`."""

    def find(self, programs: Sequence[Path], defect: str | None, server: ExternalServer | None) -> MakeTarget:
        """Find each program that was named, or the one that there is, and a rest-server."""
        from snapstorm.errors import HarnessError
        from snapstorm.model.protocols import Program
        from snapstorm.targets.restic.discovery import find_rest_server, find_restic
        from snapstorm.targets.restic.target import ResticTarget

        found = [find_restic(program) for program in programs] or [find_restic()]
        rest_server: Program | HarnessError
        try:
            rest_server = find_rest_server()
        except HarnessError as error:  # It is needed in mode server only.
            rest_server = error
        return lambda runner: ResticTarget(found, rest_server, runner)

    def find_version(self, version: str) -> Path:
        """The restic of just this version. Raises HarnessError."""
        from snapstorm.targets.restic.discovery import find_version

        return find_version(version)

    def script(
        self, commands: Sequence[RecordedCommand], shown: Shown, manifest_of: Callable[[str], Manifest | None]
    ) -> Iterator[str]:
        """A bash script of the commands that a run has recorded."""
        from snapstorm.targets.restic.reproduction import Script

        return Script(manifest_of).lines(commands, shown)

    def specimens(self, programs: Sequence[Path]) -> Specimens:
        """Wrappers around the program that was named, or the one that there is."""
        from snapstorm.targets.restic.discovery import find_restic
        from snapstorm.targets.restic.planted import wrapped

        return wrapped(find_restic(*programs[-1:]).path)

    @property
    def known_bugs(self) -> KnownBugs[Bench]:
        """The table of `docs/known-bugs.md`."""
        from snapstorm.targets.restic.known_bugs.table import KNOWN_BUGS

        return KNOWN_BUGS


PLUGIN = ResticPlugin(
    name="restic",
    sentence="restic: repositories behind a rest-server of our own, or one in a directory or on S3.",
    has_bucket_storage=True,
    bucket_modes=frozenset({Mode.DIRECT}),
    has_utf8_paths_only=True,
    parameters=PARAMETERS,
)
"""What the entry point names."""
