"""Fixtures of the contract tests: one bench for the tests of a module, because a real one takes a second to make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.contract.bench import ALL, Bench, Client, bench_id, open_bench
from tests.directories import memory_directory


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As wide as the bench, which lives in the same event loop as the tests on it."""
    return "asyncio"


@pytest.fixture(scope="module")
def module_directory() -> Iterator[Path]:
    """An empty directory for the benches of a module."""
    with memory_directory() as path:
        yield path


@pytest.fixture(scope="module", params=ALL, ids=bench_id)
async def bench(request: pytest.FixtureRequest, module_directory: Path) -> AsyncIterator[Bench]:
    """Every target in every mode."""
    name, mode = request.param
    async with open_bench(name, module_directory / bench_id(request.param), mode) as opened:
        yield opened


@pytest.fixture
async def client(bench: Bench) -> Client:
    """A client in a directory that nobody has used."""
    return await bench.shared_client()
