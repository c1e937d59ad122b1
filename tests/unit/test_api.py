"""The public API: what `import snapstorm` gives, and how cheap it is not to use it."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import snapstorm
from snapstorm import extending
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


@pytest.mark.parametrize("package", [snapstorm, extending])
def test_each_name_is_exported_from_where_type_checkers_find_it(package: ModuleType) -> None:
    """What is imported for type checkers alone is what is loaded from there when it is used."""
    imports = [node for node in ast.walk(ast.parse(inspect.getsource(package))) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith("snapstorm.")]
    assert sorted(alias.asname or "" for node in ours for alias in node.names) == [*package.__all__]
    for node in ours:
        for alias in node.names:
            assert getattr(package, alias.name) is getattr(import_module(node.module or ""), alias.name)


@pytest.mark.parametrize("package", [snapstorm, extending])
def test_what_is_not_exported_is_no_attribute(package: ModuleType) -> None:
    """A slip is told as of every module."""
    with pytest.raises(AttributeError, match="open_harnes"):
        package.open_harnes  # noqa: B018


@pytest.mark.parametrize("package", [snapstorm, extending])
def test_every_exported_class_and_function_is_explained(package: ModuleType) -> None:
    """docs/api.md is made from these docstrings."""
    exported = [getattr(package, name) for name in package.__all__]
    explainable = [one for one in exported if isinstance(one, type | FunctionType)]
    assert explainable
    assert not [one.__name__ for one in explainable if not (one.__doc__ or "").strip()]


@pytest.mark.parametrize("module", ["snapstorm", "snapstorm.extending", "snapstorm.pytest_plugin"])
def test_nothing_is_loaded_before_it_is_used(module: str) -> None:
    """Each session of pytest in an environment with snapstorm would wait for it, and each command where an extension
    is installed."""
    loaded = {name for name in modules_after(f"import {module}") if name.startswith("snapstorm.")}
    assert loaded <= {"snapstorm.version", module}


def test_a_target_of_another_distribution_loads_only_what_it_uses() -> None:
    """Each command asks every target that is installed for its options."""
    code = "from snapstorm import ConfigError, Mode\nfrom snapstorm.extending import PlainTarget, TargetPlugin"
    assert not modules_after(code) & {"snapstorm.run.harness", "snapstorm.actions.performer", "snapstorm.faults.fault"}


@pytest.mark.parametrize(
    "module",
    [
        "snapstorm",
        "snapstorm.run.harness",
        "snapstorm.cli.main",
        "snapstorm.cli.host_machine",
        "snapstorm.machines.hub",
    ],
)
def test_the_transport_of_machines_is_loaded_only_by_who_uses_it(module: str) -> None:
    """It is optional, and takes half a second. Without it, every other command works."""
    assert not modules_after(f"import {module}") & {"distributed", "dask", "tornado"}


def test_a_run_loads_no_certificates_unless_it_makes_some() -> None:
    """They take 0.02 s of each start."""
    assert not modules_after("import snapstorm.run.harness") & {"cryptography", "snapstorm.machines.hub"}


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
