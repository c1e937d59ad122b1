"""The shape of the package is kept by test: tiers, purity, one place for clocks, and where Kopia may be named.

Each rule is a function from a module's tree to what is wrong in it, so that the rules themselves can be tested on
planted violations.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import pytest

import snapstorm

Rule: TypeAlias = Callable[[str, ast.Module], Iterator[str]]
"""From a module's name, such as `model/actions.py`, and its tree: one line for each thing that is wrong."""

ROOT = Path(snapstorm.__file__).parent

LINES_MAX = 400
LONGER: dict[str, int] = {}
"""Modules that are allowed to be longer, and how long. To be split, not added to."""

PARAMETERS_MAX = 8
METHODS_MAX = 25

PATCHES_MAX = 7
"""`monkeypatch.setattr` in all unit tests together."""

TIERS: tuple[frozenset[str], ...] = tuple(
    frozenset(tier.split())
    for tier in (
        "__main__",
        "cli pytest_plugin extending",
        "pytest_harness",
        "report",
        "calibration comparison exploration",
        "replay",
        "run",
        "persistence",
        "actions",
        "guarantees",
        "testbed",
        "faults",
        "remote",
        "targets",
        "defects",
        "filesystem ledger gateway machines",
        "scenario",
        "model",
        "runtime version",
        "errors",
    )
)
"""From the top: each imports only from tiers below its own, or from its own package. `errors` stands a step below
`runtime`, which raises them."""

KOPIA_NAMED_IN = frozenset({"cli/option_groups.py", "pytest_harness.py", "pytest_plugin.py", "targets/registry.py"})
"""The short forms `--kopia` and `--snapstorm-kopia` that people know, and the name of the default target; everything
else that knows Kopia stands under targets/kopia."""

TARGET_FOLDERS = frozenset(path.parent.name for path in (ROOT / "targets").glob("*/__init__.py"))

IMPURE_MODULES = frozenset(
    {"anyio", "asyncio", "fcntl", "glob", "io", "secrets", "shutil", "socket", "sqlite3", "subprocess"}
    | {"tempfile", "threading", "time", "uuid"}
)
IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "__import__"})
PURE_ATTRIBUTES = {
    "os": frozenset({"fsencode", "fsdecode"}),
    "random": frozenset({"Random"}),
    "datetime": frozenset({"date"}),
    "date": frozenset({"fromordinal", "max"}),
}
"""What the pure layers may use of modules and classes that can also do I/O, read a clock or the machine's time zone, or
draw from global state. A `date` from a number of days is mere arithmetic: the calendar is the same everywhere."""

PATH_IO = frozenset(
    {"absolute", "chmod", "cwd", "exists", "expanduser", "glob", "hardlink_to", "home", "is_dir", "is_file", "is_mount"}
    | {"is_symlink", "iterdir", "lchmod", "lstat", "mkdir", "open", "owner", "read_bytes", "read_text", "readlink"}
    | {"rename", "resolve", "rglob", "rmdir", "samefile", "stat", "symlink_to", "touch", "unlink", "walk"}
    | {"write_bytes", "write_text"}
)
"""Methods by which a `Path`, in the pure layers a mere type, would reach the disk."""

WALL_CLOCKS = {
    "time": frozenset({"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime"}),
    "datetime": frozenset({"now", "utcnow", "today"}),
    "date": frozenset({"today"}),
}

TIMED = frozenset({"actions", "faults", "guarantees", "persistence", "run", "testbed"})
"""Packages whose parts are given the run's clock."""
REAL_WAITS: dict[str, frozenset[str]] = {
    "anyio": frozenset({"current_time", "fail_after", "move_on_after", "sleep"}),
    "time": frozenset({"monotonic", "perf_counter", "sleep"}),
}
REALLY_WAITING = frozenset({"faults/mounts.py", "faults/troubled_disk.py"})
"""They wait for what the kernel does."""


def package_of(name: str) -> str:
    return name.partition("/")[0].removesuffix(".py")


