"""The floor of Kopia: see `floor.py`."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from floor import NO_CLIENT, Command, Replay

from snapstorm.targets.kopia.command import Actor
from snapstorm.targets.kopia.repository import password_hash

_LISTENING = re.compile(r"^SERVER ADDRESS: (https://\S+)$", re.MULTILINE)


@dataclass
class KopiaReplay(Replay):
    """The server is started once the repository is there."""

    _replaced: list[tuple[str, str]] = field(default_factory=list)
    """Words that differ in the replay: patterns, and what stands in their place."""

    def __post_init__(self) -> None:
        super().__post_init__()
        users = [command.argv[4] for command in self._commands if command.has("server", "users", "add")]
        self._hashes = {user: password_hash(self._secrets[f"client {user}"]) for user in users}

    def _clear(self) -> None:
        self._remove("repository", "server", "runs", "clients/*/connection*")

    def _is_server(self, command: Command) -> bool:
        return command.has("server", "start")

    def _needs_server(self, command: Command) -> bool:
        return command.has("server", "users", "add") or command.has("server", "refresh")

    def _starts_server(self, command: Command) -> bool:
        return command.has("repository", "status")

    @property
    def _servers_environment(self) -> tuple[Mapping[str, str], Path]:
        actor = self._actor(str(self.bed / "server"))
        control = {"KOPIA_SERVER_CONTROL_PASSWORD": self._secrets["server-control"]}
        return {**self._variables(actor), **control}, actor.directory

    def _read_address(self, log: str) -> bool:
        if (found := _LISTENING.search(log)) is None:
            return False
        certificate = (self.bed / "server" / "certificate.pem").read_text()
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
        self._replaced += [
            (r"^--(url|address)=https://.*", rf"--\1={found[1]}"),
            (r"^--server-cert-fingerprint=.*", f"--server-cert-fingerprint={fingerprint}"),
        ]
        return True

    def _environment(self, command: Command) -> tuple[Mapping[str, str], Path]:
        actor = self._actor(command.directory)
        variables = dict(self._variables(actor))
        if command.has("server", "refresh"):
            variables["KOPIA_SERVER_PASSWORD"] = self._secrets["server-control"]
        return variables, actor.directory

    def _words(self, command: Command) -> list[str]:
        words = super()._words(command)
        for pattern, replacement in self._replaced:
            words = [re.sub(pattern, replacement, word) for word in words]
        if command.has("server", "users", "add"):
            words[5] = f"--user-password-hash={self._hashes[words[4]]}"
        if command.has("restore"):
            Path(words[-1]).parent.mkdir(parents=True, exist_ok=True)
        return words

    def _id_in(self, stdout: bytes) -> str | None:
        return str(json.loads(stdout)["id"])

    def _actor(self, directory: str) -> Actor:
        path = Path(directory)
        is_client = path.parent.parent.name == "clients"
        password = self._secrets[f"client {path.parent.name}"] if is_client else self._secrets["repository"]
        if path.parent.name == "impostors":
            password = NO_CLIENT
        return Actor(path, password, has_cache=path.name != "auditor")

    def _variables(self, actor: Actor) -> Mapping[str, str]:
        return {**actor.environment.own, "KOPIA_PASSWORD": actor.password}


REPLAY = KopiaReplay
