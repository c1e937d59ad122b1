"""What the scripts of bug reports of all targets have in common: which commands they hold, when they can't be made, how
they begin and end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.guarantees import Guarantee
from snapstorm.targets.plugin import Shown
from snapstorm.targets.reproduction_trees import bash_word

_MEASURED = "what the repository holds is measured over the time of a run"
_STORM = "it is judged while faults strike, or after they have healed"
_JUDGED = frozenset(
    {
        Guarantee.RESTORED_EXACTLY,
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        Guarantee.DELETED_STAYS_GONE,
        Guarantee.PARTIAL_IS_REPORTED,
        Guarantee.AVAILABLE,
    }
)
"""Violations that a script judges which works straight on repositories."""
_REASONS: Mapping[Guarantee, str] = {
    Guarantee.CLIENTS_ISOLATED: "the script works straight on repositories, past all that keeps clients apart",
    Guarantee.NO_LEAK: _MEASURED,
    Guarantee.LAYOUT_IS_SOUND: _MEASURED,
    Guarantee.DAMAGE_IS_DETECTED: _STORM,
    Guarantee.RECOVERS: _STORM,
    Guarantee.VERIFY_AGREES: _STORM,
}
_OTHER_REASON = "snapstorm's own account of the run is needed to judge it"


def why_no_direct_script(target: str, commands: Sequence[RecordedCommand], shown: Shown) -> str | None:
    """Why no script can be made that works straight on repositories and is right; None if one can."""
    guarantee = Guarantee(shown.guarantee)
    if guarantee not in _JUDGED:
        return _REASONS.get(guarantee, _OTHER_REASON)
    if shown.faults:
        return f"it takes what no command of {target}'s does ({', '.join(shown.faults)})"
    if len({command.argv[0] for command in commands}) > 1:
        return "it takes several programs"
    return None


def script_without_commands(shown: Shown, reason: str) -> Iterator[str]:
    """A script that says why it shows nothing."""
    yield "#!/usr/bin/env bash"
    yield f"# The run has found a violation of {shown.guarantee}, which bare commands can't show:"
    yield f"# {reason}."
    yield "# The scenario and the test beside this file do it again. Exit status: 2."
    yield f"echo {bash_word(f'bare commands cannot show a violation of {shown.guarantee}: {reason}')} >&2"
    yield "exit 2"


def direct_script(target: str, shown: Shown, unsets: str, steps: Iterable[str]) -> Iterator[str]:
    """The script: the functions of all targets and of this one, the steps, and what came of them. `unsets`: a line that
    takes away what would change what the program does."""
    yield "#!/usr/bin/env bash"
    yield f"# Shows a violation of {shown.guarantee}, with bare commands. Usage: bash FILE [PROGRAM]"
    yield "# Exit status: 1 if it shows it, 0 if not, 2 if nothing can be told."
    if not shown.is_sequence:
        yield "# In the recorded run clients were at work at once; here one command follows the other."
    yield ""
    yield f"{unsets} # What would change what the program does."
    yield files("snapstorm.targets").joinpath("reproduction_functions.sh").read_text(encoding="utf-8")
    yield files(f"snapstorm.targets.{target}").joinpath("reproduction.sh").read_text(encoding="utf-8")
    yield from steps
    yield ""
    yield '[ "$shown" = 1 ] || echo "not shown"'
    yield 'exit "$shown"'


def commands_up_to(
    commands: Sequence[RecordedCommand], operations: Collection[str | None]
) -> Sequence[RecordedCommand]:
    """The commands up to the last one of these operations; all of them if not all of these are known."""
    last = max((index for index, command in enumerate(commands) if command.operation in operations), default=None)
    return commands if last is None or None in operations else commands[: last + 1]
