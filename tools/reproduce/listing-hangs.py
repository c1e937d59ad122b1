#!/usr/bin/env python3
"""A command hangs for ever where the storage can't be listed: bare commands, the standard library alone.

    listing-hangs.py KOPIA [SECONDS]

The directory of the index blobs is made unreadable, as by a wrong `chmod`, and `snapshot list` is run. It should say so
and end. It says nothing, and does not end: `refreshLocked` in internal/epoch/epoch_manager.go repeats a refresh that
failed until it succeeds, whatever the error. A bucket that answers 403 to listings does the same.

Run as root, the commands run as user 65534, who can't read what is closed to him.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NOBODY = 65534


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kopia, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        if os.geteuid() == 0:
            kopia = shutil.copy(kopia, os.path.join(top, "kopia"))
            os.chown(top, NOBODY, NOBODY)
        repository = os.path.join(top, "repository")
        run(kopia, top, "repository", "create", "filesystem", "--path", repository)
        indexes = os.path.join(repository, "x")
        os.chmod(indexes, 0)
        began = time.monotonic()
        try:
            done = run(kopia, top, "snapshot", "list", seconds=seconds, must_succeed=False)
            print(f"`snapshot list` ended with status {done.returncode} after {time.monotonic() - began:.0f} s")
            print(done.stdout, done.stderr)
        except subprocess.TimeoutExpired as error:
            said = (error.stdout or b"") + (error.stderr or b"")
            print(f"`snapshot list` had not ended after {seconds:.0f} s, and had written {len(said)} bytes")
        finally:
            os.chmod(indexes, 0o700)


def run(kopia, top, *command, seconds=60.0, must_succeed=True):
    environment = {
        "HOME": top,
        "KOPIA_CONFIG_PATH": f"{top}/config",
        "KOPIA_CACHE_DIRECTORY": f"{top}/cache",
        "KOPIA_LOG_DIR": f"{top}/logs",
        "KOPIA_PASSWORD": "secret",
        "KOPIA_CHECK_FOR_UPDATES": "false",
    }
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [kopia, *command], env=environment, cwd=top, check=False, capture_output=True, text=True, timeout=seconds, **who
    )
    if must_succeed and done.returncode:
        raise SystemExit(f"{command}: {done.stderr}")
    return done


main()
