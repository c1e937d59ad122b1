"""Options of the example tests. Copy this folder, and start your own tests from it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Sizes:
    """How much the tests write: small by default, or what Kopia's own suite writes."""

    small_files: int
    large_file_bytes: int
    tree_writes: int
    random_seconds: float
    random_file_bytes_max: int


SMALL = Sizes(
    small_files=500, large_file_bytes=4 << 20, tree_writes=20, random_seconds=8, random_file_bytes_max=1 << 20
)
ORIGINAL = Sizes(
    small_files=10_000, large_file_bytes=40 << 20, tree_writes=100, random_seconds=300, random_file_bytes_max=64 << 20
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--original-sizes", action="store_true", help="write as much as Kopia's own robustness tests do")


@pytest.fixture
def sizes(request: pytest.FixtureRequest) -> Sizes:
    return ORIGINAL if request.config.getoption("--original-sizes") else SMALL
