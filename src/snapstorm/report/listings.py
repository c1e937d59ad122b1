"""The output of the listing commands: actions, scenarios, targets, and the content of a testbed."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from snapstorm.faults.catalogue import FAULTS
from snapstorm.faults.fault import FaultKind
from snapstorm.gateway.kept_history import size_of_history
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.actions import ACTIONS, Action
from snapstorm.model.amounts import Span
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.expectations import State
from snapstorm.model.location import GATEWAY
from snapstorm.model.protocols import Target
from snapstorm.report.summary import show_history
from snapstorm.report.text import dump_json
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.shipped_scenarios import SHIPPED


def action_lines(*, as_json: bool) -> Iterator[str]:
    """Every action with its options and their defaults."""
    if as_json:
        yield dump_json(
            {key: {"description": _described(one), "options": _options(one)} for key, one in ACTIONS.items()}
        )
        return
    for key, action in ACTIONS.items():
        yield key
        yield from textwrap.wrap(_described(action), 110, initial_indent="    ", subsequent_indent="    ")
        yield from (f"      {name} = {default}" for name, default in _options(action).items())


def fault_lines(*, as_json: bool) -> Iterator[str]:
    """Every fault, what it needs, and the reason if it is not possible on this machine."""
    reasons = {key: fault.why_not_here() for key, fault in FAULTS.items()}
    if as_json:
        table = {
            key: {
                "description": _described(fault),
                "kind": fault.kind.value,
                "needs": fault.needs,
                "weight": fault.weight,
                "is_available": reasons[key] is None,
                "reason": reasons[key],
            }
            for key, fault in FAULTS.items()
        }
        yield dump_json(table)
        return
    for kind in FaultKind:
        yield kind.value
        for key, fault in FAULTS.items():
            if fault.kind is kind:
                missing = f"; NOT POSSIBLE HERE: {reasons[key]}" if reasons[key] else ""
                words = f"{_described(fault)} Needs {fault.needs}{missing}."
                yield from textwrap.wrap(words, 110, initial_indent=f"  {key:20} ", subsequent_indent=" " * 23)


def _described(documented: type[object]) -> str:
    return " ".join((inspect.getdoc(documented) or "").split())


def _options(action: type[Action[Any]]) -> dict[str, Any]:
    return {name: _plain(field.default) for name, field in action.model_fields.items()}


def _plain(value: object) -> object:
    """The default of an option as it is written in TOML."""
    if isinstance(value, frozenset):
        return sorted(str(item) for item in value)
    return str(value) if isinstance(value, Span) else value


def scenario_lines(chosen: Scenario | None, *, as_json: bool) -> Iterator[str]:
    """The shipped scenarios, or the chosen one as TOML."""
    if chosen is not None:
        yield dump_json(as_document(chosen)) if as_json else tomli_w.dumps(as_document(chosen)).rstrip()
    elif as_json:
        yield dump_json([as_document(scenario) for scenario in SHIPPED])
    else:
        for scenario in SHIPPED:
            yield f"{scenario.name}" + (" (default)" if scenario is SHIPPED[0] else "")
            yield f"    {scenario.description}"


def as_document(scenario: Scenario) -> dict[str, Any]:
    """The scenario as it is written in a TOML file, defaults left out."""
    document = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    if scenario.steps:
        document["steps"] = [step.as_document() for step in scenario.steps]
    if scenario.recorded:
        document["recorded"] = scenario.recorded.as_document()
    return document


def target_lines(target: Target, parameters: Mapping[str, Sequence[str]], *, as_json: bool) -> Iterator[str]:
    """A target's description, where it was found, and its capability table."""
    description = target.description
    capabilities = target.capabilities.model_dump(mode="json")
    if as_json:
        yield dump_json(
            {
                **description.as_json(),
                "modes": sorted(mode.value for mode in target.modes),
                "notes": list(description.notes),
                "capabilities": capabilities,
                "parameters": {name: list(choices) for name, choices in parameters.items()},
            }
        )
        return
    yield f"target      {description.name} {' '.join(description.versions)}"
    for program in description.programs:
        yield f"executable  {program.path}"
        yield f"sha256      {program.sha256}"
    yield f"modes       {', '.join(sorted(mode.value for mode in target.modes))}"
    for note in description.notes:
        yield f"note        {note}"
    yield "what survives a snapshot and a restore here:"
    for name, value in capabilities.items():
        shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else _show_value(value)
        yield f"  {name:24} {shown:14} {Capabilities.model_fields[name].description}"
    if parameters:
        yield "its own settings, for the table [parameters] of a scenario (the default first):"
    for name, choices in parameters.items():
        yield f"  {name:28} {', '.join(choices)}"


def _show_value(value: object) -> str:
    return ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value)


def status_lines(directory: Path, ledger: Ledger, *, as_json: bool) -> Iterator[str]:
    """The content of a testbed."""
    states = ledger.count_states()
    live, expired = states[State.LIVE], ledger.expiries.count()
    deleted = states[State.DELETED] - expired
    doubt = sum(states[state] for state in State if state.value.endswith("doubt") or state.value.endswith("ing"))
    runs, violations = ledger.runs(), ledger.violations()
    history = size_of_history(directory / GATEWAY)
    if as_json:
        names = ("number", "seed", "began_utc", "ended_utc", "verdict")
        fields = ("client", "snapshot", "path", "detail", "evidence")
        document = {
            "testbed": str(directory),
            "id": ledger.fact("testbed_id"),
            "target": ledger.fact("target"),
            "mode": ledger.fact("mode"),
            "snapshots": {"live": live, "deleted": deleted, "expired": expired, "in_doubt": doubt},
            "history": None if history is None else history._asdict(),
            "runs": [{name: run[name] for name in names} for run in runs],
            "violations": [
                {
                    "number": number,
                    "run": run,
                    "guarantee": violation.guarantee.value,
                    **{name: getattr(violation, name) for name in fields},
                    "accepted": accepted,
                }
                for number, run, violation, accepted in violations
            ],
        }
        yield dump_json(document)
        return
    facts = f"target {ledger.fact('target')}, mode {ledger.fact('mode')}"
    yield f"testbed    {directory} ({ledger.fact('testbed_id')}), {facts}"
    gone = f"{deleted} deleted, {expired} expired" if expired else f"{deleted} deleted"
    yield f"snapshots  {live} live, {gone}, {doubt} in doubt"
    if history is not None:
        yield f"history    {show_history(history)}"
    yield f"runs       {len(runs)}"
    for run in runs[-10:]:
        yield f"  {run['number']:4}  {run['began_utc']}  {run['verdict'] or 'killed':12}  seed {run['seed']}"
    for number, run_number, violation, accepted in violations:
        mark = f"accepted: {accepted}" if accepted else violation.evidence
        yield f"violation {number} in run {run_number}: {violation.guarantee.value} {violation.snapshot or ''} ({mark})"
