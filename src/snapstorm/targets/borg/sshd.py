"""An `sshd` of our own: which programs there are, whether they can be used here, and how it is configured.

It runs as the user that snapstorm runs as, lets in nobody else, and runs nothing but forced commands.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.runtime.paths import clean_path
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.targets.borg.access import write_private
from snapstorm.targets.borg.command import make_private
from snapstorm.targets.borg.environment import inherited_environment
from snapstorm.targets.command_output import last_line, stderr_of

ALIVE_SECONDS = 5
ALIVE_COUNT_MAX = 4
"""How often either end asks whether the other one is there, and after how many questions without an answer it gives up:
a session whose client was cut off holds the lock of its repository for so long."""
_LOGIN_SECONDS_MAX = 60
_CONNECTIONS_MAX = 1000
"""By default sshd drops connections at random once ten are about to log in."""

LISTENING = re.compile(r"^Server listening on (\S+) port (\d+)\.\r?$", re.MULTILINE)
PORT_TAKEN = re.compile(r"Address already in use")

SSHD = "sshd"
"""The program's name."""
_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where sshd is; seldom on PATH."""
_SECONDS_MAX = 60.0
_STATUS = 42
_MISSING_DIRECTORY = re.compile(r"Missing privilege separation directory: (\S+)")
_UNKNOWN_OPTION = re.compile(r"Bad configuration option")
_SPECIAL = re.compile(r'["\\%$\x00-\x1f\x7f]')
"""What has a meaning of its own in configurations and options of OpenSSH."""

PENALTIES = "PerSourcePenalties=no"
"""OpenSSH 9.8 and newer keep an address out from which many were refused (by its manual), and all clients have one."""


@dataclass(frozen=True)
class SshPrograms:
    """Those of OpenSSH."""

    sshd: Path
    ssh: Path
    keygen: Path


def find_ssh_client(path: str | None = None) -> Path:
    """The program `ssh` alone, which is all that a machine of clients needs. Raises HarnessError, one line."""
    return _find("ssh", os.environ.get("PATH", os.defpath) if path is None else path, "openssh-client")


def find_ssh(path: str | None = None) -> SshPrograms:
    """Find them, on this path or else on PATH and where sshd usually is. Raises HarnessError, one line, that says what
    to install."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES)) if path is None else path
    return SshPrograms(
        sshd=_find(SSHD, path, "openssh-server"),
        ssh=find_ssh_client(path),
        keygen=_find("ssh-keygen", path, "openssh-client"),
    )


def _find(name: str, path: str, package: str) -> Path:
    found = shutil.which(name, path=path)
    if found is None:
        raise HarnessError(f"no {name} was found, which transport=ssh needs; on Debian: apt install {package}")
    return clean_path(found)  # sshd starts itself again by its path, and wants a whole one.


@dataclass(frozen=True)
class SshdFiles:
    """What sshd reads and writes."""

    directory: Path
    """The server's directory."""

    @property
    def config(self) -> Path:
        return self.directory / "sshd_config"

    @property
    def host_key(self) -> Path:
        return self.directory / "host_key"

    @property
    def authorized_keys(self) -> Path:
        return self.directory / "authorized_keys"

    @property
    def pid(self) -> Path:
        """By which a server is found that a killed run has left."""
        return self.directory / "sshd.pid"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def home(self) -> Path:
        """The home directory of sessions: the login shell reads none of the user's own files."""
        return self.directory / "home"

    @property
    def temporary(self) -> Path:
        """For temporary files of sessions."""
        return self.directory / "temporary"

    def prepare(self, options: list[str]) -> None:
        """Write the configuration anew: a testbed may have moved. Raises HarnessError for a path that it can't hold."""
        if special := _SPECIAL.search(str(self.directory)):
            raise HarnessError(f"sshd can't have {special[0]!r} in a path, as in {self.directory}")
        for directory in (self.home, self.temporary):
            make_private(directory)
        write_private(self.config, "".join(f"{line}\n" for line in [*self._settings(), *options]))

    def _settings(self) -> list[str]:
        return [
            f'HostKey "{self.host_key}"',
            f'PidFile "{self.pid}"',
            f'AuthorizedKeysFile "{self.authorized_keys}"',
            f'AllowUsers "{user_name()}"',
            f'SetEnv "HOME={self.home}"',
            "PubkeyAuthentication yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "HostbasedAuthentication no",
            "UsePAM no",
            "PermitRootLogin forced-commands-only",
            "PermitTTY no",
            "PermitUserRC no",
            "DisableForwarding yes",
            "PrintMotd no",
            "UseDNS no",
            "MaxSessions 1",
            # The testbed is closed to others; directories above it may be open to all, as /tmp is.
            "StrictModes no",
            f"MaxStartups {_CONNECTIONS_MAX}",
            f"LoginGraceTime {_LOGIN_SECONDS_MAX}",
            f"ClientAliveInterval {ALIVE_SECONDS}",
            f"ClientAliveCountMax {ALIVE_COUNT_MAX}",
        ]


