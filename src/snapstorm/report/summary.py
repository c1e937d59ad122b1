"""The summary at the end of a run: the verdict and its reason, readable in five seconds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from snapstorm.model.expectations import State
from snapstorm.model.guarantees import Violation
from snapstorm.model.outcomes import OUTCOME_KEYS
from snapstorm.model.verdict import Tally, Verdict
from snapstorm.report.kinds import by_kind
from snapstorm.report.power import power_line
from snapstorm.report.text import printable
from snapstorm.run.result import RunResult
from snapstorm.runtime.clock import utc_of
from snapstorm.runtime.meter import Work

STYLES = {
    Verdict.PASS: "bold green",
    Verdict.VIOLATED: "bold red",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.ERROR: "bold yellow",
    Verdict.INTERRUPTED: "bold yellow",
}

VIOLATIONS_SHOWN_MAX = 10
SECONDS_SHOWN_MIN = 0.05


def show_bytes(count: int) -> str:
    """A number of bytes for people: `1.5 GiB`."""
    amount, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    unit = 0
    while amount >= 1024 and unit < len(units) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{count} bytes" if unit == 0 else f"{amount:.1f} {units[unit]}"


def summary_lines(result: RunResult, *, is_testbed_kept: bool) -> list[str]:
    """The summary as plain lines. The verdict is last, so that it is just above the prompt. Text of the target in it
    can't affect the terminal."""
    tally = result.tally
    target = " ".join((result.target.name, *result.target.versions))
    earlier = tally.restores_verified_earlier_runs
    lines = [
        f"target     {target}, mode {result.mode.value}, {result.clients} client(s), run {result.run}, "
        f"seed {result.seed}, {result.seconds:.1f} s",
        f"actions    {_show_actions(result)}",
        f"snapshots  {result.states[State.LIVE]} live, {result.states[State.DELETED] - result.expired} deleted, "
        + (f"{result.expired} expired, " if result.expired else "")
        + f"{result.snapshots_in_doubt} in doubt",
        f"restores   {tally.restores_verified} verified"
        + (f" ({earlier} of earlier runs)" if earlier else "")
        + f", {show_bytes(tally.bytes_verified)}; sweep: {tally.sweep_verified} verified, {tally.sweep_left} left",
    ]
    if result.lived is not None:
        lived, seconds = result.lived, result.seconds
        lines.append(
            f"virtual    {lived.lived_days(seconds):,.1f} days lived, from {utc_of(lived.began_ns)} to "
            f"{utc_of(lived.at_ns(seconds))}"
        )
    if result.seconds_by_work:
        lines.append(f"time       {_show_time(result)}")
    if tally.restores_narrowed:
        lines.append(f"narrowed   {tally.restores_narrowed} restores compared by fewer properties than promised")
    if tally.locked_out:
        lines.append(f"locked     {tally.locked_out} times an operation was refused because of a lock, and asked again")
    if tally.faults:
        lines.append(f"faults     {_show_faults(tally)}")
    lines += [f"note       {note}" for note in tally.notes[:VIOLATIONS_SHOWN_MAX]]
    if accepted := len(tally.known_violations) - sum(tally.known_bugs.values()):
        lines.append(f"known      {accepted} accepted loss(es) seen again")
    lines += [f"known      {count} finding(s) of the bug {key}, not counted" for key, count in tally.known_bugs.items()]
    kinds = by_kind(tally.violations)
    for kind in kinds[:VIOLATIONS_SHOWN_MAX]:
        lines += _show_kind(kind)
    if more := sum(map(len, kinds[VIOLATIONS_SHOWN_MAX:])):
        lines.append(f"           and {more} more violation(s) of other kinds")
    if (power := power_line(result)) is not None:
        lines.append(power)
    if is_testbed_kept:
        lines.append(f"testbed    {result.testbed}")
    lines.append(f"{result.verdict.value.upper()}: {result.reason}")
    return [printable(line) for line in lines]


def _show_faults(tally: Tally) -> str:
    struck = ", ".join(f"{key} {count}" if count > 1 else key for key, count in sorted(tally.faults.items()))
    return f"{sum(tally.faults.values())} struck, {tally.failed_under_faults} operations failed of them: {struck}"


def _show_time(result: RunResult) -> str:
    """How much of the run the target took, and what took the rest."""
    rest = dict(result.seconds_by_work)
    target_seconds = rest.pop(Work.TARGET, 0.0)
    share = target_seconds / sum(result.seconds_by_work.values(), 1e-9)
    words = ", ".join(f"{work} {seconds:.1f}" for work, seconds in rest.items() if seconds >= SECONDS_SHOWN_MIN)
    return f"{target_seconds:.1f} s ({share:.0%}) {result.target.name} itself" + (f"; {words} s" if words else "")


def _show_actions(result: RunResult) -> str:
    sums = {key: sum(counts[key] for counts in result.tally.actions.values()) for key in OUTCOME_KEYS}
    locked = f", {sums['locked']} locked out" if sums["locked"] else ""
    return f"{sums['ok']} ok, {sums['no_op']} no-op, {sums['failed']} failed, {sums['unknown']} unknown{locked}"


def _show_kind(kind: Sequence[Violation]) -> Iterator[str]:
    """The first violation of a kind, and how many there are."""
    violation = kind[0]
    often = f"{len(kind)} times, first" if len(kind) > 1 else ""
    who = ", ".join(part for part in (often, violation.client, violation.snapshot) if part)
    yield f"VIOLATED   {violation.guarantee.value}" + (f" ({who})" if who else "")
    # Made printable before it is cut: both `splitlines` and `wrap` treat some control characters as line ends or
    # spaces.
    for line in printable(violation.detail).splitlines()[:6]:
        yield from textwrap.wrap(
            line, 110, initial_indent="           ", subsequent_indent="           ", break_long_words=False
        )
    if violation.evidence:
        yield f"           evidence: {violation.evidence}"
