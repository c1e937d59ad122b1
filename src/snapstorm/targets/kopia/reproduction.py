"""A run's commands as a bash script that needs no snapstorm: to be attached to a bug report.

What a program has to do stands in the script, not what one did: the recorded run may be one of a program that fails.
The script does the run's commands one after the other, keeps account of what was taken and deleted, and judges each
restore, receipt and listing by that, as the run's checker did. Its functions are in `reproduction.sh`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path, PurePath

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import Manifest
from snapstorm.targets.kopia.command import KEEP_ALL
from snapstorm.targets.kopia.environment import bash_that_unsets
from snapstorm.targets.password_file import hashed_for_file
from snapstorm.targets.plugin import Shown
from snapstorm.targets.reproduction_script import commands_up_to, script_without_commands
from snapstorm.targets.reproduction_trees import Trees, bash_word

_MEASURED = "what the server and the repository hold is measured over the time of a run"
_DATED = "what expires by a policy follows from when each snapshot was taken, and a script takes them all at once"
_STORM = "it is judged while faults strike, or after they have healed"

WHY_NOT: Mapping[Guarantee, str | None] = {
    Guarantee.RESTORED_EXACTLY: None,
    Guarantee.ACKNOWLEDGED_STAYS_LISTED: None,
    Guarantee.DELETED_STAYS_GONE: None,
    Guarantee.KEPT_AS_PROMISED: _DATED,
    Guarantee.IN_DOUBT_ABSENT_OR_EXACT: None,
    Guarantee.NOTHING_UNREQUESTED: None,
    Guarantee.CLIENTS_ISOLATED: None,
    Guarantee.PARTIAL_IS_REPORTED: None,
    Guarantee.LAYOUT_IS_SOUND: None,
    Guarantee.AVAILABLE: None,
    Guarantee.DAMAGE_IS_DETECTED: _STORM,
    Guarantee.RECOVERS: _STORM,
    Guarantee.VERIFY_AGREES: _STORM,
    Guarantee.NO_LEAK: _MEASURED,
    Guarantee.SOURCE_UNTOUCHED: "the files of a client are watched between its own actions",
}
"""Why a script of bare commands can't show a violation of each guarantee; None where it judges it."""

_SET_UP = (
    ("repository", "connect"),
    ("repository", "create"),
    ("repository", "set-parameters"),
    ("maintenance", "set"),
    ("policy", "set", "--global"),
    ("server", "acl", "enable"),
    ("server", "users", "add"),
)
"""Without these nothing can be judged."""

_ADDRESS = re.compile(r"^--(url|address)=https://.*")
_HASH = re.compile(r"^--user-password-hash=.*")
_PIN = re.compile(r"^--server-cert-fingerprint=.*")
_PASSWORD_FILE = "--htpasswd-file="
_KEEP = re.compile(r"^--keep-latest=(\d+)$")


