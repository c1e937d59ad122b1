"""The data of the timeline, as the page's script reads it: an overview at once, each operation on demand.

The overview (clients, kinds of actions, faults, and for a long run what each client did in each period) is plain JSON.
All operations follow as compressed columns. Details of single operations (choices, reasons, commands) follow in blocks;
a block is decompressed when one of its operations is opened. So a page with 100,000 operations opens as quickly as one
with a hundred.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from snapstorm.ledger.run_rows import OperationRow, RanCommand
from snapstorm.model.actions import ACTIONS, Family
from snapstorm.report.figures import OUTCOMES, outcome_of
from snapstorm.report.run_data import RunData
from snapstorm.report.text import printable

FAMILY_WORDS = {
    Family.SNAPSHOT: "take a snapshot",
    Family.RESTORE: "restore",
    Family.DELETE: "delete snapshots",
    Family.LOOK: "list or check",
    Family.FILES: "change files",
    Family.UPKEEP: "collect garbage",
}

OUTCOME_WORDS = {
    "ok": "done",
    "no_op": "nothing to do",
    "failed": "failed",
    "unknown": "outcome unknown",
    "open": "did not end",
}

OVERVIEW_FROM = 10_000
"""With more operations than this, the page first draws an overview."""
OVERVIEW_BINS = 600
DETAILS_PER_BLOCK = 1_000
COMMANDS_ALL_MAX = 20_000
"""With more operations than this, commands are kept only for those that did not end well."""
COMMANDS_SHOWN_MAX = 8
ARGUMENT_LENGTH_MAX = 200

_PER_SECOND = 10_000
"""Times are whole numbers of tenths of a millisecond."""
_LONG_DIGEST = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{48}\b")
"""Of no use to people, and hard to compress."""


def family_of(action: str) -> Family:
    """The family of an action. An unknown action (of another version) counts as one that changes files."""
    return ACTIONS[action].family if action in ACTIONS else Family.FILES


def packed(value: object) -> str:
    """Compressed JSON, in letters that can be used anywhere."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def outcome_words(run: RunData) -> dict[str, str]:
    """The word for each outcome: an operation that has not ended still goes on, if its run does."""
    return {**OUTCOME_WORDS, "open": "goes on"} if run.is_going_on else OUTCOME_WORDS


def overview(run: RunData) -> dict[str, Any]:
    """The data that the script needs first."""
    actions = _actions(run)
    lanes = {client: number for number, client in enumerate(run.clients)}
    return {
        "run": run.number,
        "settled": settled(run),
        "clients": [printable(client) for client in run.clients],
        "actions": [printable(action) for action in actions],
        "families": [family_of(action) for action in actions],
        "familyWords": FAMILY_WORDS,
        "outcomes": list(OUTCOMES),
        "outcomeWords": outcome_words(run),
        "seconds": max(run.seconds, 1e-3),
        "virtual": _virtual(run),
        "count": len(run.operations),
        "perBlock": DETAILS_PER_BLOCK,
        "faults": [
            {"key": fault.key, "began": began, "ended": ended, "outcome": printable(fault.outcome or "not healed")}
            for fault, began, ended in run.fault_spans
        ],
        "violations": [
            {
                "number": found.row.number,
                "at": found.row.at_seconds,
                "lane": lanes.get(found.row.client or ""),
                "guarantee": found.row.guarantee,
            }
            for found in run.violations
        ],
        "bins": _bins(run, lanes) if len(run.operations) > OVERVIEW_FROM else None,
    }


