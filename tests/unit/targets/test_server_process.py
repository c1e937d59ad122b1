"""Where a server may listen."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager

import pytest

from snapstorm.errors import ConfigError
from snapstorm.runtime.process import RunningProcess
from snapstorm.targets.server_process import ServerProcess


def launch(address: str) -> AbstractAsyncContextManager[RunningProcess]:
    raise AssertionError(f"nothing is started at {address}")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_no_server_listens_everywhere(host: str) -> None:
    """Clients would be told an address that they can't reach, and who knows who else could."""
    with pytest.raises(ConfigError, match="name the address by which clients reach this machine"):
        ServerProcess(launch, re.compile(""), "the server", host=host)
