"""Makes the generated parts of docs/ anew: a page for each command, the table of faults, and the public API.

python tools/generate_docs.py      writes what has changed, and says which files
"""

from __future__ import annotations

import inspect
import json
from enum import StrEnum
from pathlib import Path
from types import FunctionType

import snapstorm
from snapstorm import extending
from snapstorm.cli.main import app
from snapstorm.report.listings import fault_lines

DOCS = Path(__file__).parent.parent / "docs"
TABLE_BEGIN, TABLE_END = "<!-- begin generated table -->\n", "<!-- end generated table -->\n"


def generated_pages() -> dict[str, str]:
    """Each generated page's path below docs/, with the text that it should have now."""
    names = sorted(name for name in app if not name.startswith("-") and app[name].show)
    pages = {f"commands/{name}.md": _command_page(name) for name in names}
    pages["commands/index.md"] = _index(pages)
    pages["api.md"] = _api_page()
    pages["faults.md"] = _with_table((DOCS / "faults.md").read_text(), _fault_table())
    return pages


def stale_pages() -> dict[str, str]:
    """Those of the generated pages that are missing, differ from their text on disk, or belong to no command.

    The text of a page that belongs to no command is empty.
    """
    pages = generated_pages()
    leftover = {path.relative_to(DOCS).as_posix(): "" for path in (DOCS / "commands").glob("*.md")}
    return {name: text for name, text in (leftover | pages).items() if _text_on_disk(name) != text}


def _text_on_disk(name: str) -> str | None:
    path = DOCS / name
    return path.read_text() if path.exists() else None


def _command_page(name: str) -> str:
    text: str = app[name].generate_docs(usage_name=f"snapstorm {name}")
    _, _, rest = text.partition("\n")
    return f"# snapstorm {name}\n{rest.rstrip()}\n\n[What the exit status means](../verdicts.md)\n"


def _index(pages: dict[str, str]) -> str:
    lines = [
        "# Commands",
        "",
        "These pages are made from what `snapstorm COMMAND --help` says.",
        "`snapstorm --install-completion` sets up shell completion.",
        "",
        "| command | what it does |",
        "| --- | --- |",
    ]
    for path, text in pages.items():
        page = Path(path).name
        _, _, after_usage = text.partition("```\n\n")
        summary = " ".join(after_usage.partition("\n\n")[0].split())
        lines.append(f"| [`{page.removesuffix('.md')}`]({page}) | {summary} |")
    return "\n".join(lines) + "\n"


def _api_page() -> str:
    lines = [
        "# API",
        "",
        "What stands here is public: it changes only with a line in the changelog. All other modules are private.",
        "[Writing tests](writing-tests.md) shows how it is used.",
    ]
    for module, opening in ((snapstorm, "For tests and programs"), (extending, "For extensions")):
        lines += ["", f"## `{module.__name__}`", "", f"{opening}: `from {module.__name__} import ...`", ""]
        for name in module.__all__:
            member = getattr(module, name)
            if isinstance(member, type) or inspect.isfunction(member):
                lines += [f"### `{name}`", "", *_described(member), ""]
    return "\n".join(lines).rstrip() + "\n"


def _described(member: type | FunctionType) -> list[str]:
    """The docstring, and what a class holds: its fields, or its own public methods and properties."""
    lines = (inspect.getdoc(member) or "").splitlines()
    if not isinstance(member, type):
        return lines
    fields = getattr(member, "model_fields", None) or getattr(member, "__dataclass_fields__", None) or {}
    if issubclass(member, StrEnum):
        fields = {f'{one.name} = "{one.value}"': one for one in member}
    for name in fields:
        lines += ["", f"- `{name}`"] if lines[-1:] and not lines[-1].startswith("- ") else [f"- `{name}`"]
    for name, value in vars(member).items():
        function = value.fget if isinstance(value, property) else value
        if name.startswith("_") or name in fields or function is None:
            continue
        if inspect.isfunction(inspect.unwrap(function)):
            summary = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
            entry = f"- `{name}{'' if isinstance(value, property) else '()'}`{': ' if summary else ''}{summary}"
            lines += ["", entry] if lines[-1:] and not lines[-1].startswith("- ") else [entry]
    return lines


def _fault_table() -> str:
    table = json.loads("".join(fault_lines(as_json=True)))
    rows = ["| fault | kind | weight | what it does | what it needs |", "| --- | --- | --- | --- | --- |"]
    for key, fault in table.items():
        rows.append(f"| `{key}` | {fault['kind']} | {fault['weight']} | {fault['description']} | {fault['needs']} |")
    return "\n".join(rows) + "\n"


def _with_table(text: str, table: str) -> str:
    before, _, rest = text.partition(TABLE_BEGIN)
    _, _, after = rest.partition(TABLE_END)
    return f"{before}{TABLE_BEGIN}\n{table}\n{TABLE_END}{after}"


def main() -> None:
    """Writes the stale pages and removes those of commands that are gone."""
    for name, text in stale_pages().items():
        path = DOCS / name
        if text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        else:
            path.unlink()
        print(f"{'wrote' if text else 'removed'} docs/{name}")


if __name__ == "__main__":
    main()
