"""The floor of borg: see `floor.py`. There is no server to be started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from floor import NO_CLIENT, Command, Replay, variables_of

from snapstorm.targets.borg.access import AccessList, write_key
from snapstorm.targets.borg.command import LINK, Actor
from snapstorm.targets.borg.shim import ShimWay

_SERVED = re.compile(rf"^ssh://([^/]+)/\./{LINK}/([^/:]+)")
_LOCAL = re.compile(r"^file://(.*)/([^/:]+)(?:::.*)?$")
_UNFINISHED = ".new"


@dataclass
class BorgReplay(Replay):
    """All clients are let in from the beginning: that is no command."""

    def _clear(self) -> None:
        self._remove("repository", "runs", "clients/*/connection*", "server/operator", "server/impostors")
        (self.bed / "repository").mkdir(mode=0o700)
        access = AccessList(self.bed / "server", self.bed / "repository")
        allowed = [command for command in self._commands if command.exit_code == 0]
        served = (found for command in allowed if (found := _first(_SERVED, command)) is not None)
        for client, name in {(found[1], found[2]) for found in served}:
            access.let_in(client, self._passwords()[client], name)

    def _environment(self, command: Command) -> tuple[Mapping[str, str], Path]:
        actor = self._actor(command)
        environment = actor.environment(Path(command.argv[0]), actor.directory / "shell.log")
        return variables_of(environment), Path(command.directory)

    def _actor(self, command: Command) -> Actor:
        if (served := _first(_SERVED, command)) is not None:
            client, secret = served[1], self._secrets[f"repository {served[2]}"]
            shown = self._shown_password(client, command)
            place = "clients/{}/connection" if shown != NO_CLIENT else "server/impostors/{}"
            directory = self.bed / place.format(client)
            way = ShimWay(self.bed / "server" / "shim", directory / "key", shown)
            write_key(way.key_file, shown)
            return Actor(client, directory, "", secret, way)
        local = _first(_LOCAL, command)
        assert local is not None
        name = local[2].removesuffix(_UNFINISHED)
        directory = self.bed / "server" / "operator" / name
        return Actor(f"operator/{name}", directory, "", self._secrets[f"repository {name}"])

    def _finish(self, command: Command) -> None:
        """A repository gets its name once it is whole."""
        if "init" in command.argv:
            made = Path(command.argv[-1].removeprefix("file://"))
            made.rename(made.with_name(made.name.removesuffix(_UNFINISHED)))


def _first(pattern: re.Pattern[str], command: Command) -> re.Match[str] | None:
    return next((found for word in command.argv if (found := pattern.match(word))), None)


REPLAY = BorgReplay
