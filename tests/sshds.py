"""Tests that need an sshd of our own. Where none can be used, they say so."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import anyio
from tests.needed import Needed

from snapstorm.errors import HarnessError
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.borg.sshd import check_sshd, find_ssh


@functools.cache
def why_not_usable() -> str | None:
    """Why no sshd can be started here, and what to do; None if one can."""

    async def check() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with ProcessRunner("needs-sshd") as runner:
                await check_sshd(find_ssh(), runner, Path(directory))

    try:
        anyio.run(check)
    except HarnessError as error:
        return str(error)
    return None


SSHD = Needed("needs_sshd", "sshd can't be used here: ", "TESTS OF BORG OVER SSH", why_not_usable)
