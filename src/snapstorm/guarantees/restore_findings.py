"""What a restore shows that differs or fails, under whichever guarantee."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.model.guarantees import Finding
from snapstorm.model.manifest import show_path
from snapstorm.model.seen import RestoreFailureSeen, RestoreSeen

_IN_DETAIL_MAX = 3


def difference_of(seen: RestoreSeen) -> Iterator[Finding]:
    """A restore that differs from what was promised."""
    if not seen.differences:
        return
    where = f" (its part {show_path(seen.sub_path)})" if seen.sub_path else ""
    more = seen.differences - _IN_DETAIL_MAX
    yield Finding(
        f"the restore of snapshot {seen.snapshot}{where} differs in {seen.differences} place(s) from what was written: "
        + "; ".join(seen.words[:_IN_DETAIL_MAX])
        + (f"\nand {more} more" if more > 0 else ""),
        seen.snapshot,
        seen.expectation,
        path=seen.path,
        fingerprint=seen.fingerprint,
    )


def failure_of(seen: RestoreFailureSeen) -> Finding:
    """A restore that has failed twice."""
    return Finding(
        seen.words,
        seen.snapshot,
        seen.expectation,
        fingerprint="can't be restored",
        texts={"output.txt": seen.output},
    )
