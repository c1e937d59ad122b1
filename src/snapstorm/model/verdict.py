"""Verdicts: what a run has shown, decided purely from what it counted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from snapstorm.model.guarantees import Violation
from snapstorm.model.outcomes import OUTCOME_KEYS


class Verdict(StrEnum):
    """What a run has shown."""

    PASS = "pass"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"
    """Nothing broke, but nothing was judged either."""
    ERROR = "error"
    """The harness or the machine could not do its part."""
    INTERRUPTED = "interrupted"


JUDGED = (Verdict.PASS, Verdict.VIOLATED)
"""After any other, something was left unjudged."""

EXIT_STATUS: dict[Verdict, int] = {
    Verdict.PASS: 0,
    Verdict.VIOLATED: 1,
    Verdict.ERROR: 3,
    Verdict.INCONCLUSIVE: 4,
    Verdict.INTERRUPTED: 130,
}


@dataclass
class Tally:
    """What a run counted; everything that the verdict and the summary are made of."""

    actions: dict[str, dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: dict.fromkeys(OUTCOME_KEYS, 0))
    )
    """By action key: how many ended `ok`, `no_op`, `locked`, `failed`, `unknown`."""
    violations: list[Violation] = field(default_factory=list)
    known_violations: list[Violation] = field(default_factory=list)
    """Losses that a user has accepted, seen again."""
    snapshots_acknowledged: int = 0
    snapshots_expired: int = 0
    """Those that a retention policy has ended, as was promised."""
    restores_verified: int = 0
    restores_verified_earlier_runs: int = 0
    """Of these, restores of snapshots that an earlier run took."""
    entries_verified: int = 0
    """Entries other than roots that were compared in them."""
    bytes_verified: int = 0
    links_verified: int = 0
    """Restores in which a link was compared."""
    empty_directories_verified: int = 0
    """Restores in which an empty directory below the root was compared."""
    isolates_clients: bool = False
    """The server promises to show each client its own snapshots only, so that this was judged."""
    refused: dict[str, int] = field(default_factory=dict)
    """By who tried to get in and must not: how often the target refused them."""
    refusals_unjudged: list[str] = field(default_factory=list)
    """Who tried to get in and must not, and each time got an error that is no refusal, though no fault was active."""
    restores_narrowed: int = 0
    """Restores compared by fewer properties than their snapshots promised, for lack of rights here and now."""
    sweep_verified: int = 0
    sweep_left: int = 0
    """Live snapshots that the final sweep did not get to."""
    sweep_unverified: int = 0
    """Live snapshots that the sweep got to, and that did not come back exactly; without those known to be lost."""
    timed_out_unconfirmed: int = 0
    """Operations that timed out, or were locked out until then, and could not be repeated: nothing is known of them."""
    unaccounted: int = 0
    """Snapshots that a copied ledger promised, and that are not listed: whether their deletion was asked for after the
    copy was made is not known."""
    settings_unjudged: int = 0
    """Differences and failures that were not judged, because somebody changed the target's settings meanwhile."""
    refused_by_design: int = 0
    """Operations that the target refused to an older version of itself."""
    locked_out: int = 0
    """How often the target refused an operation because of a lock. It was asked again."""
    faults_asked: bool = False
    """Faults were asked for, so that a run in which none struck has not shown what it was to show."""
    faults: dict[str, int] = field(default_factory=dict)
    """How often each fault struck, by its key."""
    failed_under_faults: int = 0
    """Operations that failed because of a fault, which violates nothing."""
    tainted_lost: int = 0
    """Snapshots taken while storage was damaged that can't be restored: Kopia does not look at what they refer to
    (#3492)."""
    server_max: tuple[int, int] = (0, 0)
    """The most files that the server's processes have had open, and the most bytes of memory that they have held, at
    any sample; zeros where there are none of our own."""
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    is_interrupted: bool = False
    is_sweep_only: bool = False

    def count_fault(self, key: str) -> None:
        self.faults[key] = self.faults.get(key, 0) + 1


def decide(tally: Tally) -> tuple[Verdict, str]:
    """The verdict, and the reason in words. A violation outweighs all else; nothing judged is never a pass."""
    if tally.violations:
        names = ", ".join(sorted({violation.guarantee.value for violation in tally.violations}))
        return Verdict.VIOLATED, f"{len(tally.violations)} violation(s) of {names}"
    if tally.is_interrupted:
        return Verdict.INTERRUPTED, "ended by a signal before it was done; nothing found until then"
    if tally.error is not None:
        return Verdict.ERROR, tally.error
    missing = _what_was_not_judged(tally)
    if missing:
        return Verdict.INCONCLUSIVE, missing
    return Verdict.PASS, f"{tally.restores_verified} restores equal what was written, byte for byte"


def _what_was_not_judged(tally: Tally) -> str:
    if tally.settings_unjudged:
        return (
            f"{tally.settings_unjudged} finding(s) could not be judged, because settings of the server were changed "
            "during the run"
        )
    if tally.sweep_unverified:
        return f"{tally.sweep_unverified} live snapshot(s) could not be verified by the sweep"
    if tally.timed_out_unconfirmed:
        return f"{tally.timed_out_unconfirmed} operation(s) timed out or were locked out, and could not be repeated"
    if tally.unaccounted:
        return (
            f"{tally.unaccounted} snapshot(s) that the copied ledger promised are not listed: deleted after the copy "
            "was made, or lost"
        )
    if tally.refusals_unjudged:
        who = ", ".join(dict.fromkeys(tally.refusals_unjudged))
        return f"whether {who} is refused could not be judged: each try failed for another reason"
    if tally.restores_verified == 0:
        return "no restore was verified, so nothing is known about the backups"
    if tally.entries_verified == 0:
        return "every restored tree was empty, so nothing is known about the backups"
    if tally.faults_asked and not tally.faults:
        return "no fault struck, so nothing is known about what was to be broken"
    if not tally.is_sweep_only and tally.snapshots_acknowledged == 0:
        return "no snapshot was taken, so nothing new was tested"
    return ""
