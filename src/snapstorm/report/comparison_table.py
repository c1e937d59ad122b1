"""Targets side by side, as a page in Markdown: facts, each with the command that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from snapstorm.comparison.comparison import Compared, TargetComparison, Timing, Weathered, fault_command, timing_command
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.verdict import Verdict
from snapstorm.report.summary import show_bytes

_FAILURE_CHARACTERS_MAX = 160


def comparison_lines(comparison: TargetComparison, machine: str) -> Iterator[str]:
    """The whole page. `machine` says where and when it was measured."""
    targets = comparison.targets
    yield f"# {', '.join(target.contender.name for target in targets)}: side by side"
    yield ""
    yield f"Measured on {machine}, with seed {comparison.seed}. The commands that show it stand below each table."
    yield ""
    yield from _table("program", [("version", [_versions(target) for target in targets])], targets)
    yield from _survivors(targets)
    yield from _timings(comparison)
    yield from _faults(comparison)


def _table(corner: str, rows: Sequence[tuple[str, Sequence[str]]], targets: Sequence[Compared]) -> Iterator[str]:
    yield f"| {corner} | " + " | ".join(str(target.contender) for target in targets) + " |"
    yield "| --- " * (len(targets) + 1) + "|"
    for name, cells in rows:
        yield f"| {name} | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _versions(target: Compared) -> str:
    return ", ".join(dict.fromkeys(program.version for program in target.programs)) or "-"


def _survivors(targets: Sequence[Compared]) -> Iterator[str]:
    yield "## What survives a snapshot and a restore"
    yield ""
    yield "Every restored tree of the runs below was held against this."
    yield ""
    tables = [target.capabilities.model_dump(mode="json") for target in targets]
    rows = [
        (field.description or name, [_kept(table[name]) for table in tables])
        for name, field in Capabilities.model_fields.items()
    ]
    yield from _table("of a tree", rows, targets)
    yield from (f"    snapstorm target {target.contender.name}" for target in targets)
    yield ""


def _kept(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(f"`{one}`" for one in value) or "-" if isinstance(value, list) else str(value)


def _timings(comparison: TargetComparison) -> Iterator[str]:
    targets = comparison.targets
    scenarios = list(dict.fromkeys(timing.scenario for target in targets for timing in target.timings))
    if not scenarios:
        return
    yield "## How long it takes"
    yield ""
    yield "One client. Seconds of the target alone: the median, and the least and the most where there are several."
    yield ""
    for scenario in scenarios:
        timings = [next(one for one in target.timings if one.scenario == scenario) for target in targets]
        yield from _table(scenario, [(what, [cell(one) for one in timings]) for what, cell in _TIMED.items()], targets)
        if len({timing.trees for timing in timings}) == 1:
            yield "The files were the same, byte for byte."
        else:
            yield "**The files were not the same**: names or content depend on what a target keeps."
        yield ""
        yield from (f"    {timing_command(target.contender, scenario, comparison.seed)}" for target in targets)
        yield ""


def _seconds(values: Sequence[float], middle: float | None) -> str:
    if middle is None:
        return "-"
    spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
    return f"{middle:.2f}{spread}"


_TIMED: Mapping[str, Callable[[Timing], str]] = {
    "files": lambda timing: f"{timing.files:,}, {show_bytes(timing.size_bytes)}",
    "verdict": lambda timing: _verdict(timing.verdict, timing.reason),
    "snapshot": lambda timing: _seconds(timing.snapshot_seconds, timing.snapshot_median_seconds),
    "restore": lambda timing: _seconds(timing.restore_seconds, timing.restore_median_seconds),
}


def _verdict(verdict: Verdict, reason: str) -> str:
    return f"{verdict}" if verdict is Verdict.PASS else f"**{verdict}**: {reason}"


def _faults(comparison: TargetComparison) -> Iterator[str]:
    targets = comparison.targets
    faults = list(dict.fromkeys(one.fault for target in targets for one in target.weathered))
    if not faults:
        return
    yield "## What came of faults"
    yield ""
    yield (
        "Two clients at work (`--clients 1 --mode direct` where no server of the target's stores in a bucket), one kind"
        " of fault at a time. *Rode out*: no operation failed. *Recovered*: some did, all of which the fault excuses;"
        " then every client worked again, and every acknowledged snapshot came back, byte for byte."
    )
    yield ""
    found = {(target.contender.name, one.fault): one for target in targets for one in target.weathered}
    rows = [(f"`{fault}`", [_outcome(found[target.contender.name, fault]) for target in targets]) for fault in faults]
    yield from _table("fault", rows, targets)
    failures = [
        f"- `{fault}`, {target.contender.name}: `{_shortened(found[target.contender.name, fault].first_failure)}`"
        for fault in faults
        for target in targets
        if found[target.contender.name, fault].first_failure
    ]
    if failures:
        yield from ("How the first operation failed:", "", *failures, "")
    for target in targets:
        yield f"    {fault_command(target.contender, faults[0], comparison.seed)}"
    yield from ("", "And so on for each fault.")


def _shortened(words: str) -> str:
    line = " ".join(words.replace("`", "'").split())
    return line if len(line) <= _FAILURE_CHARACTERS_MAX else line[: _FAILURE_CHARACTERS_MAX - 4] + " ..."


def _outcome(one: Weathered) -> str:
    if one.verdict is None:
        return f"not possible: {one.reason}"
    if one.violated:
        return f"**violated: {', '.join(one.violated)}**"
    if one.verdict is not Verdict.PASS:
        return _verdict(one.verdict, one.reason)
    if not one.struck:
        return "found nothing to break"
    return "rode out" if not one.failed else f"recovered, {one.failed} operation(s) failed"
