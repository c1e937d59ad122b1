"""Builds HTML. Every text is escaped where it enters, so that a file name or a program's output is never markup."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import NewType

from snapstorm.report.text import printable

Markup = NewType("Markup", str)
"""Text that is already HTML."""


def escaped(text: object) -> Markup:
    """Any text, escaped for an element or an attribute."""
    return Markup(html.escape(printable(str(text))))


_WITHOUT_CONTENT = frozenset({"input"})


def element(name: str, *content: Markup, **attributes: str | bool) -> Markup:
    """An element. Its content must already be markup: use `escaped` for texts.

    Attributes are named as in Python: `class_` for class, `aria_label` for aria-label; False omits one.
    """
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(value)}"')
        for key, value in attributes.items()
        if value is not False
    )
    end = "" if name in _WITHOUT_CONTENT else f"</{name}>"
    return Markup(f"<{name}{shown}>{''.join(content)}{end}")


def joined(parts: Iterable[Markup]) -> Markup:
    return Markup("".join(parts))


def section(anchor: str, title: str, *content: Markup) -> Markup:
    """A part of the page with a heading."""
    heading = element("h2", escaped(title), id=f"{anchor}-title")
    return element("section", heading, *content, id=anchor, aria_labelledby=f"{anchor}-title")


def scrolled(label: str, content: Markup) -> Markup:
    """Content that may be wider than the window: it scrolls by itself, with keys too."""
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def definitions(rows: Iterable[tuple[str, Markup]], style: str = "facts") -> Markup:
    """Names and values."""
    shown = (element("dt", escaped(name)) + element("dd", value) for name, value in rows)
    return element("dl", joined(Markup(row) for row in shown), class_=style)


def tiles(rows: Iterable[tuple[str, str, str]]) -> Markup:
    """Names, large figures, and a short note for each."""
    shown = (
        element(
            "div",
            element("dt", escaped(name)),
            element("dd", escaped(value), element("small", escaped(note)) if note else Markup("")),
        )
        for name, value, note in rows
    )
    return element("dl", joined(shown), class_="tiles")


def table(label: str, columns: Sequence[str], rows: Iterable[Sequence[Markup]], numbers_from: int = 1) -> Markup:
    """A table. Cells from the column `numbers_from` on are figures."""

    def style(number: int) -> str | bool:
        return "number" if number >= numbers_from else False

    head = joined(
        element("th", escaped(name), scope="col", class_=style(number)) for number, name in enumerate(columns)
    )
    body = joined(
        element("tr", joined(_cell(cell, number, style(number)) for number, cell in enumerate(row))) for row in rows
    )
    return scrolled(label, element("table", element("thead", element("tr", head)), element("tbody", body)))


def _cell(cell: Markup, number: int, style: str | bool) -> Markup:
    return element("td", cell, class_=style) if number else element("th", cell, scope="row")


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """The meaning of colours: (CSS class of the sample, words)."""
    shown = (element("li", element("i", class_=style), escaped(words)) for style, words in entries)
    return element("ul", joined(shown), class_="legend")


def page(title: str, body: Markup, *, scripts: Sequence[str] = (), is_live: bool = False) -> str:
    """The whole file. Its content-security policy allows its own style and scripts, and nothing else; a live page may
    also connect to the address from which it came."""
    style = page_file("page.css")
    policy = f"default-src 'none'; style-src {_hash_of(style)}; base-uri 'none'; form-action 'none'"
    if scripts:
        policy += f"; script-src {' '.join(map(_hash_of, scripts))}"
    if is_live:
        policy += "; connect-src 'self'; img-src data:"
    # A served page without an icon would make browsers request one.
    icon = '<link rel="icon" href="data:,">\n' if is_live else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        + icon
        + f"<title>{escaped(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n"
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def page_file(name: str) -> str:
    """A file of the page, as shipped."""
    return files("snapstorm.report").joinpath("page", name).read_text(encoding="utf-8")


def _hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
