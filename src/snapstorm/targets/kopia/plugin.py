"""Kopia, as the rest of snapstorm knows it."""

from __future__ import annotations

# What a run needs is imported where it is used, so that the help, and runs against other targets, need not load it.
# ruff: noqa: PLC0415
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snapstorm.model.location import Storage
from snapstorm.model.manifest import Manifest
from snapstorm.targets.kopia.own_options import AccessOptions
from snapstorm.targets.kopia.parameters import GATEWAY_PARAMETERS, choices
from snapstorm.targets.plugin import ExternalServer, MakeTarget, OpenPersister, Shown, TargetPlugin

if TYPE_CHECKING:
    from snapstorm.ledger.record import RecordedCommand
    from snapstorm.targets.known_bug import KnownBugs
    from snapstorm.targets.kopia.known_bugs.bench import Bench
    from snapstorm.targets.planted import Specimens


@dataclass(frozen=True)
class KopiaPlugin(TargetPlugin):
    """Implements `TargetPlugin`."""

    def find(self, programs: Sequence[Path], defect: str | None, server: ExternalServer | None) -> MakeTarget:
        """Find each program that was named, or the one that there is."""
        from snapstorm.targets.kopia.discovery import find_kopia
        from snapstorm.targets.kopia.external_server import OperatorAccess
        from snapstorm.targets.kopia.target import KopiaTarget

        assert server is None or isinstance(server, OperatorAccess), "made by our own options"
        found = [find_kopia(program) for program in programs] or [find_kopia()]
        return lambda runner: KopiaTarget(found, runner, operator=server)

    def find_virtual(self, programs: Sequence[Path], defect: str | None) -> MakeTarget:
        """Find each program that was named, or one that can live in virtual time."""
        from snapstorm.targets.kopia.discovery import find_virtual_kopia
        from snapstorm.targets.kopia.target import KopiaTarget

        found = [find_virtual_kopia(program) for program in programs] or [find_virtual_kopia()]
        return lambda runner: KopiaTarget(found, runner)

    def find_version(self, version: str) -> Path:
        """The Kopia of just this version. Raises HarnessError."""
        from snapstorm.targets.kopia.discovery import find_version

        return find_version(version)

    def find_persister(self, storage: Storage, programs: Sequence[Path]) -> OpenPersister:
        """A second repository, written by the program that was named last, or by the one that there is."""
        from snapstorm.targets.kopia.discovery import find_kopia
        from snapstorm.targets.kopia.persister import open_kopia_persister

        return functools.partial(open_kopia_persister, find_kopia(*programs[-1:]).path, storage)

    def script(
        self, commands: Sequence[RecordedCommand], shown: Shown, manifest_of: Callable[[str], Manifest | None]
    ) -> Iterator[str]:
        """A bash script of the commands that a run has recorded."""
        from snapstorm.targets.kopia.reproduction import Script

        return Script(manifest_of).lines(commands, shown)

    def specimens(self, programs: Sequence[Path]) -> Specimens:
        """Wrappers around the program that was named, or the one that there is."""
        from snapstorm.targets.kopia.discovery import find_kopia
        from snapstorm.targets.kopia.planted import wrapped

        return wrapped(find_kopia(*programs[-1:]).path)

    @property
    def known_bugs(self) -> KnownBugs[Bench]:
        """The table of `docs/known-bugs.md`."""
        from snapstorm.targets.kopia.known_bugs.table import KNOWN_BUGS

        return KNOWN_BUGS


PLUGIN = KopiaPlugin(
    name="kopia",
    sentence="Kopia: a repository and a server of our own, or a server that already runs.",
    has_bucket_storage=True,
    gateway_parameters=choices(GATEWAY_PARAMETERS),
    keeps_copies=True,
    has_utf8_paths_only=True,
    retention_ends_at_latest=True,
    has_virtual_time=True,
    parameters=choices(),
    options={"run": AccessOptions, "sweep": AccessOptions},
)
