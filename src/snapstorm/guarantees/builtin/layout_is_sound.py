"""layout-is-sound: at the end of a run, what is stored is looked at past the server, by the target's own rules."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import IrregularitySeen


class LayoutIsSound(JudgedGuarantee):
    """Judges what is against the rules of the layout."""

    id = Guarantee.LAYOUT_IS_SOUND
    sentence = "What is stored follows the rules of the target's own layout."

    @judges(IrregularitySeen)
    def judge_irregularity(self, seen: IrregularitySeen) -> Iterator[Finding]:
        yield Finding(seen.words, snapshot=seen.words, fingerprint=seen.words)
