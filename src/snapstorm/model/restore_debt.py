"""Restore debt: how much has happened to a snapshot that no restore has proven it to have survived.

Pure. What can lose a backup's bytes is time on a medium, garbage collections, and other versions of the program that
rewrite what they find. A sweep that can't take everything takes the greatest debts first.
"""

from __future__ import annotations

from dataclasses import dataclass

POINTS_UNPROVEN = 10.0
"""For a snapshot that was never restored as a whole and found equal."""
POINTS_PER_VERSION = 5.0
"""For each other version of the target that has run on the testbed since."""
POINTS_PER_COLLECTION = 2.0
POINTS_PER_DAY_SINCE = 1.0
POINTS_PER_DAY_OF_AGE = 0.1
"""Old snapshots share their oldest blobs with few others, so losing those shows in them alone."""


@dataclass(frozen=True)
class Unproven:
    """What has happened to one live snapshot since it was last proven, or else since it was taken."""

    is_verified: bool
    versions: int
    collections: int
    days_since: float
    age_days: float

    @property
    def debt(self) -> float:
        """The restore debt, in points: a plain sum, so that none of its parts can be starved by another."""
        return (
            (0.0 if self.is_verified else POINTS_UNPROVEN)
            + POINTS_PER_VERSION * self.versions
            + POINTS_PER_COLLECTION * self.collections
            + POINTS_PER_DAY_SINCE * self.days_since
            + POINTS_PER_DAY_OF_AGE * self.age_days
        )
