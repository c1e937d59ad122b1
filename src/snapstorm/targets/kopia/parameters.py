"""Kopia's own settings that a scenario may choose: one table, each with the values that a swarm draws from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Command(Enum):
    """Which command sets it."""

    CREATE = auto()
    """`repository create`: for good."""
    FORMAT = auto()
    """`repository set-parameters`, right after it."""
    POLICY = auto()
    """`policy set --global`."""
    CONNECT = auto()
    """`repository connect server`, of each client."""
    SERVE = auto()
    """`server start`; what else follows from it, `users` knows."""


@dataclass(frozen=True)
class Parameter:
    """One setting."""

    command: Command
    option: str
    choices: Sequence[str]
    with_it: Sequence[str] = ()
    """Options that go with each value but the first, which is the default."""
    is_switch: bool = False
    """Every value but the first is set by the options in `with_it` alone."""


PARAMETERS: dict[str, Parameter] = {
    "hash": Parameter(Command.CREATE, "--block-hash", ("BLAKE2B-256-128", "BLAKE3-256-128", "HMAC-SHA256-128")),
    "encryption": Parameter(
        Command.CREATE, "--encryption", ("AES256-GCM-HMAC-SHA256", "CHACHA20-POLY1305-HMAC-SHA256")
    ),
    "splitter": Parameter(
        Command.CREATE,
        "--object-splitter",
        ("DYNAMIC-4M-BUZHASH", "DYNAMIC-128K-BUZHASH", "DYNAMIC-1M-RABINKARP", "FIXED-128K", "FIXED-1M", "FIXED-8M"),
    ),
    "ecc-percent": Parameter(
        Command.CREATE, "--ecc-overhead-percent", ("0", "1", "5"), with_it=("--ecc=REED-SOLOMON-CRC32",)
    ),
    "pack-size-mb": Parameter(Command.FORMAT, "--max-pack-size-mb", ("20", "10", "40")),
    "epoch-advance-on-count": Parameter(Command.FORMAT, "--epoch-advance-on-count", ("20", "10", "50")),
    "epoch-checkpoint-frequency": Parameter(Command.FORMAT, "--epoch-checkpoint-frequency", ("7", "2", "4")),
    "epoch-delete-parallelism": Parameter(Command.FORMAT, "--epoch-delete-parallelism", ("4", "1", "16")),
    "compression": Parameter(
        Command.POLICY, "--compression", ("none", "zstd", "zstd-better-compression", "s2-default", "gzip", "lz4")
    ),
    "parallel-file-reads": Parameter(Command.POLICY, "--max-parallel-file-reads", ("2", "1", "8")),
    "parallel-upload-above-mib": Parameter(Command.POLICY, "--parallel-upload-above-size-mib", ("2048", "1", "16")),
    "content-cache-mb": Parameter(Command.CONNECT, "--content-cache-size-mb", ("5000", "1", "50")),
    "metadata-cache-mb": Parameter(Command.CONNECT, "--metadata-cache-size-mb", ("5000", "1", "50")),
    "users": Parameter(Command.SERVE, "--htpasswd-file", ("repository", "htpasswd", "mixed")),
}
"""By the name in a scenario's table `[parameters]`. The first value is Kopia's default (0.23.1), or near it."""


OBJECT_LOCK = "object-lock"

GATEWAY_PARAMETERS: dict[str, Parameter] = {
    # Kopia extends locks only if they last a day longer than from one full collection to the next, which is a day.
    OBJECT_LOCK: Parameter(
        Command.CREATE,
        "",
        ("off", "on"),
        with_it=("--retention-mode=GOVERNANCE", "--retention-period=49h"),
        is_switch=True,
    ),
}
"""Those that only a repository behind the gateway has."""


def choices(parameters: Mapping[str, Parameter] = PARAMETERS) -> dict[str, tuple[str, ...]]:
    """Each parameter with its values."""
    return {name: tuple(parameter.choices) for name, parameter in parameters.items()}


def is_lock_extended(parameters: Mapping[str, str]) -> bool:
    """Whether a full collection is to extend the locks of objects."""
    return parameters.get(OBJECT_LOCK, "off") != "off"


def options_for(command: Command, parameters: Mapping[str, str]) -> list[str]:
    """The words by which this command sets those of these parameters that are its."""
    words: list[str] = []
    for name, value in parameters.items():
        parameter = (PARAMETERS | GATEWAY_PARAMETERS)[name]
        if parameter.command is command:
            is_default = value == parameter.choices[0]
            words += [] if parameter.is_switch else [f"{parameter.option}={value}"]
            words += () if is_default else parameter.with_it
    return words
