#!/usr/bin/env python3
"""One snapshot that is dated to the future lets retention delete nearly all others: bare commands alone.

    future-expires.py KOPIA [DAYS_AHEAD]

Eight daily snapshots, then one that is dated 700 days ahead, as a client takes it whose clock is wrong. Retention
counts all its periods back from the latest snapshot, so that the eight are too old for `daily`, `weekly` and `monthly`.
What `latest` keeps is left. Needs the standard library only.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kopia, days_ahead = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 700
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        source = os.path.join(top, "source")
        os.makedirs(source)
        open(os.path.join(source, "file"), "w").write("x")
        run(kopia, top, "repository", "create", "filesystem", "--path", os.path.join(top, "repository"))
        keep = {"latest": 3, "hourly": 0, "daily": 30, "weekly": 8, "monthly": 12, "annual": 3}
        run(kopia, top, "policy", "set", source, *(f"--keep-{kind}={count}" for kind, count in keep.items()))
        today = datetime.now(UTC)
        for number in reversed(range(8)):
            take(kopia, top, source, today - timedelta(days=number))
        print("before:", *listed(kopia, top, source))
        take(kopia, top, source, today + timedelta(days=days_ahead))
        print("after: ", *listed(kopia, top, source))


def take(kopia, top, source, day):
    at = f"{day:%Y-%m-%d %H:%M:%S} UTC"
    run(kopia, top, "snapshot", "create", f"--start-time={at}", f"--end-time={at}", source)


def listed(kopia, top, source):
    entries = json.loads(run(kopia, top, "snapshot", "list", "--json", "--show-identical", source))
    return sorted(entry["startTime"][:10] for entry in entries)


def run(kopia, top, *command):
    environment = {
        "HOME": top,
        "TZ": "UTC",
        "KOPIA_CONFIG_PATH": f"{top}/config",
        "KOPIA_CACHE_DIRECTORY": f"{top}/cache",
        "KOPIA_LOG_DIR": f"{top}/logs",
        "KOPIA_PASSWORD": "secret",
        "KOPIA_CHECK_FOR_UPDATES": "false",
    }
    done = subprocess.run([kopia, *command], env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr}")
    return done.stdout


main()
