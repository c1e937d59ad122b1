"""The report of a calibration: one line for each kind of defect, the sums, and everything that was not as expected."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.calibration.calibration import Calibration, ClassResult, Trial


def calibration_lines(calibration: Calibration) -> Iterator[str]:
    """The table, then the sums. What went wrong comes last, where it is seen."""
    classes, honest = calibration.classes, calibration.honest
    if classes:
        width = max(len(_name(found)) for found in classes)
        yield f"{'defect':{width}}  caught  {'expected':25}  {'actions':>7}  {'seconds':>7}  named"
        yield from (_class_line(found, width) for found in classes)
    runs, caught = sum(len(found.trials) for found in classes), sum(found.caught for found in classes)
    whole = sum(found.is_caught for found in classes)
    yield f"caught       {caught} of {runs} runs, {whole} of {len(classes)} kinds of defects"
    passed = sum(trial.is_as_it_must_be for trial in honest)
    yield f"honest       {passed} of {len(honest)} runs passed, {len(calibration.false_alarms)} false alarm(s)"
    for trial in calibration.trials:
        if not trial.is_as_it_must_be:
            yield f"NOT RIGHT    {trial.specimen.kind} {trial.specimen.name}: {trial.describe()}"


def _name(found: ClassResult) -> str:
    return f"{found.specimen.kind} {found.specimen.name}"


def _class_line(found: ClassResult, width: int) -> str:
    actions, seconds = found.actions_max, found.seconds_max
    return (
        f"{_name(found):{width}}  {f'{found.caught}/{len(found.trials)}':6}  {found.specimen.guarantee or '':25}  "
        f"{'-' if actions is None else actions:>7}  {'-' if seconds is None else f'{seconds:.1f}':>7}  "
        f"{', '.join(found.named) or '-'}"
    )


def trial_line(trial: Trial, number: int, total: int) -> str:
    """The line of progress for a trial that has ended."""
    return (
        f"[{number}/{total}] {trial.specimen.kind} {trial.specimen.name}: {trial.describe()} "
        f"({trial.observation.seconds:.1f} s)"
    )
