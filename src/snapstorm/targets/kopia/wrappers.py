"""Wrappers around the real Kopia. What misbehaves, and how, is the table in `wrapper_defects`."""

from __future__ import annotations

from pathlib import Path

from snapstorm.targets import wrapper_programs

HELPERS = r'''
config = pathlib.Path(os.environ.get("KOPIA_CONFIG_PATH", "/none/none"))
client = next((part for part in reversed(config.parts) if "@" in part), "")


def asks_for(*words):
    return argv[: len(words)] == list(words)


def bed():
    """The testbed whose command this is."""
    return next(parent for parent in config.parents if (parent / "secrets.toml").exists())


def secret(name):
    import tomllib

    return tomllib.loads((bed() / "secrets.toml").read_text())[name]
'''


def make_wrapper(directory: Path, real: Path, body: str) -> Path:
    """Make the program in a new private directory."""
    return wrapper_programs.make_wrapper(directory, real, body, HELPERS)
