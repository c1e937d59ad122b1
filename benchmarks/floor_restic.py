"""The floor of restic and rest-server: see `floor.py`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from floor import Command, Replay, variables_of

from snapstorm.targets.password_file import PASSWORD_FILE, PasswordFile
from snapstorm.targets.restic.command import Actor
from snapstorm.targets.restic.repositories import ADMINISTRATOR, AUDITOR, OF_ALL
from snapstorm.targets.restic.server import LISTENING

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass
class ResticReplay(Replay):
    """The server is started first. Its users are there from the beginning: adding them is no command."""

    _address: str = ""

    def _clear(self) -> None:
        places = [f"server/{name}" for name in (ADMINISTRATOR, AUDITOR, "impostors")]
        self._remove("repository", "runs", "clients/*/connection*", *places)
        (self.bed / "repository").mkdir(mode=0o700)
        PasswordFile(self.bed / "server" / PASSWORD_FILE).add(self._passwords())
        directories = {Path(command.directory).name for command in self._commands}
        self._is_private = OF_ALL not in directories

    def _is_server(self, command: Command) -> bool:
        return command.argv[1] == "--path"

    def _needs_server(self, command: Command) -> bool:
        return any(word.startswith("--cacert=") for word in command.argv)

    def _starts_server(self, command: Command) -> bool:
        return self._is_private or not command.has("init")

    @property
    def _servers_environment(self) -> tuple[Mapping[str, str], Path]:
        return dict(os.environ), self.bed / "server"

    def _read_address(self, log: str) -> bool:
        if found := LISTENING.search(log):
            self._address = f"{found[1]}:{found[2]}"
        return bool(self._address)

    def _environment(self, command: Command) -> tuple[Mapping[str, str], Path]:
        actor = self._actor(command, Path(command.directory))
        return variables_of(actor.environment), actor.directory

    def _actor(self, command: Command, directory: Path) -> Actor:
        if directory.parent.name in (ADMINISTRATOR, AUDITOR):
            name = directory.name if self._is_private else ""
            return Actor(directory, str(self.bed / "repository" / name), self._password(name))
        client = directory.name if directory.parent.name == "impostors" else directory.parent.name
        shown = self._shown_password(client, command)
        path = f"{client}/" if self._is_private else ""
        url = f"rest:https://{quote(client, safe='')}:{quote(shown, safe='')}@{self._address}/{path}"
        return Actor(directory, url, self._password(client))

    def _password(self, client: str) -> str:
        return self._secrets[f"repository {client}" if self._is_private else "repository"]

    def _words(self, command: Command) -> list[str]:
        return [_ID.sub(lambda found: self._new_by_recorded.get(found[0], found[0]), word) for word in command.argv]

    def _id_in(self, stdout: bytes) -> str | None:
        return str(json.loads(stdout.splitlines()[-1])["snapshot_id"])


REPLAY = ResticReplay
