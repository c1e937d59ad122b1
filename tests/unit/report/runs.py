"""Runs to report on, made as a run makes them: through the ledger. Their texts are as nasty as file names can be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snapstorm.ledger.ledger import CommandRow, IntendedEffect, Ledger, OperationIntent
from snapstorm.ledger.samples import Quantity, Sample
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.testbed.testbed import LEDGER_NAME

NASTY = "</script><img src=x onerror=alert(1)>\"'&\x00\x1b[31m\u202egnp.exe\u2028]]>|`$\n# <!--"
"""Ends scripts, begins markup, moves the cursor, turns writing round, and can't stand in XML."""

CLIENTS = ("client-1@snapstorm", "client-2@snapstorm", "client-10@snapstorm")
BEGAN = "2026-01-31T12:00:00Z"

SUMMARY: dict[str, Any] = {
    "schema": 1,
    "verdict": "pass",
    "reason": "7 restores equal what was written, byte for byte",
    "seconds": 60.0,
    "actions": {},
    "snapshots": {"live": 5, "deleted": 2, "in_doubt": 0},
    "restores_verified": 7,
    "restores_verified_earlier_runs": 1,
    "bytes_verified": 4096,
    "sweep": {"verified": 5, "left": 0},
    "faults": {"kill-server": 1},
    "failed_under_faults": 2,
    "notes": [f"a note {NASTY}"],
}


class Bed:
    """A testbed with runs that are as told."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.ledger = Ledger.open(directory / LEDGER_NAME)
        self.ledger._connection.execute("PRAGMA synchronous = OFF")  # Nothing here has to outlive the machine.
        self.ledger.set_fact("testbed_id", "0123456789abcdef")
        self.ledger.set_fact("mode", "server")

    def begin(self, scenario: str = '{"name": "randomized"}', versions: tuple[str, ...] = ("0.23.1",)) -> int:
        target = {"name": "kopia", "versions": list(versions), "executables": [{"path": NASTY, "sha256": "00"}]}
        return self.ledger.begin_run(seed=7, began_utc=BEGAN, scenario=scenario, target=json.dumps(target))

    def operation(
        self,
        run: int,
        number: int,
        client: str = CLIENTS[0],
        *,
        action: str = "snapshot-root",
        began: float = 0.0,
        seconds: float = 0.5,
        outcome: str | None = "ok",
        is_own: bool = False,
    ) -> str:
        name = f"r{run}-{client.partition('@')[0]}-{number}"
        options, effect = json.dumps({"count": "1..3"}), IntendedEffect({"path": NASTY, "manifest": "ab" * 32})
        self.ledger.begin_operation(
            OperationIntent(name, run, client, number, action, options, began, effect, is_own=is_own)
        )
        if outcome is not None:
            reason = NASTY if outcome == "failed" else ""
            self.ledger.end_operation(name, outcome=outcome, reason=reason, seconds=seconds)
        return name

    def command(self, run: int, operation: str) -> None:
        argv = json.dumps(["kopia", "snapshot", NASTY])
        self.ledger.add_commands([CommandRow(run, operation, argv, 0.0, 0.25, 1, False)])

    def fault(self, run: int, began: float, ended: float | None) -> None:
        number = self.ledger.begin_fault(run, "kill-server", tick=self.ledger.next_tick(), began_seconds=began)
        if ended is not None:
            self.ledger.end_fault(number, "healed", tick=self.ledger.next_tick(), ended_seconds=ended)

    def violation(self, run: int, operation: str, evidence: Mapping[str, str] | None = None) -> Path:
        """One with a directory of evidence, which holds these files; None: it is not there."""
        directory = self.directory / "runs" / f"{run:04}" / "evidence" / "001-restored-exactly"
        if evidence is not None:
            directory.mkdir(parents=True)
            for name, text in evidence.items():
                (directory / name).write_text(text)
        violation = Violation(
            Guarantee.RESTORED_EXACTLY, f"it differs {NASTY}", CLIENTS[0], "abc", NASTY, str(directory), operation
        )
        self.ledger.add_violation(run, violation, None, "x", at_seconds=30.0)
        return directory

    def end(self, run: int, **changes: Any) -> None:
        summary = {**SUMMARY, **changes}
        self.ledger.end_run(run, ended_utc=BEGAN, verdict=summary["verdict"], summary=json.dumps(summary))

    def close(self) -> None:
        self.ledger.close()


DIFFERENCES = json.dumps(
    {
        "schema": 1,
        "differences_total": 2,
        "differences": [
            {
                "path": f"a/{NASTY}",
                "kind": "content",
                "expected": "content 1",
                "actual": "content 2",
                "expected_bytes": 9000,
                "actual_bytes": 9000,
                "blocks": [{"offset_bytes": 4500, "length_bytes": 1, "kind": "changed bytes", "words": NASTY}],
            },
            {"path": "b", "kind": "missing", "expected": "file", "actual": "", "blocks": []},
        ],
    }
)


def busy_bed(directory: Path) -> Bed:
    """One run with something of everything, which found a violation."""
    bed = Bed(directory)
    run = bed.begin()
    actions = ("write-random-files", "snapshot-root", "restore-random-snapshot", "list-snapshots", "run-gc")
    outcomes = ("ok", "ok", "ok", "no_op", "failed", "unknown")
    number = 0
    for turn in range(40):
        for client in CLIENTS:
            number += 1
            action, outcome = actions[(turn + len(client)) % 5], outcomes[number % 6]
            name = bed.operation(run, number, client, action=action, began=turn * 1.4, seconds=0.9, outcome=outcome)
            bed.command(run, name)
    bed.fault(run, 10.0, 20.0)
    samples = [Sample(float(at), quantity.value, 1e6 + at * 1e4) for at in range(60) for quantity in Quantity]
    bed.ledger.add_samples(run, samples)
    evidence = {"README.md": NASTY, "differences.txt": NASTY, "differences.json": DIFFERENCES, "commands.txt": "$ x"}
    bed.violation(run, f"r{run}-client-1-1", evidence)
    bed.end(run, verdict="violated", reason="1 violation(s) of restored-exactly")
    return bed
