"""The set-up as a person writes it who wants four clients on one Kopia server: plain commands with Kopia's defaults,
side by side where that can be. The peer of a run's time to its first action.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess
import time
from pathlib import Path

_SECONDS_MAX = 60.0
_ADDRESS = re.compile(r"SERVER ADDRESS: (\S+)")
_FINGERPRINT = re.compile(r"SERVER CERT SHA256: ([0-9a-f]+)")


def set_up_by_hand(kopia: str, directory: Path, clients: int) -> float:
    """Seconds until a repository is there, its server serves, and so many clients are connected."""
    names = [f"client-{number}" for number in range(1, clients + 1)]
    began = time.perf_counter()
    _run(kopia, directory, "server", "repository", "create", "filesystem", f"--path={directory / 'repository'}")
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:

        def add(name: str) -> None:
            _run(kopia, directory, "server", "server", "users", "add", f"{name}@host", "--user-password=secret")

        list(pool.map(add, names))
        server = subprocess.Popen(
            [
                kopia,
                "server",
                "start",
                "--address=127.0.0.1:0",
                "--tls-generate-cert",
                f"--tls-cert-file={directory / 'certificate.pem'}",
                f"--tls-key-file={directory / 'key.pem'}",
                "--tls-generate-rsa-key-size=2048",
                "--server-username=admin",
                "--server-password=secret",
                "--no-ui",
            ],
            env=_environment(directory, "server"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            address, fingerprint = _announced(server)

            def connect(name: str) -> None:
                _run(
                    kopia,
                    directory,
                    name,
                    "repository",
                    "connect",
                    "server",
                    f"--url={address}",
                    f"--server-cert-fingerprint={fingerprint}",
                    f"--override-username={name}",
                    "--override-hostname=host",
                )

            list(pool.map(connect, names))
            return time.perf_counter() - began
        finally:
            server.terminate()
            server.wait(_SECONDS_MAX)


def _environment(directory: Path, actor: str) -> dict[str, str]:
    place = directory / actor
    return {
        **os.environ,
        "KOPIA_PASSWORD": "secret",
        "KOPIA_CONFIG_PATH": str(place / "repository.config"),
        "KOPIA_CACHE_DIRECTORY": str(place / "cache"),
        "KOPIA_LOG_DIR": str(place / "logs"),
        "KOPIA_CHECK_FOR_UPDATES": "false",
    }


def _run(kopia: str, directory: Path, actor: str, *words: str) -> None:
    subprocess.run(
        [kopia, *words], env=_environment(directory, actor), capture_output=True, timeout=_SECONDS_MAX, check=True
    )


def _announced(server: subprocess.Popen[str]) -> tuple[str, str]:
    """The server's address and the fingerprint of its certificate, as it prints them once it serves."""
    assert server.stderr is not None
    said = ""
    for line in server.stderr:
        said += line
        address, fingerprint = _ADDRESS.search(said), _FINGERPRINT.search(said)
        if address and fingerprint:
            return address[1], fingerprint[1]
    raise RuntimeError(f"the server does not start: {said}")
