"""Evidence directories: one for each violation, with what explains it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from snapstorm.ledger.record import RecordedOperation
from snapstorm.model.actions import ACTIONS, describe
from snapstorm.model.readable import readable


class EvidenceKeeper:
    """Gives each violation of a run a directory, and stores what explains the violation there."""

    def __init__(self, directory: Path, count: int = 0) -> None:
        """`count`: how many there are already."""
        self._directory = directory
        self._count = count

    def new_directory(self, guarantee: str) -> Path:
        """A new directory for one violation of this guarantee."""
        self._count += 1
        path = self._directory / f"{self._count:03}-{guarantee}"
        path.mkdir(parents=True, mode=0o700)
        return path


def write_texts(directory: Path, texts: Mapping[str, str]) -> None:
    """Write each text to its file name; empty texts are left out."""
    for name, text in texts.items():
        if text:
            shown = readable(text if text.endswith("\n") else f"{text}\n")
            (directory / name).write_text(shown, encoding="utf-8")


def as_program(seed: int, client: str, history: Iterable[RecordedOperation]) -> str:
    """A client's last actions as a small program: the calls that do the same with the library."""
    name = re.sub(r"\W", "_", client.partition("@")[0])
    lines = [f"# seed {seed}; the choices that the actions left open are in the comments", f"async def {name}(client):"]
    for past in history:
        action = describe(ACTIONS[past.action](**past.options))
        snapshot = f"snapshot_{re.sub(r'[^0-9A-Za-z]', '_', past.id)} = " if past.action.startswith("snapshot-") else ""
        resolved = f"  {json.dumps(past.resolved)}" if past.resolved else ""
        outcome = past.outcome or "still running"
        lines.append(f"    {snapshot}await client.execute({action})  # {past.id}: {outcome}{resolved}")
    return "\n".join(lines)
