"""The templates of reports, in `report/templates/`. Every text that is put into one is escaped: a file name or a
program's output is never markup. A name that a template uses and nobody has given is an error."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import shlex
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_eval_context, select_autoescape
from jinja2.nodes import EvalContext
from markupsafe import Markup

from snapstorm.guarantees.panel import sentence_of
from snapstorm.report.charts import show_moment
from snapstorm.report.summary import show_bytes
from snapstorm.report.testbed_history import ages, headline, show_age, version_pairs
from snapstorm.report.text import printable, show_seconds
from snapstorm.report.timeline import packed
from snapstorm.version import __version__

VERDICT_STYLES = {"pass": "is-pass", "violated": "is-violated"}
"""The CSS class of a verdict; of any other it is `is-other`."""


def render(template: str, **values: Any) -> str:
    """The text that a template gives with these values."""
    return _environment().get_template(template).render(values)


def plain(text: str, length_max: int = 400) -> str:
    """A text on one line of Markdown, escaped so that nothing in it is markup, a link or a mention."""
    words = " ".join(printable(text).split())
    shown = words if len(words) <= length_max else f"{words[:length_max]}…"
    return re.sub(r"([\\`*_\[\]#|<>~&@$])", r"\\\1", shown)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("snapstorm.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_visible,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.globals |= {"shipped": _shipped, "sentence_of": sentence_of, "version": __version__}
    environment.filters |= {
        "age": show_age,
        "ages": ages,
        "bytes": show_bytes,
        "moment": show_moment,
        "number": "{:,}".format,
        "packed": packed,
        "proven": headline,
        "seconds": show_seconds,
        "sha256": _hash,
        "shell_quoted": shlex.quote,
        "version_pairs": version_pairs,
    }
    return environment


@functools.cache
def _shipped(name: str) -> Markup:
    """A file of the page, as shipped: the only text that is not escaped."""
    return Markup(files("snapstorm.report").joinpath("page", name).read_text(encoding="utf-8"))  # noqa: S704


@pass_eval_context
def _visible(context: EvalContext, value: object) -> str:
    """What is put into a template. On a page, Jinja then escapes it."""
    if isinstance(value, Markup):
        return value
    return printable(str(value)) if context.autoescape else plain(str(value))


def _hash(text: str) -> Markup:
    """The hash of a script or a style, as a content-security policy names it."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Markup(f"'sha256-{digest}'")  # noqa: S704
