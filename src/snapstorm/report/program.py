"""A recording as a program for pytest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from snapstorm.model.actions import ACTIONS, Action, Family, describe
from snapstorm.scenario.recording import RecordedStep, Recording


def as_pytest(recording: Recording, shows: str, scenario_toml: str) -> str:
    """The recording as a test that fails for as long as the violation exists.

    Steps that use the draws of other steps can't be written as calls; then the program runs the recorded scenario
    itself.
    """
    if any(step.draws is not None for step in recording.steps):
        return _as_scenario_program(scenario_toml, shows)
    is_one_flow = recording.clients == 1 or recording.is_sequence
    bodies = _one_flow(recording) if is_one_flow else _a_flow_each(recording)
    used = {type(_as_written(step)) for step in recording.steps}
    marks = [f"seed={recording.seed}"]
    if recording.faults:
        keys = ", ".join(repr(key) for key in recording.fault_keys)
        marks.append(f"faults=({keys},)")
    lines = [
        f'"""Shows a violation of {shows}. Run it with: pytest FILE"""',
        "",
        *(["import anyio"] if not is_one_flow else []),
        "import pytest",
        "",
        *_imports(used),
        "",
        "",
        f"@pytest.mark.snapstorm({', '.join(marks)})",
        f"async def test_{_function_name(shows)}(harness):",
        *(f"    {line}".rstrip() for line in bodies),
    ]
    return "\n".join(lines) + "\n"


def _imports(used: Iterable[type[Action[Any]]]) -> Iterator[str]:
    """What imports these actions: ours from the public API, those of other distributions from where they are."""
    names: dict[str, list[str]] = {}
    for action in used:
        module = "snapstorm" if action.__module__ == Action.__module__ else action.__module__
        names.setdefault(module, []).append(action.__name__)
    for module in sorted(names):
        yield f"from {module} import {', '.join(sorted(names[module]))}"


def _as_scenario_program(scenario_toml: str, shows: str) -> str:
    return f'''"""Shows a violation of {shows}. Run it with: pytest FILE"""

from snapstorm import parse_scenario

SCENARIO = r"""
{scenario_toml}"""


async def test_{_function_name(shows)}(harness):
    await harness.run_scenario(parse_scenario(SCENARIO, "SCENARIO"))
'''


def _function_name(shows: str) -> str:
    return re.sub("[^a-z]+", "_", shows)


def _one_flow(recording: Recording) -> Iterator[str]:
    clients = ", ".join(f"client_{number}" for number in range(1, recording.clients + 1))
    yield f"{clients}, = await harness.connect_clients({recording.clients})"
    for step in recording.steps:
        yield from _call(step, f"client_{step.client}")


def _a_flow_each(recording: Recording) -> Iterator[str]:
    waited_for = {name for step in recording.steps for name in step.after}
    yield f"clients = await harness.connect_clients({recording.clients})"
    if waited_for:
        names = ", ".join(repr(name) for name in sorted(waited_for))
        yield f"ended = {{name: anyio.Event() for name in ({names},)}}"
    for number in range(1, recording.clients + 1):
        yield ""
        yield f"async def client_{number}(client):"
        for step in recording.steps:
            if step.client == number:
                yield from (f"    await ended[{name!r}].wait()" for name in step.after)
                yield from (f"    {line}" for line in _call(step, "client"))
                if step.name in waited_for:
                    yield f"    ended[{step.name!r}].set()"
    yield ""
    yield "async with anyio.create_task_group() as tasks:"
    for number in range(1, recording.clients + 1):
        yield f"    tasks.start_soon(client_{number}, clients[{number - 1}])"


def _call(step: RecordedStep, client: str) -> Iterator[str]:
    words = describe(_as_written(step))
    if step.of is not None:
        words = re.sub(r"\bid='[^']*'", f"id={_variable(step.of)}.id", words)
    result = f"{_variable(step.name)} = " if ACTIONS[step.action].family is Family.SNAPSHOT else ""
    line = f"{result}await {client}.execute({words})"
    yield from [line] if step.repeat == 1 else [f"for _ in range({step.repeat}):", f"    {line}"]


def _as_written(step: RecordedStep) -> Action[Any]:
    """The action, with the snapshot's name if the snapshot was drawn."""
    return step.make() if step.of is None else step.make().on_snapshot("it")


def _variable(step: str) -> str:
    return "snapshot_" + re.sub(r"\W", "_", step)
