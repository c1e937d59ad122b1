#!/usr/bin/env python3
"""A deletion that Kopia has acknowledged is undone: bare commands, the standard library alone.

    deleted-comes-back.py KOPIA [ROUNDS]            one process is suspended for some seconds in each round
    deleted-comes-back.py KOPIA [ROUNDS] --natural  nobody is suspended: two commands are started together

With --server, the snapshots are taken and deleted by a client through a server; the others work on the repository.

A process that reads or writes the 16th manifest content replaces all 16 by one, which holds what is live as it has
read it, and no tombstones (repo/manifest/committed_manifest_manager.go, compactLocked). If between its reading and its
index blob somebody deletes a snapshot and somebody else compacts, tombstone and all, then the first one's content is
what is left, and in it the snapshot lives. The deleting process is such a somebody itself, when its tombstone is in the
16th content.
"""

import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import IO


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    kopia, rounds = words[0], int(words[1]) if len(words) > 1 else 5
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        test = Test(kopia, top)
        try:
            test.prepare()
            if "--server" in sys.argv:
                test.serve()
            (natural if "--natural" in sys.argv else suspended)(test, rounds)
        finally:
            test.end()


class Test:
    def __init__(self, kopia, top):
        self.kopia, self.top, self.repository = kopia, top, os.path.join(top, "repository")
        self.written = 0
        self.processes = []

    def prepare(self):
        os.makedirs(os.path.join(self.top, "source"))
        open(os.path.join(self.top, "source", "file"), "w").write("x")
        self.run(
            "a",
            "repository",
            "create",
            "filesystem",
            "--path",
            self.repository,
            "--format-block-key-derivation-algorithm=pbkdf2-sha256-600000",
        )
        for actor in "bcde":
            self.run(actor, "repository", "connect", "filesystem", "--path", self.repository)
        self.run("a", "maintenance", "set", "--enable-quick=false", "--enable-full=false")

    def start(self, actor, *command, stderr: int | IO[bytes] = subprocess.PIPE):
        home = os.path.join(self.top, actor)
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
        process = subprocess.Popen([self.kopia, *command], env=environment, stdout=subprocess.PIPE, stderr=stderr)
        self.processes.append(process)
        return process

    def run(self, actor, *command):
        process = self.start(actor, *command)
        out, err = process.communicate()
        if process.returncode:
            raise SystemExit(f"{command}: {err.decode()}")
        return out

    def serve(self):
        """From now on the actor "b" is a client of a server."""
        self.run("a", "server", "acl", "enable")
        self.run("a", "server", "users", "add", "u@h", "--user-password=secret")
        log = os.path.join(self.top, "server.log")
        files = [f"--tls-cert-file={self.top}/cert", f"--tls-key-file={self.top}/key"]
        control = ["--server-control-username=control", "--server-control-password=control"]
        words = ["server", "start", "--address=127.0.0.1:0", "--no-ui", "--tls-generate-cert", *files, *control]
        with open(log, "wb") as file:
            self.start("server", *words, "--config-file", f"{self.top}/a/config", stderr=file)
        for _ in range(300):
            text = open(log).read()
            if "SERVER ADDRESS: " in text:
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"the server does not say its address: {open(log).read()}")
        url = text.split("SERVER ADDRESS: ")[1].split()[0]
        fingerprint = text.split("SERVER CERT SHA256: ")[1].split()[0]
        self.run(
            "b",
            "repository",
            "connect",
            "server",
            f"--url={url}",
            f"--server-cert-fingerprint={fingerprint}",
            "--override-username=u",
            "--override-hostname=h",
        )

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def snapshot(self, actor):
        return json.loads(self.run(actor, "snapshot", "create", "--json", os.path.join(self.top, "source")))["id"]

    def write_manifest(self, actor):
        self.written += 1
        self.run(actor, "policy", "set", "/p1", f"--keep-latest={self.written}")

    def manifest_contents(self):
        return len(self.run("d", "content", "list", "--prefix=m").splitlines())

    def listed(self, actor):
        return {entry["id"] for entry in json.loads(self.run(actor, "manifest", "list", "--json"))}

    def blobs(self, kinds):
        return {
            n for k in kinds for n in glob.glob(f"{self.repository}/{k}*/**/*", recursive=True) if os.path.isfile(n)
        }


def suspended(test, rounds):
    back = 0
    # So that it is caught in the midst.
    test.run("a", "repository", "throttle", "set", "--write-requests-per-second=1")
    for round_number in range(rounds):
        began = time.monotonic()
        doomed = test.snapshot("b")
        fill(test, "e")
        indexes = test.blobs("x")
        process = test.start("a", "policy", "set", "/p0", f"--keep-latest={round_number + 1}")
        while process.poll() is None and not test.blobs("x") - indexes:
            time.sleep(0.01)
        time.sleep(0.3)  # The 16th is written; now it waits for its turn to write what replaces all 16.
        process.send_signal(signal.SIGSTOP)
        test.run("b", "snapshot", "delete", doomed, "--delete")
        after = test.listed("c")
        fill(test, "e")
        test.write_manifest("e")
        process.send_signal(signal.SIGCONT)
        process.communicate()
        now = test.listed("c")
        back += doomed in now
        print(
            f"round {round_number}: deletion acknowledged, listed after it: {doomed in after}; "
            f"listed once the suspended `policy set` has ended (status {process.returncode}): {doomed in now}; "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
    print(f"{back} of {rounds} acknowledged deletions came back")


def natural(test, rounds):
    """One deletion and one change of a policy, started together, each about to write the 16th manifest content."""
    back = 0
    began = time.monotonic()
    for round_number in range(rounds):
        doomed = test.snapshot("b")
        fill(test, "e")
        policy = test.start("a", "policy", "set", "/p0", f"--keep-latest={round_number + 1}")
        test.run("b", "snapshot", "delete", doomed, "--delete")
        policy.communicate()
        found = doomed in test.listed("c")
        back += found
        print(f"round {round_number}: listed after its deletion was acknowledged: {found}", flush=True)
    print(f"{back} of {rounds} acknowledged deletions came back; {time.monotonic() - began:.0f} s")


def fill(test, actor):
    while test.manifest_contents() < 15:
        test.write_manifest(actor)


main()
