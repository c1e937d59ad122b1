"""How `distributed` is set for calls between machines.

It is meant for computations, and brings much that is not needed here: pages by HTTP, profiles, logs of all messages
(which may hold passwords), stealing of work. All of it is switched off.
"""

from __future__ import annotations

import logging
import os
import shutil
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dask.config
from distributed.security import Security

from snapstorm.machines.join_file import Credentials

SETTINGS: Mapping[str, object] = {
    "distributed.admin.low-level-log-length": 0,
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "1h",
    "distributed.comm.compression": False,
    "distributed.comm.retry.count": 0,
    # A peer that does not answer is dropped after this. Less than 11 s ends connections that are alive (measured).
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.comm.timeouts.connect": "30s",
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.http.routes": [],
    "distributed.scheduler.idle-timeout": None,
    "distributed.scheduler.preload": [],
    "distributed.scheduler.work-stealing": False,
    # The hub sees silence sooner: this would be looked at once in so much time only.
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.http.routes": [],
    "distributed.worker.lifetime.duration": None,
    "distributed.worker.preload": [],
    "distributed.worker.profile.enabled": False,
}
"""They override the user's own settings of Dask, in files and in the environment."""


_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application")
"""Those that the library gives a level and an output of their own."""


@contextmanager
def settings() -> Iterator[None]:
    """Apply the settings for the block, and silence the library, which logs to standard error."""
    if not os.environ.get("SNAPSTORM_DEBUG"):
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with dask.config.set(dict(SETTINGS)):
        yield


@contextmanager
def own_directory(path: Path) -> Iterator[None]:
    """A directory for the block, where the library makes empty directories of its own, and which it puts on Python's
    path. By default it is one for all users."""
    shutil.rmtree(path, ignore_errors=True)  # Of an incarnation that was killed.
    path.mkdir(mode=0o700, parents=True)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


def security_of(credentials: Credentials) -> Security:
    """Mutual TLS and nothing else."""
    file = str(credentials.file)
    roles = ("scheduler", "worker", "client")
    fields = {f"tls_{role}_{what}": file for role in roles for what in ("cert", "key")}
    return Security(  # type: ignore[no-untyped-call]
        require_encryption=True,
        tls_ca_file=credentials.authority_pem,
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        **fields,
    )
