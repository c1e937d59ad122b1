"""The public API: what `import snapstorm` gives, and how cheap it is not to use it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import snapstorm
from snapstorm import api
from snapstorm.model.protocols import Mode

ROOT = Path(__file__).parent.parent.parent
PUBLIC = ("snapstorm", "snapstorm.extending")


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded once it has done this."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return set(shown.stdout.split())


def test_the_package_exports_just_what_the_api_holds() -> None:
    """`__all__` says which names, `api` where each comes from."""
    held = {name for name in vars(api) if not name.startswith(("_", "@"))}
    assert held == set(snapstorm.__all__) - {"__version__"}
    for name in snapstorm.__all__:
        assert getattr(snapstorm, name) is not None


def test_what_is_not_exported_is_no_attribute() -> None:
    """A slip is told as of every module."""
    with pytest.raises(AttributeError, match="open_harnes"):
        snapstorm.open_harnes  # noqa: B018


def test_every_exported_class_and_function_is_explained() -> None:
    """docs/api.md is made from these docstrings."""
    assert not [name for name in snapstorm.__all__ if not (getattr(snapstorm, name).__doc__ or "").strip()]


@pytest.mark.parametrize("code", ["import snapstorm", "import snapstorm.pytest_plugin"])
def test_nothing_is_loaded_before_it_is_used(code: str) -> None:
    """Each session of pytest in an environment with snapstorm would wait for it."""
    loaded = {name for name in modules_after(code) if name.startswith("snapstorm.")}
    assert loaded <= {"snapstorm.version", "snapstorm.pytest_plugin"}


def test_the_plugin_knows_the_modes() -> None:
    """It can't import them."""
    source = (ROOT / "src/snapstorm/pytest_plugin.py").read_text()
    assert f"choices={[mode.value for mode in Mode]!r}".replace("'", '"') in source


def test_examples_use_the_public_api_alone() -> None:
    """Whoever copies one copies nothing that may change."""
    files = sorted((ROOT / "examples").rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not [name for name in modules if name.startswith("snapstorm") and name not in PUBLIC], file
