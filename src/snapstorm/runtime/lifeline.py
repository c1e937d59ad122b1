"""The runner's end of its watchdog: the watchdog process, and the pipe that tells it what to watch over."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import anyio

from snapstorm.errors import HarnessError
from snapstorm.runtime import watchdog
from snapstorm.runtime.polling import until

_END_SECONDS_MAX = 10.0
"""How long the watchdog may take to end after it was told goodbye."""


class Lifeline:
    """The pipe to the watchdog process, which kills when the pipe closes without a goodbye."""

    def __init__(self, owner: str) -> None:
        reading, self._writing = os.pipe()
        try:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog.__file__, owner, str(os.getpid())],
                env={},
                cwd="/",
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._writing)
            raise HarnessError(f"can't start the watchdog process: {error.strerror or error}") from error
        finally:
            os.close(reading)
        self.watchdog_pid = self._watchdog.pid
        """Also that of its process group."""

    def announce(self, group: int) -> None:
        """Have a process group watched over. Raises HarnessError."""
        try:
            os.write(self._writing, b"+%d\n" % group)
        except BrokenPipeError:
            raise HarnessError("the watchdog process has ended: without it children could be left running") from None

    def forget(self, group: int) -> None:
        """A process group has ended."""
        with contextlib.suppress(BrokenPipeError):  # An ended watchdog watches no group; the next start tells.
            os.write(self._writing, b"-%d\n" % group)

    async def close(self) -> None:
        """Say goodbye to the watchdog, and wait until it has ended."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._writing, f"{watchdog.GOODBYE}\n".encode())
        os.close(self._writing)
        with anyio.move_on_after(_END_SECONDS_MAX):
            await until(lambda: self._watchdog.poll() is not None)
        if self._watchdog.poll() is None:
            self._watchdog.kill()
            self._watchdog.wait()
