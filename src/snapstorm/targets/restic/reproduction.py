"""A run's commands as a bash script that needs no snapstorm: to be attached to a bug report.

The script does the run's commands one after the other, straight on repositories in a directory, keeps account of what
was taken and deleted, and judges each restore, receipt and listing by that. What a program has to do stands in the
script, not what one did. Its functions are in `reproduction.sh`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.manifest import Manifest
from snapstorm.targets.plugin import Shown
from snapstorm.targets.reproduction_script import (
    commands_up_to,
    direct_script,
    script_without_commands,
    why_no_direct_script,
)
from snapstorm.targets.reproduction_trees import Trees, bash_word
from snapstorm.targets.restic.environment import HIDDEN
from snapstorm.targets.restic.repositories import ADMINISTRATOR, AUDITOR, OF_ALL

_LEFT_OUT = ("--cacert=", "--retry-lock=", "--no-lock")
"""Options that make no difference here, or take names of the run."""
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_INCLUDE, _HOST, _KEEP, _PATH = "--include=/", "--host=", "--keep-last=", "--path="


class Script:
    """Writes a run's commands as a bash script."""

    def __init__(self, manifest_of: Callable[[str], Manifest | None]) -> None:
        self._manifest_of = manifest_of
        self._trees = Trees(is_whole=True)
        self._numbers: dict[str, int] = {}
        """Of snapshots, by their ids in the recorded run."""
        self._sources: dict[str, str] = {}
        """Where the script has each tree, by its path in the recorded run: a word of bash."""
        self._taken = 0
        self._is_shared = False

    def lines(self, commands: Sequence[RecordedCommand], shown: Shown) -> Iterator[str]:
        """The script. It ends with the commands of the operations that have shown the violation, if they are known."""
        commands = [command for command in commands if not _is_servers(command)]
        if reason := why_no_direct_script("restic", commands, shown):
            return script_without_commands(shown, reason)
        self._is_shared = any(Path(command.directory or "/").name == OF_ALL for command in commands)
        steps = (line for command in commands_up_to(commands, shown.operations) for line in self._command(command))
        return direct_script("restic", shown, HIDDEN.bash_that_unsets(), steps)

    def _command(self, command: RecordedCommand) -> Iterator[str]:
        """What the script does for a command. Those that are not known here were asked to explain what was found."""
        words = [word for word in command.argv[1:] if not word.startswith(_LEFT_OUT)]
        directory = Path(command.directory or "/")
        is_own = directory.parent.name in (ADMINISTRATOR, AUDITOR)
        name = directory.name if is_own else directory.parent.name
        if "impostors" in directory.parts or not words:
            return
        # Who acts, and on which repository.
        who = f"{bash_word(name)} {OF_ALL if self._is_shared else bash_word(name)}"
        match words:
            case ["init" | "migrate" | "unlock", *_]:
                yield f"set_up {who} {_words(words)}"
            case ["backup", *_, source]:
                yield from self._take(command, who, words, source)
            case ["restore", *_]:
                yield from self._restore(who, words)
            case ["snapshots", *_]:
                yield f"list {who} {_words(words)}"
            case ["forget", *_]:
                yield from self._forget(who, words)
            case ["prune" | "check", *_]:
                yield f"must {who} {_words(words)}"

    def _take(self, command: RecordedCommand, who: str, words: Sequence[str], source: str) -> Iterator[str]:
        self._taken += 1
        number = self._taken
        if command.snapshot:
            self._numbers[command.snapshot] = number
        client = who.split(maxsplit=1)[0]
        place = self._sources.setdefault(
            source, f'"$BED"/sources/{client}-{len(self._sources)}/{bash_word(Path(source).name)}'
        )
        manifest = self._manifest_of(command.manifest or "")
        yield ""
        yield f"# What snapshot {number} is taken of."
        if manifest is None:
            yield "# It is not known any more, since the snapshot was deleted. Some file stands for it."
            yield f"wipe {place}; mkdir -p {place}; echo {number} >{place}/file"
        else:
            yield from self._trees.lines(place, manifest)
        yield f"take {number} {who} {place} {_words(words[:-1])} {place}"

    def _restore(self, who: str, words: Sequence[str]) -> Iterator[str]:
        origin = next((word for word in words[1:] if not word.startswith("-")), "")
        number = self._numbers.get(origin.partition(":")[0])
        included = next((word.removeprefix(_INCLUDE) for word in words if word.startswith(_INCLUDE)), "")
        _, _, pattern = included.partition("/")
        # Of a directory above whose name is not UTF-8, and where no directory is named, other words would be needed.
        if number is None or ":" not in origin or included.startswith("*"):
            return
        part = bash_word(_ESCAPED.sub(r"\1", pattern)) if pattern else "''"
        more = [word for word in words if word.startswith((_INCLUDE, "--sparse", "--no-cache"))]
        yield f"restore {number} {who} {part} {_words(more)}"

    def _forget(self, who: str, words: Sequence[str]) -> Iterator[str]:
        given = {
            start: word.removeprefix(start)
            for start in (_KEEP, _HOST, _PATH)
            for word in words
            if word.startswith(start)
        }
        if _KEEP in given:
            if given[_PATH] in self._sources:
                yield f"expire {given[_KEEP]} {who} {self._sources[given[_PATH]]} {bash_word(given[_HOST])}"
        elif words[-1] in self._numbers:
            yield f"delete {self._numbers[words[-1]]} {who}"


def _is_servers(command: RecordedCommand) -> bool:
    """Whether it is the server's, which has options only; the script needs none."""
    return command.argv[1].startswith("-")


def _words(words: Sequence[str]) -> str:
    return " ".join(map(bash_word, words))
