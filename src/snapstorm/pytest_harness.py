"""The harness behind the fixture of the pytest plugin. Loaded once a test asks for the fixture."""

from __future__ import annotations

import inspect
from typing import Any

import anyio
import pytest

from snapstorm.errors import ConfigError, SnapstormError
from snapstorm.model.protocols import Mode
from snapstorm.model.verdict import Verdict
from snapstorm.report.summary import summary_lines
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.run.result import RunResult


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


def make_fixture(request: pytest.FixtureRequest) -> HarnessFixture:
    """The fixture of one test, as the command line and the test's marker have it. Raises ConfigError."""
    marker = request.node.get_closest_marker("snapstorm")
    chosen = dict(marker.kwargs) if marker else {}
    if "kopias" in chosen:  # As it was called before there were other targets.
        chosen["programs"] = chosen.pop("kopias")
    allow_inconclusive = bool(chosen.pop("allow_inconclusive", False))
    option = request.config.getoption
    defaults: dict[str, Any] = {
        "testbed": option("--snapstorm-testbed"),
        "programs": option("--snapstorm-program"),
        "seed": option("--snapstorm-seed"),
        "mode": Mode(option("--snapstorm-mode")),
        "scenario": request.node.nodeid,
    }
    if target := option("--snapstorm-target"):
        defaults["target"] = target
    try:
        options = HarnessOptions(**(defaults | chosen))
    except TypeError as error:
        raise ConfigError(f"the marker snapstorm has an option that there is not: {error}") from None
    return HarnessFixture(options, allow_inconclusive=allow_inconclusive)


def run_test(test: pytest.Function, fixture: HarnessFixture) -> None:
    """Run an `async def` test that uses the fixture, and fail it for what its run has shown."""
    if not inspect.iscoroutinefunction(test.obj):
        pytest.fail("a test that uses the fixture harness must be an `async def`", pytrace=False)
    names = inspect.signature(test.obj).parameters
    arguments = {name: test.funcargs[name] for name in names if name in test.funcargs}
    try:
        result = anyio.run(fixture.run_test, test.obj, arguments)
    finally:
        if fixture.last is not None:
            test.add_report_section("call", "snapstorm", _summary(fixture.last.result))
    tolerated = {Verdict.PASS} | ({Verdict.INCONCLUSIVE} if fixture.allow_inconclusive else set())
    if result.verdict not in tolerated:
        pytest.fail(_summary(result), pytrace=False)


def _summary(result: RunResult) -> str:
    return "\n".join(summary_lines(result, is_testbed_kept=result.testbed.exists()))
