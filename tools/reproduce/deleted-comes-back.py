#!/usr/bin/env python3
"""A deletion that Kopia has acknowledged is undone: bare commands, the standard library alone.

    deleted-comes-back.py KOPIA [ROUNDS]            one process is suspended for some seconds in each round
    deleted-comes-back.py KOPIA [ROUNDS] --natural  nobody is suspended: two commands are started together

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


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    kopia, rounds = words[0], int(words[1]) if len(words) > 1 else 5
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        test = Test(kopia, top)
        (natural if "--natural" in sys.argv else suspended)(test, rounds)


class Test:
    def __init__(self, kopia, top):
        self.kopia, self.top, self.repository = kopia, top, os.path.join(top, "repository")
        self.written = 0
        os.makedirs(os.path.join(top, "source"))
        open(os.path.join(top, "source", "file"), "w").write("x")
        self.run(
            "a",
            "repository",
            "create",
            "filesystem",
            "--path",
            self.repository,
            "--format-block-key-derivation-algorithm=pbkdf2-sha256-600000",
        )
        for actor in "bcd":
            self.run(actor, "repository", "connect", "filesystem", "--path", self.repository)
        self.run("a", "maintenance", "set", "--enable-quick=false", "--enable-full=false")

    def start(self, actor, *command):
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
        return subprocess.Popen([self.kopia, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, actor, *command):
        process = self.start(actor, *command)
        out, err = process.communicate()
        if process.returncode:
            raise SystemExit(f"{command}: {err.decode()}")
        return out

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
    test.run(
        "a", "repository", "throttle", "set", "--write-requests-per-second=1"
    )  # So that it is caught in the midst.
    for round_number in range(rounds):
        began = time.monotonic()
        doomed = test.snapshot("b")
        fill(test, "b")
        indexes = test.blobs("x")
        process = test.start("a", "policy", "set", "/p0", f"--keep-latest={round_number + 1}")
        while process.poll() is None and not test.blobs("x") - indexes:
            time.sleep(0.01)
        time.sleep(0.3)  # The 16th is written; now it waits for its turn to write what replaces all 16.
        process.send_signal(signal.SIGSTOP)
        test.run("b", "snapshot", "delete", doomed, "--delete")
        after = test.listed("b")
        fill(test, "b")
        test.write_manifest("b")
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
        fill(test, "b")
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
