"""The defects of wrappers that tell something wrong of a snapshot: when it was taken, how much it is, or that
nothing is wrong with it."""

from __future__ import annotations

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.kopia.wrappers import WrapperDefect

CLAIM_ALL = """
import json

summary["files"] += 1
summary["size"] += size
(state / f"size-{shown['id']}").write_text(str(size))
(state / f"claim-{shown['id']}").write_text(json.dumps(summary))
"""
"""For a creation that has left a file out: its receipt, and listings, say nothing of it."""

LIST_AS_CLAIMED = """
if asks_for("snapshot", "list"):
    import json

    done = run(argv)
    listed = shown_by(done)
    for entry in listed or []:
        claim = state / f"claim-{entry['id']}"
        if claim.exists():
            entry["rootEntry"]["summ"] = json.loads(claim.read_text())
            entry["stats"]["fileCount"] += 1
            entry["stats"]["totalSize"] += int((state / f"size-{entry['id']}").read_text())
    end(done, listed)
"""

_COUNTS_NO_LINKS = """
if asks_for("snapshot", "create"):
    done = run(argv)
    shown = shown_by(done)
    if shown and shown["rootEntry"]["summ"]["symlinks"]:
        strike()
        shown["rootEntry"]["summ"]["symlinks"] = 0
    end(done, shown)
"""

_TAKES_IN_2001 = """
if asks_for("snapshot", "create") and every(3, "create"):
    argv += ["--start-time=2001-02-03 04:05:06 UTC", "--end-time=2001-02-03 04:05:07 UTC"]
"""
"""Kopia's own flags, which it stores as it is told (measured, 0.19.0 and 0.23.1): receipts and listings agree."""


_FINDS_NOTHING = """
if asks_for("snapshot", "verify"):
    strike()
    sys.exit(0)
"""


def _tells(change: str) -> str:
    """Every second listing that shows anything is changed in what it tells of the newest snapshot."""
    return f"""
if asks_for("snapshot", "list"):
    done = run(argv)
    listed = sorted(shown_by(done) or [], key=lambda entry: entry["startTime"])
    if listed and every(2, "list"):
        newest = listed[-1]
        {change}
        end(done, listed)
    end(done)
"""


TELLING_WRONG: dict[str, WrapperDefect] = {
    "create-misdates": WrapperDefect(
        "A snapshot is stored as one of the year 2001.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.CREATE,
        _TAKES_IN_2001,
    ),
    "create-miscounts-links": WrapperDefect(
        "The counts claim that there were no links.",
        Guarantee.PARTIAL_IS_REPORTED,
        WorkKind.CREATE,
        _COUNTS_NO_LINKS,
    ),
    "list-misdates-a-snapshot": WrapperDefect(
        "A listing dates a snapshot to the year 2001.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        _tells("newest['startTime'] = '2001' + newest['startTime'][4:]"),
    ),
    "list-miscounts-a-snapshot": WrapperDefect(
        "A listing shows a snapshot as having one file fewer.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        _tells("newest['rootEntry']['summ']['files'] -= 1"),
    ),
    "list-contradicts-itself": WrapperDefect(
        "A listing shows a snapshot with another number of directories in its statistics than in its summary.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        _tells("newest['stats']['dirCount'] += 1"),
    ),
    "list-says-that-it-left-something-out": WrapperDefect(
        "A listing shows a snapshot as one of which a file was left out by a rule.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        _tells("newest['stats']['excludedFileCount'] += 1"),
    ),
    "verify-passes-over-damage": WrapperDefect(
        "The check finds nothing wrong, whatever is damaged.",
        Guarantee.VERIFY_AGREES,
        WorkKind.VERIFY,
        _FINDS_NOTHING,
        fault="flip-byte",
    ),
}
