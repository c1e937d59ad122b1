"""A run's commands as a bash script that needs no snapstorm: to be attached to a bug report.

The script does the run's commands one after the other, straight on repositories in a directory, keeps account of what
was archived and deleted, and judges each extraction, receipt and listing by that. What a program has to do stands in
the script, not what one did. Its functions are in `reproduction.sh`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import Manifest
from snapstorm.targets.borg.environment import bash_that_unsets
from snapstorm.targets.plugin import Shown
from snapstorm.targets.reproduction_trees import Trees, bash_bytes, bash_word

_MEASURED = "what the repository holds is measured over the time of a run"
_STORM = "it is judged while faults strike, or after they have healed"
_SHOWN_TO_BORG = frozenset(
    {
        Guarantee.RESTORED_EXACTLY,
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        Guarantee.DELETED_STAYS_GONE,
        Guarantee.PARTIAL_IS_REPORTED,
        Guarantee.AVAILABLE,
    }
)
"""Violations that a script of bare commands judges."""
_REASONS: Mapping[Guarantee, str] = {
    Guarantee.CLIENTS_ISOLATED: "the script works straight on repositories, past all that keeps clients apart",
    Guarantee.NO_LEAK: _MEASURED,
    Guarantee.LAYOUT_IS_SOUND: _MEASURED,
    Guarantee.DAMAGE_IS_DETECTED: _STORM,
    Guarantee.RECOVERS: _STORM,
    Guarantee.VERIFY_AGREES: _STORM,
}
_OTHER_REASON = "snapstorm's own account of the run is needed to judge it"

_LOCATION = re.compile(r"^(?:ssh://[^/]+/\./[^/]+/|file://.*/)([^/:]+?)(?:\.new)?(?:::(.+))?$", re.DOTALL)
_SUB_PATH = re.compile(r"^re:\^\[\^/\]\+/(.*)\(\?:/\|\\Z\)$", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LEFT_OUT = ("--log-json", "--lock-wait=", "--comment=")
"""Options that make no difference here, and take names and times of the run."""


class Script:
    """Writes a run's commands as a bash script."""

    def __init__(self, manifest_of: Callable[[str], Manifest | None]) -> None:
        self._manifest_of = manifest_of
        self._trees = Trees(is_whole=True)
        self._numbers: dict[str, int] = {}
        """Of archives, by their names."""

    def lines(self, commands: Sequence[RecordedCommand], shown: Shown) -> Iterator[str]:
        """The script. It ends with the commands of the operations that have shown the violation, if they are known."""
        reason = _why_not(commands, shown)
        yield "#!/usr/bin/env bash"
        if reason:
            words = f"bare commands cannot show a violation of {shown.guarantee}: {reason}"
            yield f"# {words}."
            yield f"echo {bash_word(words)} >&2"
            yield "exit 2"
            return
        yield f"# Shows a violation of {shown.guarantee}, with bare commands. Usage: bash FILE [PROGRAM]"
        yield "# Exit status: 1 if it shows it, 0 if not, 2 if nothing can be told."
        if not shown.is_sequence:
            yield "# In the recorded run clients were at work at once; here one command follows the other."
        yield ""
        yield bash_that_unsets() + " # What would change what the program does."
        yield files("snapstorm.targets").joinpath("reproduction_functions.sh").read_text(encoding="utf-8")
        yield files("snapstorm.targets.borg").joinpath("reproduction.sh").read_text(encoding="utf-8")
        for command in _up_to(commands, shown.operations):
            yield from self._command(command)
        yield ""
        yield '[ "$shown" = 1 ] || echo "not shown"'
        yield 'exit "$shown"'

    def _command(self, command: RecordedCommand) -> Iterator[str]:
        """What the script does for a command. Those that are not known here were asked to explain what was found."""
        words = [word for word in command.argv[1:] if not word.startswith(_LEFT_OUT)]
        found = next((match for word in words if (match := _LOCATION.match(word))), None)
        if found is None or "/impostors/" in (command.directory or ""):
            return
        name, archive = found[1], found[2]
        client, place = bash_word(name), self._place(name)
        match words[0]:
            case "init":
                yield f'set_up {client} "$BED" {self._words(words, name)}'
            case "create" if archive:
                yield from self._take(command, client, words, name, archive)
            case "extract" if archive in self._numbers and "--dry-run" not in words:
                part = next((match for word in words if (match := _SUB_PATH.match(word))), None)
                sub_path = bash_bytes(_ESCAPED.sub(r"\1", part[1]).encode("utf-8", "surrogateescape")) if part else "''"
                yield f"restore {self._numbers[archive]} {client} {sub_path} {self._words(words, name)}"
            case "list":
                yield f"list {client} {place} {self._words(words, name)}"
            case "delete" if archive in self._numbers:
                after = words[words.index(found[0]) + 1 :]
                numbers = [str(self._numbers[one]) for one in (archive, *after) if one in self._numbers]
                yield f"delete {client} {bash_word(' '.join(numbers))} {self._words(words, name)}"
            case "compact" | "check":
                yield f'must {client} "$BED" {self._words(words, name)}'

    def _take(
        self, command: RecordedCommand, client: str, words: Sequence[str], name: str, archive: str
    ) -> Iterator[str]:
        number = self._numbers[archive] = len(self._numbers) + 1
        source = f'"$BED"/sources/{client}/{bash_word(Path(command.source or "data").name)}'
        manifest = self._manifest_of(command.manifest or "")
        yield ""
        yield f"# What archive {number} is made of."
        if manifest is None:
            yield "# It is not known any more, since the archive was deleted. Some file stands for it."
            yield f"wipe {source}; mkdir -p {source}; echo {number} >{source}/file"
        else:
            yield from self._trees.lines(source, manifest)
        place = self._place(name)
        yield f"take {number} {client} {place} {bash_word(archive)} {source} {self._words(words, name)}"

    def _place(self, name: str) -> str:
        return f'"$BED"/repository/{bash_word(name)}'

    def _words(self, words: Sequence[str], name: str) -> str:
        return " ".join(self._word(word, name) for word in words)

    def _word(self, word: str, name: str) -> str:
        if (found := _LOCATION.match(word)) is None:
            return bash_word(word)
        return self._place(name) + (f"::{bash_word(found[2])}" if found[2] else "")


def _why_not(commands: Sequence[RecordedCommand], shown: Shown) -> str | None:
    """Why no script can be made that is right; None if one can."""
    guarantee = Guarantee(shown.guarantee)
    if guarantee not in _SHOWN_TO_BORG:
        return _REASONS.get(guarantee, _OTHER_REASON)
    if shown.faults:
        return f"it takes what no command of borg's does ({', '.join(shown.faults)})"
    if len({command.argv[0] for command in commands}) > 1:
        return "it takes several programs"
    return None


def _up_to(commands: Sequence[RecordedCommand], operations: Collection[str | None]) -> Sequence[RecordedCommand]:
    """The commands up to the last one of these operations; all of them if not all of these are known."""
    last = max((index for index, command in enumerate(commands) if command.operation in operations), default=None)
    return commands if last is None or None in operations else commands[: last + 1]
