"""A real S3 server on loopback: versitygw over a directory, the project's own build or one that is named."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.waiting import GIVE_UP_SECONDS

OWN_BUILD = Path(__file__).parents[2] / ".tools" / "bin" / "versitygw-1.8.0"


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket."""

    endpoint: str
    bucket: str
    directory: Path
    credentials: dict[str, str]

    def place(self, prefix: str, bucket: str | None = None) -> str:
        """A prefix, as snapstorm takes it."""
        return f"s3://{bucket or self.bucket}/{prefix}?endpoint={self.endpoint}"


def find_server() -> Path:
    """The program. One that is missing fails the test: a skipped test would look like a pass."""
    if OWN_BUILD.is_file():
        return OWN_BUILD
    named = shutil.which(os.environ.get("VERSITYGW_EXE", "versitygw"))
    if named is None:
        pytest.fail("versitygw is missing: `make test` builds it, or name it in VERSITYGW_EXE", pytrace=False)
    return Path(named)


@contextmanager
def serve_s3(directory: Path) -> Iterator[S3Server]:
    """Serve a directory for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    credentials = {"AWS_ACCESS_KEY_ID": secrets.token_hex(10), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}
    (directory / "testbeds").mkdir(parents=True)
    root = {f"ROOT_{name.removeprefix('AWS_')}": value for name, value in credentials.items()}
    root["ROOT_ACCESS_KEY"] = root.pop("ROOT_ACCESS_KEY_ID")
    root["ROOT_SECRET_KEY"] = root.pop("ROOT_SECRET_ACCESS_KEY")
    with (directory.parent / "s3.log").open("wb") as log:
        server = subprocess.Popen(
            [find_server(), "--port", f"127.0.0.1:{port}", "posix", "--sidecar", directory.parent / "meta", directory],
            env={"PATH": os.environ["PATH"], "HOME": str(directory), **root},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(server, port)
        yield S3Server(f"http://127.0.0.1:{port}", "testbeds", directory, credentials)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    """Return once it listens."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, "the S3 server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the S3 server does not listen")