class Script:
    """Writes a run's commands as a bash script."""

    def __init__(self, manifest_of: Callable[[str], Manifest | None]) -> None:
        self._bed = ""
        self._manifest_of = manifest_of
        self._trees = Trees()
        self._numbers: dict[str, int] = {}
        """Of snapshots, by their ids in the recorded run."""
        self._taken = 0
        self._unknown: set[int] = set()
        """Snapshots of trees that are not known any more."""
        self._kept: dict[str, int] = {}
        """How many snapshots retention leaves, by what it is told of: `USER@HOST:PATH`."""
        self._removed: set[str] = set()
        """Clients that must be let in no more, as bash reads them."""
        self._has_server = False
        self._file_users: list[str] = []
        """Clients that the server knows from a password file, if it has one."""

    def lines(self, commands: Sequence[RecordedCommand], shown: Shown) -> Iterator[str]:
        """The script. It ends with the commands of the operations that have shown the violation, if they are known."""
        # The first command makes the repository, in the server's directory on the testbed.
        self._bed = str(Path(commands[0].directory or "/").parent)
        reason = self._why_not(commands, shown)
        yield from script_without_commands(shown, reason) if reason else self._with_commands(commands, shown)

    def _why_not(self, commands: Sequence[RecordedCommand], shown: Shown) -> str | None:
        """Why no script can be made that is right; None if one can."""
        if reason := WHY_NOT[Guarantee(shown.guarantee)]:
            return reason
        if shown.faults:
            return f"it takes what no command of Kopia's does ({', '.join(shown.faults)})"
        if commands[0].argv[1:4] != ["repository", "create", "filesystem"]:
            return "it takes a repository that is not in a directory of its own"
        if any(_has_policy(command.argv[1:]) for command in commands):
            return _DATED
        if shown.guarantee == Guarantee.CLIENTS_ISOLATED and _has_password_file(commands):
            return "it takes changes of a file in which the server finds users"
        if len({command.argv[0] for command in commands}) > 1:
            return "it takes several programs"
        places = [commands[0].argv[4].partition("=")[2], *(command.source or self._bed for command in commands)]
        if not all(PurePath(place).is_relative_to(self._bed) for place in places):
            return f"it takes directories outside of {self._bed}"
        return None

    def _with_commands(self, commands: Sequence[RecordedCommand], shown: Shown) -> Iterator[str]:
        self._has_server = any(command.argv[1:3] == ["server", "start"] for command in commands)
        self._file_users = _users_in_file(commands)
        yield "#!/usr/bin/env bash"
        yield f"# Shows a violation of {shown.guarantee}, with bare commands. Usage: bash FILE [PROGRAM]"
        yield "# Exit status: 1 if it shows it, 0 if not, 2 if nothing can be told."
        yield "# SECONDS_MAX in the environment says when a command is taken to hang; otherwise after 60 s."
        if not shown.is_sequence:
            yield "# In the recorded run clients were at work at once; here one command follows the other."
        yield ""
        yield files("snapstorm.targets.kopia").joinpath("reproduction.sh").read_text(encoding="utf-8")
        yield f"{bash_that_unsets()} # What would change what the program does."
        yield f"isolated={int(self._has_server)} # Whether a client may be shown its own snapshots only."
        for command in commands_up_to(commands, shown.operations):
            yield from self._command(command)
        yield ""
        yield '[ "$shown" = 1 ] || echo "not shown"'
        yield 'exit "$shown"'

    def _command(self, command: RecordedCommand) -> Iterator[str]:
        """What the script does for a command. Those that are not known here were asked to explain what was found."""
        words = command.argv[1:]
        directory = Path(command.directory or self._bed)
        if directory.parent.name == "impostors":
            # Who gets in with a wrong password is asked for a listing, which the script does by itself.
            if words[:2] == ["repository", "connect"]:
                place = self._quoted(str(directory))
                yield f"try_wrong_password {bash_word(directory.name)} {place} {self._words(words)}"
            return
        client, actor = bash_word(directory.parent.name), self._actor(directory)
        line = f"{actor} {self._words(words)}"
        match words:
            case ["snapshot", "create", *_]:
                yield from self._take(command, client, line)
            case ["restore", origin, *_]:
                snapshot, _, part = origin.partition("/")
                number = self._numbers.get(snapshot)
                if number is not None and not (part and number in self._unknown):
                    yield f"restore {number} {bash_word(part)} {line}"
            case ["snapshot", "delete", snapshot, *_]:
                if snapshot in self._numbers:
                    yield f"delete {self._numbers[snapshot]} {line}"
            case ["snapshot", "list", *_]:
                yield f"{'try_removed' if client in self._removed else 'list'} {client} {line}"
            case ["server", "start", *_]:
                yield from self._password_files(words)
                yield f"serve {actor} {self._words(words, listens=True)}"
            case ["snapshot", "expire", policy, *_]:
                if policy in self._kept:
                    source = self._quoted(policy.partition(":")[2])
                    yield f"expire {self._kept[policy]} {client} {source} {line}"
            case _:
                yield from self._other(words, line)

    def _other(self, words: Sequence[str], line: str) -> Iterator[str]:
        match words:
            case ["maintenance", "run", *_]:
                yield f"collect {'full' if '--full' in words else 'quick'} {line}"
            case ["manifest", "list", *_] if "--filter=type:snapshot" in words:
                yield f"look_past_the_server {line}"
            case ["server", "refresh", *_]:
                yield f"{'must' if self._removed else 'set_up'} {line}"
            case _ if any(tuple(words[: len(beginning)]) == beginning for beginning in _SET_UP):
                yield f"set_up {line}"
            case ["policy", "set", policy, *_]:
                kept = next((int(found[1]) for word in words if (found := _KEEP.match(word))), None)
                self._kept.update({} if kept is None else {policy: kept})
                yield f"must {line}"
            case ["server", "users", "delete", user, *_]:
                self._removed.add(bash_word(user))
                yield f"must {line}"
            case ["snapshot", "verify", *_]:
                yield f"must {line}"

    def _password_files(self, words: Sequence[str]) -> Iterator[str]:
        """Write what the server is told to find users in. In the script every client's password is `client`."""
        lines = " ".join(bash_word(f"{user}:{hashed_for_file('client')}") for user in self._file_users)
        for word in words:
            if word.startswith(_PASSWORD_FILE):
                yield f"printf '%s\\n' {lines} >{self._quoted(word.removeprefix(_PASSWORD_FILE))}"

    def _take(self, command: RecordedCommand, client: str, line: str) -> Iterator[str]:
        manifest, source = self._manifest_of(command.manifest or ""), self._quoted(command.argv[-1])
        self._taken += 1
        number = self._taken
        if command.snapshot:
            self._numbers[command.snapshot] = number
        yield ""
        yield f"# What snapshot {number} is taken of."
        if manifest is None:
            self._unknown.add(number)
            yield "# It is not known any more, since the snapshot was deleted. Some file stands for it."
            yield f"wipe {source}; mkdir -p {source}; echo {number} >{source}/file"
        else:
            yield from self._trees.lines(source, manifest)
        yield f"take {number} {client} {bash_word(command.operation or '-')} {line}"

    def _actor(self, directory: Path) -> str:
        """Who runs a command."""
        is_user = self._has_server and directory.parent.parent.name == "clients"
        return f"{self._quoted(str(directory))} {'client' if is_user else 'repository'}"

    def _words(self, words: Sequence[str], *, listens: bool = False) -> str:
        return " ".join(self._word(word, listens=listens) for word in words)

    def _word(self, word: str, *, listens: bool) -> str:
        if not listens and (found := _ADDRESS.match(word)):
            return f'--{found[1]}="$URL"'
        if _PIN.match(word):
            return '--server-cert-fingerprint="$PIN"'
        if _HASH.match(word):
            return "--user-password=client"
        snapshot, slash, part = word.partition("/")
        if snapshot in self._numbers:
            return f'"${{id[{self._numbers[snapshot]}]}}"' + (slash and f"/{bash_word(part)}")
        return self._quoted(word)

    def _quoted(self, word: str) -> str:
        """A word for bash, the testbed's path in it replaced."""
        before, found, after = word.partition(self._bed)
        if not found:
            return bash_word(word)
        return '"$BED"/bed'.join(bash_word(text) if text else "" for text in (before, after))


def _has_policy(words: Sequence[str]) -> bool:
    """Whether a command sets a policy by which snapshots of all sources expire."""
    is_global = tuple(words[:3]) == ("policy", "set", "--global")
    return is_global and any(word.startswith("--keep-") for word in words) and f"--keep-latest={KEEP_ALL}" not in words


def _has_password_file(commands: Sequence[RecordedCommand]) -> bool:
    return any(word.startswith(_PASSWORD_FILE) for command in commands for word in command.argv)


def _users_in_file(commands: Sequence[RecordedCommand]) -> list[str]:
    """The clients that have a connection, without those that were added to the repository."""
    connected = [
        Path(command.directory).parent.name
        for command in commands
        if command.directory and command.argv[1:4] == ["repository", "connect", "server"]
        if Path(command.directory).parent.parent.name == "clients"
    ]
    added = {command.argv[4] for command in commands if command.argv[1:4] == ["server", "users", "add"]}
    return [client for client in dict.fromkeys(connected) if client not in added]