def _virtual(run: RunData) -> dict[str, Any] | None:
    """When virtual time began, in milliseconds since 1970, and each jump: when in the run, and by how many
    milliseconds. None for a run in real time."""
    lived = run.lived
    if lived is None:
        return None
    return {
        "began": lived.began_ns // 1_000_000,
        "jumps": [[round(jump.at_seconds, 4), jump.by_ns // 1_000_000] for jump in lived.jumps],
    }


def _bins(run: RunData, lanes: dict[str, int]) -> list[list[list[int]]]:
    """For each lane and period in which something began: the period's number, the most frequent family, the worst
    outcome."""
    families = list(Family)
    family_numbers = {action: families.index(family_of(action)) for action in {one.action for one in run.operations}}
    width = max(run.seconds, 1e-3) / OVERVIEW_BINS
    found: list[dict[int, list[float]]] = [{} for _ in lanes]
    for operation in run.operations:
        lane = found[lanes[operation.client]]
        number = min(OVERVIEW_BINS - 1, int(operation.began_seconds / width))
        cell = lane.setdefault(number, [0.0] * (len(families) + 1))
        cell[family_numbers[operation.action]] += (operation.seconds or 0.0) + 1e-6
        cell[-1] = max(cell[-1], OUTCOMES.index(outcome_of(operation)))
    return [
        [[number, cell.index(max(cell[:-1])), int(cell[-1])] for number, cell in sorted(lane.items())] for lane in found
    ]


def _actions(run: RunData) -> list[str]:
    """The kinds of actions in order of first appearance, so that their numbers stay the same while a run goes on."""
    return list(dict.fromkeys(operation.action for operation in run.operations))


def settled(run: RunData) -> int:
    """How many operations, counted from the first, have ended and won't change any more."""
    return next((number for number, one in enumerate(run.operations) if one.outcome is None), len(run.operations))


def columns(run: RunData, first: int = 0) -> dict[str, list[Any]]:
    """All operations from `first` on, in the order in which they began: start times (each relative to the one before),
    durations (-1: did not end), and the numbers of client, action and outcome."""
    clients = {client: number for number, client in enumerate(run.clients)}
    actions = {action: number for number, action in enumerate(_actions(run))}
    outcomes = {outcome: number for number, outcome in enumerate(OUTCOMES)}
    found: dict[str, list[Any]] = {name: [] for name in ("id", "began", "took", "client", "action", "outcome", "own")}
    before = 0
    for operation in itertools.islice(run.operations, first, None):
        began = round(operation.began_seconds * _PER_SECOND)
        found["id"].append(printable(operation.id))
        found["began"].append(began - before)
        found["took"].append(-1 if operation.outcome is None else round((operation.seconds or 0) * _PER_SECOND))
        found["client"].append(clients[operation.client])
        found["action"].append(actions[operation.action])
        found["outcome"].append(outcomes.get(outcome_of(operation), outcomes["unknown"]))
        found["own"].append(int(operation.is_own))
        before = began
    return found


def detail_blocks(run: RunData) -> Iterator[list[list[Any]]]:
    """Details of single operations: step, reason, options, choices, commands."""
    keeps_all = len(run.operations) <= COMMANDS_ALL_MAX
    for first in range(0, len(run.operations), DETAILS_PER_BLOCK):
        yield [
            details_of(run, one, keeps_commands=keeps_all or one.outcome not in ("ok", "no_op"))
            for one in run.operations[first : first + DETAILS_PER_BLOCK]
        ]


def details_of(run: RunData, operation: OperationRow, *, keeps_commands: bool = True) -> list[Any]:
    """Details of one operation: step, reason, options, choices, commands and how many there are."""
    commands: Sequence[RanCommand] = run.commands.get(operation.id, ())
    return [
        operation.step,
        printable(operation.reason)[:2_000],
        _short(operation.options),
        _short(operation.resolved),
        [_command(command) for command in commands[:COMMANDS_SHOWN_MAX]] if keeps_commands else [],
        len(commands),
    ]


def _short(text: str) -> str:
    """JSON for people: an empty object is left out."""
    return "" if text in ("{}", "") else printable(_LONG_DIGEST.sub(r"\1…", text))[:2_000]


def _command(command: RanCommand) -> list[Any]:
    try:
        words = [str(word) for word in json.loads(command.argv)]
    except (ValueError, TypeError):
        words = [command.argv]
    shown = " ".join(word if len(word) <= ARGUMENT_LENGTH_MAX else f"{word[:ARGUMENT_LENGTH_MAX]}…" for word in words)
    return [printable(shown), round(command.seconds, 3), command.exit_code, int(command.timed_out)]
