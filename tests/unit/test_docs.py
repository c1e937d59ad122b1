"""The documentation agrees with the program: generated pages, listed names, links, and examples."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from tools.generate_docs import stale_pages

from snapstorm.guarantees.panel import known_guarantees
from snapstorm.scenario.scenarios import parse_scenario
from snapstorm.scenario.shipped_scenarios import SHIPPED

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "tests/README.md"])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[\w-]*)?\)")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Each block of code in this language: where it stands, and its text."""
    for page in PAGES:
        for number, match in enumerate(_BLOCK.finditer(page.read_text()), 1):
            if match[1] == language:
                yield f"{page.relative_to(ROOT)}, block {number}", match[2]


def test_generated_pages_are_up_to_date() -> None:
    """The pages of commands and the table of faults say what the program says."""
    stale = sorted(stale_pages())
    assert not stale, f"stale in docs/: {', '.join(stale)}. Run `make docs-pages` to make these pages anew."


def test_every_guarantee_stands_on_its_page() -> None:
    """docs/guarantees.md has each guarantee's id with its sentence, as the program has it."""
    text = (ROOT / "docs/guarantees.md").read_text()
    assert not [one for one, judged in known_guarantees().items() if f"| `{one}` | {judged.sentence} |" not in text]


def test_every_shipped_scenario_stands_on_its_page() -> None:
    """docs/scenarios.md names each shipped scenario."""
    text = (ROOT / "docs/scenarios.md").read_text()
    assert not [scenario.name for scenario in SHIPPED if f"| `{scenario.name}` |" not in text]


def test_links_to_files_resolve() -> None:
    """No page, README included, links to a file that does not exist. `mkdocs build --strict` sees docs/ alone."""
    links = [(page, link) for page in PAGES for link in _LINK.findall(page.read_text())]
    assert len(links) > 50
    assert not [(page.name, link) for page, link in links if not (page.parent / link).exists()]


def test_python_examples_name_what_exists() -> None:
    """Each example parses, and what it imports from snapstorm is there."""
    examples = list(blocks("python"))
    assert examples
    for where, text in examples:
        for node in ast.walk(ast.parse(text, where)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "snapstorm":
                module = importlib.import_module(node.module or "")
                assert not [alias.name for alias in node.names if not hasattr(module, alias.name)], where


def test_extending_shows_the_example_as_it_is() -> None:
    """Each piece of code and of the project file on docs/extending.md stands in examples/extending."""
    files = [*(ROOT / "examples/extending").rglob("*.py"), ROOT / "examples/extending/pyproject.toml"]
    example = "\n".join(_without_indentation(file.read_text()) for file in files)
    shown = [
        text for kind in ("python", "ini") for where, text in blocks(kind) if where.startswith("docs/extending.md")
    ]
    assert len(shown) == 6
    assert not [text for text in shown if _without_indentation(text) not in example]


def _without_indentation(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())


def test_toml_examples_are_scenarios() -> None:
    """Each example in TOML is accepted as a scenario."""
    examples = list(blocks("toml"))
    assert examples
    for where, text in examples:
        assert parse_scenario(text, where)
