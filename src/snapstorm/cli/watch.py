"""Serves the live page and metrics for Prometheus, if they were asked for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snapstorm.errors import ConfigError

if TYPE_CHECKING:
    from snapstorm.report.live.board import Board

WEB_DEFAULT = "127.0.0.1:0"
_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/]+)?:)?(?P<port>\d{1,5})")
_LOOPBACK = "127.0.0.1"
PORT_MAX = 65_535


def with_addresses(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the default address after each `--web` that has none: in `--web randomized` a scenario
    follows, in `--web :8080` an address."""
    found: list[str] = []
    for argument, following in itertools.pairwise([*arguments, ""]):
        if found and found[-1] == "--web" and _ADDRESS.fullmatch(argument):
            found[-1] = f"--web={argument}"
        elif argument == "--web" and not _ADDRESS.fullmatch(following):
            found.append(f"--web={WEB_DEFAULT}")
        else:
            found.append(argument)
    return found


@contextmanager
def watching(web: str | None, metrics: str | None) -> Iterator[Board | None]:
    """Serve what was asked for while the block lasts; None if nothing was.

    Raises ConfigError for a text that is no address, HarnessError for an address that can't be listened on.
    """
    if web is None and metrics is None:
        yield None
        return
    places = [read_address(option, text) for option, text in (("--web", web), ("--metrics", metrics))]
    # Imported only if needed: the server takes longer to load than everything else.
    from snapstorm.report.live.page_server import Address, serving  # noqa: PLC0415

    page, counts = (None if place is None else Address(*place) for place in places)
    with serving(page, counts) as board:
        yield board


def read_address(option: str, text: str | None) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT`, `:PORT` or `PORT`. The default host is the loopback. Raises ConfigError."""
    if text is None:
        return None
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > PORT_MAX:
        raise ConfigError(f"{option} needs HOST:PORT, or a port of this machine alone, not {text!r}")
    return (match["host"] or _LOOPBACK).strip("[]"), int(match["port"])