def tier_of(package: str) -> int:
    found = [number for number, tier in enumerate(TIERS) if package in tier]
    assert found, f"{package} has no tier"
    return found[0]


def imports(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Everything imported, as (module, name): `import a.b` gives (a.b, None), `from a import b as c` gives (a, b)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def aliases(tree: ast.Module) -> dict[str, str]:
    """For each name that an import binds to a module or class: what that is called at home (`import time as t`)."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {alias.asname: alias.name for alias in node.names if alias.asname}
    return bound


def attributes(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Every `owner.attribute`, by the last name of its owner as that is called at home, with its line."""
    called = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            if isinstance(owner, ast.Name):
                yield called.get(owner.id, owner.id), node.attr, node.lineno
            elif isinstance(owner, ast.Attribute):
                yield owner.attr, node.attr, node.lineno


def wrong_tiers(name: str, tree: ast.Module) -> Iterator[str]:
    package = package_of(name)
    for module, imported in imports(tree):
        if module.startswith("."):
            yield f"{name}: imports are absolute, not {module}"
            continue
        top, *rest = module.split(".")
        if top != "snapstorm":
            continue
        other = rest[0] if rest else imported
        if other is None or other == "__version__":  # The one thing that the package itself re-exports.
            continue
        if other != package and tier_of(other) <= tier_of(package):
            yield f"{name} imports {module}, which is not below it"


def impurities(name: str, tree: ast.Module) -> Iterator[str]:
    for module, imported in imports(tree):
        top = module.partition(".")[0]
        if top in IMPURE_MODULES:
            yield f"{name} imports {module}"
        if imported is not None and top in PURE_ATTRIBUTES and imported not in PURE_ATTRIBUTES[top]:
            yield f"{name} imports {module}.{imported}"
    for owner, attribute, line in attributes(tree):
        if owner in PURE_ATTRIBUTES and attribute not in PURE_ATTRIBUTES[owner]:
            yield f"{name}:{line} uses {owner}.{attribute}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield f"{name}:{node.lineno} calls {node.func.id}"
        if isinstance(node.func, ast.Attribute) and node.func.attr in PATH_IO:
            yield f"{name}:{node.lineno} calls .{node.func.attr}()"
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == "Random" and not node.args:
            yield f"{name}:{node.lineno} draws from a stream without a seed"


def wall_clocks(name: str, tree: ast.Module) -> Iterator[str]:
    for module, imported in imports(tree):
        if module == "time" and imported in WALL_CLOCKS["time"]:
            yield f"{name} imports time.{imported}"
    for owner, attribute, line in attributes(tree):
        if attribute in WALL_CLOCKS.get(owner, ()):
            yield f"{name}:{line} reads {owner}.{attribute}"


def real_waits(name: str, tree: ast.Module) -> Iterator[str]:
    for module, imported in imports(tree):
        if imported in REAL_WAITS.get(module, ()):
            yield f"{name} imports {module}.{imported}"
    for owner, attribute, line in attributes(tree):
        if attribute in REAL_WAITS.get(owner, ()):
            yield f"{name}:{line} goes by {owner}.{attribute}, not by the run's clock"


def kopias(name: str, tree: ast.Module) -> Iterator[str]:
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) in documentation:
            continue
        for field in ("id", "attr", "name", "arg", "asname", "module", "value"):
            value = getattr(node, field, None)
            value = value.decode(errors="replace") if isinstance(value, bytes) else value
            if isinstance(value, str) and "kopia" in value.lower():
                yield f"{name}:{getattr(node, 'lineno', '?')} names {value!r}"


def single_targets(name: str, tree: ast.Module) -> Iterator[str]:
    parts = PurePosixPath(name).parts
    own = parts[1] if parts[0] == "targets" and len(parts) > 2 else None
    for module, imported in imports(tree):
        if module.startswith("snapstorm.targets"):
            folder = [*module.split("."), imported][2]
            if folder in TARGET_FOLDERS and folder != own:
                yield f"{name} imports {module}, which is one target's"


