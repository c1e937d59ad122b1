#!/usr/bin/env python3
"""Retention deletes weekly snapshots that the policy keeps: bare commands, the standard library alone.

    weeks-expire.py KOPIA [WEEKS]

52 snapshots a week apart under --keep-weekly=52 --keep-monthly=12 and nothing else. All 52 should stay; 42 do.

Retention notes the periods that have a snapshot already in one map for all kinds, by the period's name alone
(`getRetentionReasons` in snapshot/policy/retention_policy.go). The name of a month is `2006-01`; that of an ISO week is
`%04v-%02v`, so week 1 of 2025 is called `2025-01`, as January is. Once January has its monthly snapshot, week 1 counts
as seen, and its snapshot gets no `weekly` tag.
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
    kopia, weeks = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 52
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        source = os.path.join(top, "source")
        os.makedirs(source)
        open(os.path.join(source, "file"), "w").write("x")
        run(kopia, top, "repository", "create", "filesystem", "--path", os.path.join(top, "repository"))
        keep = {"latest": 0, "hourly": 0, "daily": 0, "weekly": weeks, "monthly": 12, "annual": 0}
        run(kopia, top, "policy", "set", source, *(f"--keep-{kind}={count}" for kind, count in keep.items()))
        days = [datetime(2025, 1, 5, 12, tzinfo=UTC) + timedelta(weeks=number) for number in range(weeks)]
        for day in days:
            at = f"{day:%Y-%m-%d %H:%M:%S} UTC"
            run(kopia, top, "snapshot", "create", f"--start-time={at}", f"--end-time={at}", source)
        listed = json.loads(run(kopia, top, "snapshot", "list", "--json", "--show-identical", source))
        left = {entry["startTime"][:10] for entry in listed}
        for day in days:
            if f"{day:%Y-%m-%d}" not in left:
                year, week, _ = day.isocalendar()
                print(f"gone: the snapshot of {day:%Y-%m-%d}, ISO week {year:04}-{week:02}")
        print(f"{len(left)} of {weeks} weekly snapshots are left")


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
