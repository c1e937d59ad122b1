#!/usr/bin/env python3
"""Files are left out of snapshots that a client takes through a server with parallel uploads: bare commands.

    parallel-upload-leaves-files-out.py KOPIA [ROUNDS]

With `--parallel-upload-above-size-mib=1`, a larger file is uploaded in parts, whose objects are then concatenated.
For that the client opens each part's object. But a client of a server writes contents without waiting for the answer
(`doWriteAsync` in repo/grpc_repository_client.go): the server may not know the last part yet, and says that its content
is not found. `snapshot create` ends with exit status 1; the snapshot is kept, without the file.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kopia, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        source = os.path.join(top, "source")
        os.makedirs(source)
        run(kopia, top, "a", "repository", "create", "filesystem", "--path", os.path.join(top, "repository"))
        run(kopia, top, "a", "server", "users", "add", "u@h", "--user-password=secret")
        server = start(kopia, top, "a", "server", "start", "--address=127.0.0.1:0", "--no-ui", "--tls-generate-cert",
                       f"--tls-cert-file={top}/cert", f"--tls-key-file={top}/key",
                       "--server-control-username=control", "--server-control-password=control")  # fmt: skip
        try:
            measure(kopia, top, source, server, rounds)
        finally:
            server.kill()
            server.wait()


def measure(kopia, top, source, server, rounds):
    url = fingerprint = None
    for line in server.stderr:
        fingerprint = line.split()[-1] if line.startswith("SERVER CERT SHA256") else fingerprint
        if line.startswith("SERVER ADDRESS"):
            url = line.split()[-1]
            break
    run(kopia, top, "b", "repository", "connect", "server", f"--url={url}",
        f"--server-cert-fingerprint={fingerprint}", "--override-username=u", "--override-hostname=h")  # fmt: skip
    run(kopia, top, "b", "policy", "set", source, "--parallel-upload-above-size-mib=1")
    failed = 0
    for number in range(rounds):
        with open(os.path.join(source, str(number)), "wb") as file:
            file.write(os.urandom((1 << 20) + 1 + number * 1000))
        began = time.monotonic()
        process = start(kopia, top, "b", "snapshot", "create", "--json", source)
        out, _ = process.communicate()
        summary = json.loads(out)["rootEntry"]["summ"]
        failed += process.returncode != 0
        error = (summary.get("errors") or [{}])[0].get("error", "")
        print(f"round {number}: exit status {process.returncode}, {summary['files']} of {number + 1} files taken; "
              f"{time.monotonic() - began:.1f} s {error}", flush=True)  # fmt: skip
    print(f"{failed} of {rounds} snapshots left something out")


def start(kopia, top, actor, *command):
    home = os.path.join(top, actor)
    os.makedirs(home, exist_ok=True)
    environment = {
        "HOME": home,
        "PATH": os.environ["PATH"],
        "KOPIA_CONFIG_PATH": f"{home}/config",
        "KOPIA_CACHE_DIRECTORY": f"{home}/cache",
        "KOPIA_LOG_DIR": f"{home}/logs",
        "KOPIA_PASSWORD": "secret",
        "KOPIA_CHECK_FOR_UPDATES": "false",
    }
    pipe = subprocess.PIPE
    return subprocess.Popen([kopia, *command], env=environment, stdout=pipe, stderr=pipe, text=True)


def run(kopia, top, actor, *command):
    process = start(kopia, top, actor, *command)
    _, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"{command}: {err}")


main()