def user_name() -> str:
    """Of whom snapstorm runs as. Raises HarnessError if he has none: sshd would let him in nowhere."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise HarnessError(
            f"transport=ssh needs a user with a name, and there is none of number {os.geteuid()}"
        ) from None


async def check_sshd(programs: SshPrograms, runner: ProcessRunner, directory: Path) -> None:
    """Write what sshd reads below a directory, and have it look whether it could start.

    Raises HarnessError, one line, that says what is missing and what to do.
    """
    await check_shell(runner, pwd.getpwnam(user_name()).pw_shell or "/bin/sh")
    files = SshdFiles(directory)
    files.prepare([])
    await make_key(programs, runner, files.host_key)

    async def ask(*words: str) -> CompletedCommand:
        return await _run(runner, programs.sshd, "-t", "-f", str(files.config), *words)

    if not _UNKNOWN_OPTION.search(stderr_of(await ask("-o", PENALTIES))):
        files.prepare([PENALTIES.replace("=", " ")])
    tested = await ask()
    if tested.exit_code == 0:
        return
    if missing := _MISSING_DIRECTORY.search(stderr_of(tested)):
        raise HarnessError(
            f"sshd can't be started as root, since {missing[1]} is missing, which its service would have made: "
            f"mkdir -m 0755 {missing[1]}"
        )
    raise HarnessError(f"sshd can't be started: {last_line(stderr_of(tested))}")


async def check_shell(runner: ProcessRunner, shell: str) -> None:
    """sshd has the login shell run what is asked for. Raises HarnessError, one line, if it runs nothing."""
    problem = f"sshd can't be used: the login shell of {user_name()}, {shell},"
    if not os.access(shell, os.X_OK):
        raise HarnessError(f"{problem} is no program; chsh changes it")
    done = await _run(runner, Path(shell), "-c", f"exit {_STATUS}")
    if done.exit_code != _STATUS:
        raise HarnessError(f"{problem} runs no commands; chsh changes it")


async def make_key(programs: SshPrograms, runner: ProcessRunner, path: Path) -> str:
    """Make a key, unless it is there, in a file of mode 0600. Returns the public one. Raises HarnessError."""
    if new := _place_for_key(path):
        done = await _run(runner, programs.keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(new))
        if done.exit_code != 0:
            raise HarnessError(f"can't make a key: {last_line(stderr_of(done))}")
        _public(new).replace(_public(path))
        new.replace(path)
    return _public(path).read_text(encoding="ascii").strip()


def _place_for_key(path: Path) -> Path | None:
    """Where to make a key first that is to be at `path`; None if it is there."""
    if path.exists() and _public(path).exists():
        return None
    make_private(path.parent)
    new = path.with_name(f"{path.name}.new")
    for unfinished in (new, _public(new), path):
        unfinished.unlink(missing_ok=True)  # ssh-keygen would ask.
    return new


def _public(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")


async def _run(runner: ProcessRunner, program: Path, *words: str) -> CompletedCommand:
    return await runner.run(
        [program, *words], env=inherited_environment(), seconds_max=_SECONDS_MAX, is_of_target=False
    )
