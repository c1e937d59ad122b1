"""The shape of the package is kept by test: tiers, purity, one place for clocks, and where Kopia may be named."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import snapstorm

ROOT = Path(snapstorm.__file__).parent
LINES_MAX = 560

TIERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli", "pytest_plugin"}),
    frozenset({"report"}),
    frozenset({"engine"}),
    frozenset({"faults"}),
    frozenset({"targets"}),
    frozenset({"filesystem", "ledger"}),
    frozenset({"plan"}),
    frozenset({"model"}),
    frozenset({"runtime", "version"}),
    frozenset({"errors"}),
)
"""From the top: each imports only from tiers below its own, or from its own package."""

KOPIA_NAMED_IN = frozenset({"cli.py", "pytest_plugin.py", "targets/choose.py", "engine/harness.py"})
"""Where a target is chosen by name; everything else that knows Kopia stands under targets/kopia."""

NOT_IN_PURE_LAYERS = frozenset({"time", "datetime", "socket", "subprocess", "shutil", "tempfile", "sqlite3", "anyio"})
OS_ALLOWED_IN_PURE_LAYERS = frozenset({"fsencode", "fsdecode"})


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def tier_of(package: str) -> int:
    return next(number for number, tier in enumerate(TIERS) if package in tier)


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of constants that are documentation: strings that stand alone."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_each_tier_imports_only_lower_ones(path: Path) -> None:
    """No module imports from a tier above its own, or from another package of its own tier."""
    package = package_of(path)
    if package == "__init__":
        return
    for imported in imports(ast.parse(path.read_text())):
        if imported.startswith("snapstorm."):
            other = imported.split(".")[1]
            assert other == package or tier_of(other) > tier_of(package), f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("path", [path for path in modules() if package_of(path) in ("model", "plan")], ids=name_of)
def test_pure_layers_do_no_io_and_read_no_clock(path: Path) -> None:
    """model and plan import nothing that reads a clock or touches the world, and draw from given streams only."""
    tree = ast.parse(path.read_text())
    assert not NOT_IN_PURE_LAYERS & {name.partition(".")[0] for name in imports(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os":
                assert node.attr in OS_ALLOWED_IN_PURE_LAYERS
            if node.value.id == "random":
                assert node.attr == "Random"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "open"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_wall_clocks_are_read_only_in_runtime(path: Path) -> None:
    """`time.time` and `datetime.now` stand in runtime alone, so that time can be replaced there."""
    if package_of(path) == "runtime":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("time", "time"), ("datetime", "now"), ("date", "today")}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_kopia_is_named_only_where_it_belongs(path: Path) -> None:
    """Code outside targets/kopia names Kopia only where a target is chosen; documentation may name it anywhere."""
    if name_of(path).startswith("targets/kopia/") or name_of(path) in KOPIA_NAMED_IN:
        return
    tree = ast.parse(path.read_text())
    documentation = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            assert "kopia" not in node.value.lower(), f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Name):
            assert "kopia" not in node.id.lower(), f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_modules_can_be_read_in_one_sitting(path: Path) -> None:
    """No module is longer than a few hundred lines, and `__init__.py` only re-exports."""
    text = path.read_text()
    assert text.count("\n") <= LINES_MAX
    if path.name == "__init__.py":
        for node in ast.parse(text).body:
            assert isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)), name_of(path)
