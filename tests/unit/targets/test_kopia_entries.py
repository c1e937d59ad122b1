"""What Kopia's manifest contents say of a snapshot, on answers as the real one gives them (0.23.1)."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from snapstorm.errors import OperationFailed
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.kopia.entries import EntryHistory

pytestmark = pytest.mark.anyio
SNAPSHOT = "817cb3d4e262025f14c7138643efe739"


class Stored:
    """Stands for Kopia: manifest contents by their ids, with what is in them and whether they are in use."""

    def __init__(self, **contents: tuple[bool, list[dict[str, Any]] | None]) -> None:
        self.contents = contents

    async def run(self, _actor: object, *words: str, seconds_max: float) -> CompletedCommand:
        assert seconds_max > 0
        if words[:2] == ("content", "list"):
            return ended(
                [
                    {"contentID": name, "packFile": f"q{name}", "time": 1_795_938_066 + number, "deleted": not is_used}
                    for number, (name, (is_used, _)) in enumerate(self.contents.items())
                ]
            )
        assert words[:3] == ("content", "show", "--unzip")
        entries = self.contents[words[3]][1]
        return ended({"entries": entries}) if entries is not None else ended(b"", 1)

    async def describe(self) -> str:
        history = EntryHistory(self, object())  # type: ignore[arg-type]  # only `ask` is called
        return (await history.describe([SNAPSHOT]))[SNAPSHOT]


def ended(stdout: object, exit_code: int = 0) -> CompletedCommand:
    output = stdout if isinstance(stdout, bytes) else json.dumps(stdout).encode()
    return CompletedCommand(("kopia",), {}, exit_code, output, b"content not found", 0.0, 0.1)


LIVE = {"id": SNAPSHOT, "labels": {"type": "snapshot"}, "modified": "2026-11-29T07:41:06Z", "data": {}}
TOMBSTONE = {"id": SNAPSHOT, "labels": None, "modified": "2026-11-29T07:41:07Z", "deleted": True}
OTHER = {"id": "5e4b06e318bf582802e78cb8327f3616", "modified": "2026-11-29T07:41:05Z"}


async def test_a_deletion_that_a_compaction_has_undone_shows() -> None:
    """The tombstone was replaced together with what it buried, and what was in use before is in use again."""
    told = await Stored(
        m1=(False, [LIVE]), m2=(False, [TOMBSTONE]), m3=(False, [OTHER]), m4=(True, [OTHER, LIVE])
    ).describe()
    assert "4 manifest contents, 1 of them in use" in told
    assert (
        "deleted at 2026-11-29T07:41:07Z: content m2 (1 entries), replaced, or deleted, 2026-11-29 07:41:07, pack qm2"
    ) in told
    assert "entered at 2026-11-29T07:41:06Z: content m4 (2 entries), in use since 2026-11-29 07:41:09, pack qm4" in told
    assert "It was deleted, and is entered again" in told
    assert "deleted-comes-back" in told


@pytest.mark.parametrize(
    ("stored", "conclusion"),
    [
        (Stored(m1=(True, [LIVE]), m2=(True, [TOMBSTONE])), "It is entered, and so is its deletion"),
        (Stored(m1=(True, [LIVE])), "no content that is in use says that it was deleted"),
        (Stored(m1=(False, [LIVE]), m2=(False, [TOMBSTONE])), "No content that is in use enters it"),
        (Stored(m1=(True, [TOMBSTONE])), "No content that is in use enters it"),
        (Stored(m1=(True, [OTHER])), "No content mentions it."),
        (Stored(), "No content mentions it."),
    ],
)
async def test_what_it_comes_to_is_said(stored: Stored, conclusion: str) -> None:
    assert conclusion in await stored.describe()


async def test_a_content_that_can_not_be_read_is_named() -> None:
    told = await Stored(m1=(True, [LIVE]), m2=(True, None)).describe()
    assert "content m2 can't be read: kopia content show ended with exit status 1: content not found" in told


async def test_what_there_is_no_time_for_is_said_and_read_the_next_time() -> None:
    """What is in use comes first; what was read is not read again."""

    class Slow(Stored):
        shown, answers_left = 0, 8

        async def run(self, actor: object, *words: str, seconds_max: float) -> CompletedCommand:
            if words[:2] == ("content", "show"):
                if self.answers_left == 0:
                    await anyio.sleep_forever()
                self.answers_left -= 1
                self.shown += 1
            return await super().run(actor, *words, seconds_max=seconds_max)

    old = {f"m{number}": (False, [TOMBSTONE]) for number in range(100)}
    stored = Slow(**old, m100=(True, [LIVE]))
    history = EntryHistory(stored, object(), reading_seconds_max=0.2)  # type: ignore[arg-type]  # only `ask` is called
    told = (await history.describe([SNAPSHOT]))[SNAPSHOT]
    assert "were not read in time" in told
    assert "content m100 (1 entries), in use" in told
    assert "content m99 (1 entries), replaced" in told
    before = stored.shown
    for _ in range(30):
        stored.answers_left = 8
        told = (await history.describe([SNAPSHOT]))[SNAPSHOT]
        if "not read in time" not in told:
            break
    assert "not read in time" not in told
    assert before < stored.shown <= 101


async def test_a_kopia_that_says_nothing_sensible_is_an_error() -> None:
    class Silent(Stored):
        async def run(self, _actor: object, *words: str, seconds_max: float) -> CompletedCommand:
            return ended(b"not JSON")

    with pytest.raises(OperationFailed, match="JSON can.t be read"):
        await Silent().describe()
