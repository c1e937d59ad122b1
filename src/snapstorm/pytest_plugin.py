"""The pytest plugin: a fixture `harness` for tests of your own, against a real server.

    async def test_example(harness):
        async def flow(client):
            await client.execute(WriteRandomFiles(count=100, size_bytes=4096))
            snapshot = await client.execute(SnapshotRoot())
            await client.execute(RestoreSnapshot(id=snapshot.id))

        await harness.run_clients(4, flow)

A test that uses the fixture is an `async def` and needs no further set-up. When its body has ended, every live snapshot
is restored and compared, and the test fails for any violation that was found, or if nothing was verified at all.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from snapstorm.run.harness import Harness

# Nothing of snapstorm is loaded until a test asks for the fixture: each session of pytest would wait for it.


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("snapstorm", "snapstorm: do backups come back?")
    group.addoption("--snapstorm-testbed", type=Path, help="go on with this testbed instead of a temporary one each")
    group.addoption(
        "--snapstorm-target", help="kopia, memory, memory:DEFECT, or another that is installed (default: kopia)"
    )
    group.addoption(
        "--snapstorm-program",
        "--snapstorm-kopia",
        type=Path,
        action="append",
        default=[],
        help="the program under test; of several, each process is one of them",
    )
    group.addoption("--snapstorm-seed", type=int, help="the seed from which every draw follows (default: random)")
    group.addoption(
        "--snapstorm-mode",
        choices=["server", "direct"],
        default="server",
        help="many clients against a server, or one directly on the repository (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "snapstorm(allow_inconclusive=False, **options): options of this test's harness (see HarnessOptions)",
    )


@pytest.fixture
def harness(request: pytest.FixtureRequest) -> Harness:
    """A harness with a testbed, a server and clients of its own (see `snapstorm.Harness`). Open while the test runs."""
    from snapstorm.pytest_harness import make_fixture  # noqa: PLC0415

    return cast("Harness", make_fixture(request))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that uses the fixture, whatever other plugins for such tests there are."""
    loaded = sys.modules.get("snapstorm.pytest_harness")
    fixture = pyfuncitem.funcargs.get("harness")
    if loaded is None or not isinstance(fixture, loaded.HarnessFixture):
        return None
    loaded.run_test(pyfuncitem, fixture)
    return True
