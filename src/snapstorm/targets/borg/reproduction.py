"""A run's commands as a bash script that needs no snapstorm: to be attached to a bug report.

The script does the run's commands one after the other, straight on repositories in a directory, keeps account of what
was archived and deleted, and judges each extraction, receipt and listing by that. What a program has to do stands in
the script, not what one did. Its functions are in `reproduction.sh`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.manifest import Manifest
from snapstorm.targets.borg.environment import HIDDEN
from snapstorm.targets.borg.sshd import SSHD
from snapstorm.targets.plugin import Shown
from snapstorm.targets.reproduction_script import (
    commands_up_to,
    direct_script,
    script_without_commands,
    why_no_direct_script,
)
from snapstorm.targets.reproduction_trees import Trees, bash_bytes, bash_word

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
        """The script. It ends with the commands of the operations that have shown the violation, if they are known.

        The words of commands are the same over ssh, but for the server's, which is left out here.
        """
        commands = [command for command in commands if Path(command.argv[0]).name != SSHD]
        if reason := why_no_direct_script("borg", commands, shown):
            return script_without_commands(shown, reason)
        steps = (line for command in commands_up_to(commands, shown.operations) for line in self._command(command))
        return direct_script("borg", shown, HIDDEN.bash_that_unsets(), steps)

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
