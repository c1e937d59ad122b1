"""Clients of any target, made on this machine of what the coordinator has given for that."""

from __future__ import annotations

from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.runtime.process import ProcessRunner


def open_client(access: bytes, directory: Path, runner: ProcessRunner) -> ClientSnapshotter:
    raise HarnessError("not yet")
