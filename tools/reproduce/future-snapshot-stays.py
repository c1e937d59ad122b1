#!/usr/bin/env python3
"""A snapshot from the future can't be deleted (#3736): bare commands, the standard library alone.

    future-snapshot-stays.py KOPIA [DAYS_AHEAD]

KOPIA must be built with `-tags testing`: such a build asks the address in KOPIA_FAKE_CLOCK_ENDPOINT for the time.

A client whose clock is 700 days ahead takes a snapshot. One whose clock is right deletes it: exit status 0, and the
snapshot stays. A deletion is a manifest entry of its own, and of two entries with one id the one with the later time
counts (`mergeEntryLocked` in repo/manifest/committed_manifest_manager.go): the snapshot's, for the next 700 days.
"""

import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta


class Clock(http.server.BaseHTTPRequestHandler):
    """The time, so many days ahead as the path says."""

    def do_GET(self):
        at = datetime.now(UTC) + timedelta(days=float(self.path.strip("/")))
        body = json.dumps({"time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "validFor": 3_600_000_000_000}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_, **__):
        pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kopia, days_ahead = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 700
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Clock)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clock = f"http://127.0.0.1:{server.server_address[1]}"
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        source = os.path.join(top, "source")
        os.makedirs(source)
        open(os.path.join(source, "file"), "w").write("x")
        right, ahead = f"{clock}/0", f"{clock}/{days_ahead}"
        run(kopia, top, right, "repository", "create", "filesystem", "--path", os.path.join(top, "repository"))
        # It refuses to run where the clock differs from the files' times, which says nothing here.
        run(kopia, top, right, "maintenance", "set", "--enable-quick=false", "--enable-full=false")
        taken = json.loads(run(kopia, top, ahead, "snapshot", "create", "--json", source))
        print(f"a client {days_ahead:g} days ahead has taken snapshot {taken['id']} of {taken['startTime']}")
        run(kopia, top, right, "snapshot", "delete", taken["id"], "--delete")
        listed = json.loads(run(kopia, top, right, "snapshot", "list", "--json", "--all"))
        print(f"`snapshot delete` ended with status 0; still listed: {taken['id'] in [one['id'] for one in listed]}")


def run(kopia, top, clock, *command):
    environment = {
        "HOME": top,
        "KOPIA_CONFIG_PATH": f"{top}/config",
        "KOPIA_CACHE_DIRECTORY": f"{top}/cache",
        "KOPIA_LOG_DIR": f"{top}/logs",
        "KOPIA_PASSWORD": "secret",
        "KOPIA_CHECK_FOR_UPDATES": "false",
        "KOPIA_FAKE_CLOCK_ENDPOINT": clock,
    }
    done = subprocess.run([kopia, *command], env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr}")
    return done.stdout


main()
