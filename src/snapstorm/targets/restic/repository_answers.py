"""What restic says of a repository."""

from __future__ import annotations

import re

import msgspec

from snapstorm.errors import OperationFailed
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.command_output import Count, Id, stderr_of
from snapstorm.targets.restic.answers import read

_IN_USE = re.compile(r"config file already exists|config already initialized|repository already contains ")
"""Of a directory, and of S3; the last one where what a killed `init` has left is found (0.18.1, measured)."""


class RepositoryConfig(msgspec.Struct, frozen=True):
    """What tells a repository from every other one, and how it is written."""

    id: Id
    version: Count


def read_config(completed: CompletedCommand) -> RepositoryConfig:
    """The answer to `cat config`."""
    return read(completed, "cat config", RepositoryConfig, OperationFailed)


def is_in_use(completed: CompletedCommand) -> bool:
    """Whether no repository could be made because there is one already."""
    return completed.exit_code != 0 and _IN_USE.search(stderr_of(completed)) is not None