def more_than_exports(name: str, tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.ImportFrom(module=str(module)) if module == "__future__" or module.startswith("snapstorm."):
                pass
            case ast.Assign(targets=[ast.Name("__all__")]):
                pass
            case _:
                yield f"{name}:{node.lineno} does more than re-export"


def parameters(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Each function and each class that is not frozen, with how many parameters it takes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            yield f"{name} {node.name}", len(given) - (given[:1] in (["self"], ["cls"]))
        elif isinstance(node, ast.ClassDef) and is_mutable_dataclass(node):
            fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
            passed = [field for field in fields if not re.search(r"ClassVar\[|init=False", ast.unparse(field))]
            # One whose fields all have defaults is a record that begins empty: nobody has to pass anything.
            yield f"{name} {node.name}", len(passed) if any(field.value is None for field in passed) else 0


def is_mutable_dataclass(node: ast.ClassDef) -> bool:
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(text.startswith("dataclass") and "frozen=True" not in text for text in decorators)


def public_methods(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Each class, with how many public methods and properties it defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            methods = {
                method.name for method in node.body if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            yield f"{name} {node.name}", sum(not method.startswith("_") for method in methods)


def patches_and_fakes(tree: ast.Module) -> tuple[int, int]:
    """How often a test patches an attribute, and how often it fakes a class of ours by a `SimpleNamespace`."""
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return called.count("monkeypatch.setattr"), sum(name.endswith("SimpleNamespace") for name in called)


@functools.cache
def modules() -> Mapping[str, ast.Module]:
    """All modules of the package, by name; parsed at the first use, which most processes of pytest don't come to."""
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def broken(rule: Rule, names: Iterable[str]) -> list[str]:
    """All that is wrong in these modules."""
    return [line for name in names for line in rule(name, modules()[name])]


def test_each_tier_imports_only_lower_ones() -> None:
    """No module imports from a tier above its own, or from another package of its own tier."""
    assert not broken(wrong_tiers, modules().keys() - {"__init__.py"})


def test_pure_layers_do_no_io_and_read_no_clock() -> None:
    """model and scenario import nothing that reads a clock or touches the world, and draw from given streams only."""
    assert not broken(impurities, [name for name in modules() if package_of(name) in ("model", "scenario")])


def test_wall_clocks_are_read_only_in_runtime() -> None:
    """`time.time`, `datetime.now` and their like stand in runtime alone, so that time can be replaced there."""
    assert not broken(wall_clocks, [name for name in modules() if package_of(name) != "runtime"])


def test_runs_go_by_the_clock_that_they_are_given() -> None:
    """So that a test can let hours pass at no cost. What waits for real processes or disks to end takes real time."""
    names = [name for name in modules() if package_of(name) in TIMED and name not in REALLY_WAITING]
    assert not broken(real_waits, names)


def test_kopia_is_named_only_where_it_belongs() -> None:
    """Code outside targets/kopia names Kopia only for known spellings and the default; documentation may name it."""
    naming = {name for name in modules() if not name.startswith("targets/kopia/") and broken(kopias, [name])}
    assert naming == KOPIA_NAMED_IN


def test_a_target_is_imported_by_nobody_else() -> None:
    """Each is found by its name through its entry point, ours like those of other distributions."""
    assert len(TARGET_FOLDERS) >= 2
    assert not broken(single_targets, modules())


def test_package_files_only_re_export() -> None:
    """An `__init__.py` holds a docstring, imports from the package, and `__all__`."""
    assert not broken(more_than_exports, [name for name in modules() if name.endswith("/__init__.py")])


def test_modules_can_be_read_in_one_sitting() -> None:
    """No module is longer than a few hundred lines."""
    lines = {name: (ROOT / name).read_text().count("\n") for name in modules()}
    assert {name: count for name, count in lines.items() if count > LINES_MAX}.keys() == LONGER.keys()
    assert not {name: lines[name] for name, most in LONGER.items() if lines[name] > most}


def exceeding(count: Callable[[str, ast.Module], Iterator[tuple[str, int]]], most: int) -> list[str]:
    """What exceeds a limit."""
    counted = [found for name, tree in modules().items() for found in count(name, tree)]
    return [f"{what}: {number}" for what, number in counted if number > most]


def test_functions_and_classes_take_few_parameters() -> None:
    """More belong into a frozen dataclass that has a name."""
    assert not exceeding(parameters, PARAMETERS_MAX)


def test_classes_have_few_public_methods() -> None:
    """More are two classes."""
    assert not exceeding(public_methods, METHODS_MAX)


def test_unit_tests_pass_what_a_part_needs() -> None:
    """To its constructor, and not by patching modules or by faking classes of ours."""
    counts = [patches_and_fakes(ast.parse(path.read_text())) for path in Path(__file__).parent.rglob("*.py")]
    assert sum(patches for patches, _ in counts) <= PATCHES_MAX
    assert sum(fakes for _, fakes in counts) == 0


@pytest.mark.parametrize(
    ("count", "source", "found"),
    [
        (parameters, "def f(a, b, /, c, *d, e, **g): ...", [("a.py f", 4)]),
        (parameters, "class A:\n    async def f(self, a): ...", [("a.py f", 1)]),
        (parameters, "@dataclass\nclass A:\n    a: int\n    b: ClassVar[int]\n    c: int = 1", [("a.py A", 2)]),
        (
            parameters,
            "@dataclass\nclass A:\n    a: int = 0\n    b: list[int] = field(default_factory=list)",
            [("a.py A", 0)],
        ),
        (parameters, "@dataclass(eq=False)\nclass A:\n    a: int = field(init=False)", [("a.py A", 0)]),
        (parameters, "@dataclass(frozen=True)\nclass A:\n    a: int", []),
        (public_methods, "class A:\n    def _f(self): ...\n    def g(self): ...\n    x = 1", [("a.py A", 1)]),
    ],
)
def test_what_is_limited_is_counted(
    count: Callable[[str, ast.Module], Iterator[tuple[str, int]]], source: str, found: list[tuple[str, int]]
) -> None:
    """Neither `self` nor what a constructor does not take."""
    assert list(count("a.py", ast.parse(source))) == found


def test_patches_and_fakes_are_counted() -> None:
    """Whatever they are called on."""
    source = (
        "monkeypatch.setattr(a, 'b', 1)\nmonkeypatch.setenv('a', 'b')\ntypes.SimpleNamespace()\nSimpleNamespace(a=1)"
    )
    assert patches_and_fakes(ast.parse(source)) == (1, 2)


def test_no_module_name_stands_twice() -> None:
    """A name says which module is meant. The folders of targets are alike on purpose."""
    homes: dict[str, list[str]] = {}
    for name in modules():
        stem = PurePosixPath(name).stem
        if stem != "__init__":
            homes.setdefault(stem, []).append(name)
    twice = {stem: names for stem, names in homes.items() if len(without_parallel_targets(names)) > 1}
    assert not twice


def test_no_class_name_stands_twice() -> None:
    """A name says which class is meant. The folders of targets are alike on purpose."""
    homes: dict[str, list[str]] = {}
    for name, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(name)
    twice = {name: modules for name, modules in homes.items() if len(without_parallel_targets(modules)) > 1}
    assert not twice


def without_parallel_targets(names: Iterable[str]) -> set[str]:
    """The same modules; those of parallel folders of targets count as one."""
    return {re.sub(r"^targets/\w+/", "targets/", name) for name in names}


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (wrong_tiers, "model/a.py", "from snapstorm.testbed.context import RunContext"),
        (wrong_tiers, "model/a.py", "import snapstorm.scenario.seeds"),
        (wrong_tiers, "ledger/a.py", "from snapstorm import filesystem"),
        (wrong_tiers, "ledger/a.py", "from .ledger import Ledger"),
        (wrong_tiers, "actions/a.py", "def f():\n    from snapstorm.report import summary"),
        (impurities, "scenario/a.py", "import time"),
        (impurities, "scenario/a.py", "from datetime import datetime"),
        (impurities, "scenario/a.py", "import datetime\ndatetime.datetime(1, 1, 1)"),
        (impurities, "scenario/a.py", "from datetime import date\ndate.today()"),
        (impurities, "scenario/a.py", "import datetime as d\nd.date.today()"),
        (impurities, "scenario/a.py", "from datetime import date as d\nd.fromtimestamp(0)"),
        (impurities, "scenario/a.py", "import os\nos.listdir('.')"),
        (impurities, "scenario/a.py", "import os as x\nx.getcwd()"),
        (impurities, "scenario/a.py", "from os import stat"),
        (impurities, "scenario/a.py", "import os\nos.path.exists('.')"),
        (impurities, "scenario/a.py", "import random\nrandom.choice([1])"),
        (impurities, "scenario/a.py", "import random\nrandom.Random()"),
        (impurities, "scenario/a.py", "from random import randint"),
        (impurities, "scenario/a.py", "from pathlib import Path\nPath('a').read_text()"),
        (impurities, "scenario/a.py", "open('a')"),
        (wall_clocks, "actions/a.py", "import time\ntime.time()"),
        (wall_clocks, "actions/a.py", "import time as t\nt.time_ns()"),
        (wall_clocks, "actions/a.py", "from time import time"),
        (wall_clocks, "actions/a.py", "import datetime\ndatetime.datetime.now()"),
        (wall_clocks, "actions/a.py", "from datetime import datetime as d\nd.now()"),
        (real_waits, "actions/a.py", "import anyio\nanyio.sleep(1)"),
        (real_waits, "actions/a.py", "from anyio import move_on_after"),
        (real_waits, "actions/a.py", "import time\ntime.monotonic()"),
        (kopias, "actions/a.py", "name = 'kopia'"),
        (kopias, "actions/a.py", "name = f'{1} Kopia'"),
        (kopias, "actions/a.py", "from snapstorm.targets.kopia import target"),
        (kopias, "actions/a.py", "def find_kopia(): ..."),
        (kopias, "actions/a.py", "f(kopia=1)"),
        (kopias, "actions/a.py", "a.kopia"),
        (single_targets, "cli/a.py", "from snapstorm.targets.memory import DEFECTS"),
        (single_targets, "run/a.py", "def f():\n    from snapstorm.targets import memory"),
        (single_targets, "targets/a.py", "import snapstorm.targets.memory.target"),
        (single_targets, "targets/kopia/a.py", "from snapstorm.targets.memory.target import MemoryTarget"),
        (more_than_exports, "model/__init__.py", "x = 1"),
        (more_than_exports, "model/__init__.py", "import os"),
        (more_than_exports, "model/__init__.py", "def f(): ..."),
    ],
)
def test_each_rule_catches_what_it_is_for(rule: Rule, name: str, source: str) -> None:
    """A planted violation is found."""
    assert list(rule(name, ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (wrong_tiers, "actions/a.py", "import snapstorm.model.actions\nfrom snapstorm.actions import step"),
        (wrong_tiers, "cli/main.py", "from snapstorm import __version__"),
        (impurities, "scenario/a.py", "import os\nimport random\nos.fsencode('a')\nrandom.Random(7).random()"),
        (impurities, "model/a.py", "from pathlib import Path\ndef f(p: Path) -> Path:\n    return p / 'a'"),
        (impurities, "model/a.py", "from datetime import date\ndate.fromordinal(7).isocalendar()"),
        (wall_clocks, "report/a.py", "import time\ntime.monotonic()"),
        (kopias, "model/a.py", '"""Measured on Kopia."""\nx = 1\n"""As Kopia has it."""'),
        (single_targets, "targets/kopia/a.py", "from snapstorm.targets.kopia import answers"),
        (single_targets, "run/a.py", "from snapstorm.targets.registry import find_target"),
        (more_than_exports, "a/__init__.py", '"""A."""\nfrom snapstorm.a.b import c\n__all__ = ["c"]'),
    ],
)
def test_no_rule_forbids_what_is_fine(rule: Rule, name: str, source: str) -> None:
    """What the rules allow is not found."""
    assert not list(rule(name, ast.parse(source)))
