"""What commands leave in the directories in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapstorm.model.protocols import TargetPlace


def find_stray_files(place: TargetPlace, known: tuple[str, ...]) -> Sequence[Path]:
    """What lies in the directories of the server and of the clients that no command was told to write. `known`: how the
    names begin of what belongs there."""
    directories = [place.server, *place.directory.glob("clients/*/connection")]
    entries = [path for directory in directories if directory.is_dir() for path in directory.iterdir()]
    return [path for path in entries if not path.name.startswith(known)]
