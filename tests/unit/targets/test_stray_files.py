"""What commands leave in the directories in which they run."""

from __future__ import annotations

from pathlib import Path

from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.stray_files import find_stray_files


def test_what_nobody_was_told_to_write_is_found(tmp_path: Path) -> None:
    """In the server's directory and in those of clients; what clients back up is not looked at."""
    place = TargetPlace("bed", tmp_path, FileSecretStore(tmp_path / "secrets.toml"))
    for name in ("server/server.log", "server/core", "clients/c1/connection/cache", "clients/c1/connection/trace.out"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "clients" / "c1" / "data").mkdir()
    found = find_stray_files(place, ("server", "cache"))
    assert sorted(str(path.relative_to(tmp_path)) for path in found) == [
        "clients/c1/connection/trace.out",
        "server/core",
    ]
