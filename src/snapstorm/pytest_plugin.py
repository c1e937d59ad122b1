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

import inspect
from pathlib import Path
from typing import Any

import anyio
import pytest

from snapstorm.errors import ConfigError, SnapstormError
from snapstorm.model.protocols import Mode
from snapstorm.model.verdict import Verdict
from snapstorm.report.summary import summary_lines
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.run.result import RunResult
from snapstorm.targets.registry import DEFAULT_TARGET


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("snapstorm", "snapstorm: do backups come back?")
    group.addoption("--snapstorm-testbed", type=Path, help="go on with this testbed instead of a temporary one each")
    group.addoption(
        "--snapstorm-target",
        default=DEFAULT_TARGET,
        help="kopia, memory, memory:DEFECT, or another that is installed (default: %(default)s)",
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
        choices=[mode.value for mode in Mode],
        default=Mode.SERVER.value,
        help="many clients against a server, or one directly on the repository (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "snapstorm(allow_inconclusive=False, **options): options of this test's harness (see HarnessOptions)",
    )


class HarnessFixture:
    """Stands for the test's harness, which is open while the test's body runs."""

    def __init__(self, options: HarnessOptions, *, allow_inconclusive: bool) -> None:
        self.options = options
        self.allow_inconclusive = allow_inconclusive
        self._opened: Harness | None = None
        self.last: Harness | None = None
        """The harness, also after its end, for the report."""

    def __getattr__(self, name: str) -> Any:
        opened = self.__dict__.get("_opened")
        if opened is None:
            raise SnapstormError("the fixture harness is open only while an `async def` test that asks for it runs")
        return getattr(opened, name)

    async def run_test(self, body: Any, arguments: dict[str, Any]) -> RunResult:
        """Run a test's body with the harness open, and judge what it left."""
        async with open_harness(self.options) as opened:
            self._opened = self.last = opened
            try:
                await body(**arguments)
            finally:
                self._opened = None
            await opened.finish()
        return opened.result


@pytest.fixture
def harness(request: pytest.FixtureRequest) -> HarnessFixture:
    """A harness with a testbed, a server and clients of its own (see `snapstorm.run.harness.Harness`)."""
    marker = request.node.get_closest_marker("snapstorm")
    chosen = dict(marker.kwargs) if marker else {}
    if "kopias" in chosen:  # As it was called before there were other targets.
        chosen["programs"] = chosen.pop("kopias")
    allow_inconclusive = bool(chosen.pop("allow_inconclusive", False))
    option = request.config.getoption
    defaults: dict[str, Any] = {
        "testbed": option("--snapstorm-testbed"),
        "target": option("--snapstorm-target"),
        "programs": option("--snapstorm-program"),
        "seed": option("--snapstorm-seed"),
        "mode": Mode(option("--snapstorm-mode")),
        "scenario": request.node.nodeid,
    }
    try:
        options = HarnessOptions(**(defaults | chosen))
    except TypeError as error:
        raise ConfigError(f"the marker snapstorm has an option that there is not: {error}") from None
    return HarnessFixture(options, allow_inconclusive=allow_inconclusive)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that uses the fixture, whatever other plugins for such tests there are."""
    fixture = pyfuncitem.funcargs.get("harness")
    if not isinstance(fixture, HarnessFixture):
        return None
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        pytest.fail("a test that uses the fixture harness must be an `async def`", pytrace=False)
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    try:
        result = anyio.run(fixture.run_test, pyfuncitem.obj, arguments)
    finally:
        if fixture.last is not None:
            pyfuncitem.add_report_section("call", "snapstorm", _summary(fixture.last.result))
    tolerated = {Verdict.PASS} | ({Verdict.INCONCLUSIVE} if fixture.allow_inconclusive else set())
    if result.verdict not in tolerated:
        pytest.fail(_summary(result), pytrace=False)
    return True


def _summary(result: RunResult) -> str:
    return "\n".join(summary_lines(result, is_testbed_kept=result.testbed.exists()))
