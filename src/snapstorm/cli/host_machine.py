"""The command that lets this machine be one of a run's machines: `snapstorm machine`."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from snapstorm.cli.failures import EXIT_HARNESS, EXIT_INTERRUPTED
from snapstorm.cli.machine_services import open_machine_services
from snapstorm.cli.signals import until_signal
from snapstorm.cli.words import TypedPath
from snapstorm.errors import ConfigError, HarnessError, SnapstormError
from snapstorm.machines.handshake import distributed_version
from snapstorm.machines.host import HostSettings, stay
from snapstorm.machines.join_file import read_join_file
from snapstorm.machines.transport import check_address
from snapstorm.machines.work_directory import work_directory
from snapstorm.runtime.machine import host_name
from snapstorm.targets.plugin import TargetPlugin
from snapstorm.targets.registry import plugins
from snapstorm.version import __version__


def machine(
    address: str | None = None,
    /,
    *,
    join: TypedPath | None = None,
    workdir: TypedPath | None = None,
    name: str | None = None,
    check: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Be one of the machines of a run: clients of the run then work here.

    A run starts its machines itself (`snapstorm run --machines`). This stays until the run is over, and joins again if
    it was cut off.

    Parameters
    ----------
    address
        Where the run listens: tls://HOST:PORT.
    join
        The run's file machines/join.pem, which is in its testbed while it lasts. It is as secret as a password.
    workdir
        Where clients' files and restores live on this machine. Made if there is none; otherwise it must be empty, or a
        machine's.
    name
        The name of this machine in the run. Default: the one of the system.
    check
        Say what this machine has and what is missing, and do nothing else.
    """
    if check:
        return _check(workdir)
    missing = [
        text for text, value in (("tls://HOST:PORT", address), ("--join", join), ("--workdir", workdir)) if not value
    ]
    if missing or address is None or join is None or workdir is None:
        raise ConfigError(f"snapstorm machine needs {' and '.join(missing)}: see snapstorm machine --help")
    distributed_version()
    settings = HostSettings(check_address(address), read_join_file(join), name or host_name(), workdir / ".transport")
    with work_directory(workdir):
        is_ended_by_signal = anyio.run(_stay, settings, workdir)
    return EXIT_INTERRUPTED if is_ended_by_signal else 0


async def _stay(settings: HostSettings, workdir: Path) -> bool:
    def tell(line: str) -> None:
        print(f"{settings.name}: {line}", flush=True)

    async def work() -> None:
        await stay(settings, lambda: open_machine_services(workdir, settings.name), tell)
        tell("the run is over")

    return await until_signal(work)


@dataclass(frozen=True)
class _Checked:
    what: str
    found: str
    is_missing: bool = False


def _check(workdir: Path | None) -> int:
    """Print what is there, one line each. Returns the exit status: 3 if anything that every run needs is missing."""
    checked = list(_all_checks(workdir))
    for one in checked:
        print(f"{'missing' if one.is_missing else 'ok':8} {one.what:14} {one.found}")
    return EXIT_HARNESS if any(one.is_missing for one in checked) else 0


def _all_checks(workdir: Path | None) -> Iterator[_Checked]:
    yield _Checked("snapstorm", __version__)
    yield _Checked("Python", platform.python_version())
    try:
        yield _Checked("distributed", distributed_version())
    except HarnessError as error:
        yield _Checked("distributed", str(error), is_missing=True)
    rights = "root: all" if os.geteuid() == 0 else "no root: faults that need it are not possible here"
    yield _Checked("rights", rights)
    if workdir is not None:
        yield _work_directory(workdir)
    for plugin in plugins():
        if plugin.has_programs:
            yield _program_of(plugin)


def _work_directory(workdir: Path) -> _Checked:
    try:
        with work_directory(workdir):
            return _Checked("work directory", f"{workdir}, {shutil.disk_usage(workdir).free:,} bytes free")
    except SnapstormError as error:
        return _Checked("work directory", str(error), is_missing=True)


def _program_of(plugin: TargetPlugin) -> _Checked:
    """A missing program matters only for runs against its target, so the command does not fail for it."""
    try:
        plugin.find((), None, None)
    except SnapstormError as error:
        return _Checked(plugin.name, f"not here, so no run against it: {error}")
    return _Checked(plugin.name, "found")
