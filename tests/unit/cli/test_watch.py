"""Where a live page is served: what may be typed, and what is told of the rest."""

from __future__ import annotations

import pytest

from snapstorm.cli.watch import WEB_DEFAULT, read_address, watching, with_addresses
from snapstorm.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["run", "--web"], ["run", f"--web={WEB_DEFAULT}"]),
        (["run", "--web", "randomized"], ["run", f"--web={WEB_DEFAULT}", "randomized"]),
        (["run", "--web", "--json"], ["run", f"--web={WEB_DEFAULT}", "--json"]),
        (["run", "--web", ":8080", "randomized"], ["run", "--web=:8080", "randomized"]),
        (["run", "--web", "8080"], ["run", "--web=8080"]),
        (["run", "--web", "[::1]:80"], ["run", "--web=[::1]:80"]),
        (["run", "--web=host:1"], ["run", "--web=host:1"]),
        (["run", "--metrics", "9"], ["run", "--metrics", "9"]),
        ([], []),
    ],
)
def test_an_address_may_be_left_out(typed: list[str], read: list[str]) -> None:
    assert with_addresses(typed) == read


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8080", ("127.0.0.1", 8080)),
        (":0", ("127.0.0.1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65_535)),
        ("[::1]:9", ("::1", 9)),
    ],
)
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert read_address("--web", text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "1:2:3", "::1:80", "65536", "http://x:1", "a b:1", "-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--metrics needs HOST:PORT"):
        read_address("--metrics", text)


def test_nothing_is_served_unasked() -> None:
    with watching(None, None) as board:
        assert board is None
