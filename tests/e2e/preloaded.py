"""Commands as children of one process that has loaded the command line already.

Loading it takes a third of a second or more, and most tests are about what a command does, not about how it begins. A
command is a process of its own all the same: it has its own environment, directory and outputs, sets its own signal
handlers, and ends as it would.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import NoReturn

import psutil

CLOSED = ""
"""The place of an output that is closed when the command begins."""

_STREAMS = ("stdout", "stderr")
_LEFT_OUT = ("snapstorm.pytest_plugin", "__main__")


class Preloaded:
    """The process that has loaded everything, and starts one command after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._one_at_a_time = threading.Lock()
        atexit.register(self._process.communicate)

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        redirected: Mapping[str, str],
        seconds_max: float,
    ) -> tuple[int, str, str]:
        """Status (negative: the signal that ended it), standard output and standard error of a command.

        `redirected` names another place for `stdout` or `stderr`; what is written there is not returned.
        """
        with self._one_at_a_time, contextlib.ExitStack() as stack:
            files = {name: stack.enter_context(open(os.memfd_create(name), encoding="utf-8")) for name in _STREAMS}
            places = {name: f"/proc/{os.getpid()}/fd/{file.fileno()}" for name, file in files.items()}
            request = {"arguments": arguments, "cwd": cwd, "env": dict(env), "places": {**places, **redirected}}
            status = self._ask(json.dumps(request), seconds_max)
            return status, files["stdout"].read(), files["stderr"].read()

    def _ask(self, request: str, seconds_max: float) -> int:
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        asked.write(request.encode() + b"\n")
        asked.flush()
        if not select.select([answers], [], [], seconds_max)[0]:
            for process in psutil.Process(self._process.pid).children(recursive=True):
                process.kill()
            answers.readline()
            raise subprocess.TimeoutExpired("snapstorm", seconds_max)
        return int(answers.readline())


@functools.cache
def preloaded() -> Preloaded:
    """The one process of these tests."""
    return Preloaded()


def _serve() -> None:
    """Start a command for each line that is asked for, and answer with its status."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    import snapstorm  # noqa: PLC0415 - only in this process

    for module in pkgutil.walk_packages(snapstorm.__path__, "snapstorm."):
        if not module.name.endswith(_LEFT_OUT):
            importlib.import_module(module.name)
    gc.freeze()
    for line in requests:
        pid = os.fork()
        if pid == 0:
            _become(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


def _become(arguments: list[str], cwd: str, env: dict[str, str], places: dict[str, str]) -> NoReturn:
    """Be the command."""
    for number, name in enumerate(_STREAMS, 1):
        if places[name] == CLOSED:
            os.close(number)
            setattr(sys, name, None)  # As Python has it then.
        else:
            os.dup2(os.open(places[name], os.O_WRONLY), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["snapstorm", *arguments]
    from snapstorm.__main__ import main  # noqa: PLC0415 - only in this process

    main()
    os._exit(99)  # It does not return.


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve()
