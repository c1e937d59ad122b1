"""The table of known bugs of borg."""

from __future__ import annotations

from snapstorm.targets.borg.known_bugs.bench import MEASURED
from snapstorm.targets.borg.known_bugs.table import BUGS


def test_each_bug_is_measured_on_each_version() -> None:
    """And has words for people; the positive control shows everywhere."""
    for key, bug in BUGS.items():
        assert key == bug.key
        assert bug.bad | bug.good == set(MEASURED)
        assert bug.bad
        assert bug.title
        assert bug.provoked
    assert BUGS["positive-control"].is_in_all
    assert BUGS["7746"].is_expected("1.4.5") is False
    assert BUGS["7746"].is_expected("1.9.9") is None
