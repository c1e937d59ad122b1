"""What restic says of a repository."""

from __future__ import annotations

import msgspec

from snapstorm.errors import OperationFailed
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.command_output import Count, Id, stderr_of
from snapstorm.targets.restic.answers import read

_IN_USE = "config file already exists"


class RepositoryConfig(msgspec.Struct, frozen=True):
    """What tells a repository from every other one, and how it is written."""

    id: Id
    version: Count


def read_config(completed: CompletedCommand) -> RepositoryConfig:
    """The answer to `cat config`."""
    return read(completed, "cat config", RepositoryConfig, OperationFailed)


def is_in_use(completed: CompletedCommand) -> bool:
    """Whether no repository could be made because there is one already."""
    return completed.exit_code != 0 and _IN_USE in stderr_of(completed)
