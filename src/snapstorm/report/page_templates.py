"""The templates of pages, in `report/templates/`. Every text in them is escaped, so that a file name or a program's
output is never markup, and a name that they use and nobody has given is an error."""

from __future__ import annotations

import base64
import functools
import hashlib
import shlex
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from snapstorm.guarantees.panel import sentence_of
from snapstorm.report.charts import show_moment
from snapstorm.report.summary import show_bytes
from snapstorm.report.testbed_history import ages, headline, show_age, version_pairs
from snapstorm.report.text import printable, show_seconds
from snapstorm.report.timeline import packed
from snapstorm.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment


VERDICT_STYLES = {"pass": "is-pass", "violated": "is-violated"}
"""The CSS class of a verdict; of any other it is `is-other`."""


def render(template: str, **values: Any) -> str:
    """The text that a template gives with these values."""
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> Environment:
    # Only a page needs it, and the command line starts without.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    def shipped(name: str) -> Markup:
        """A file of the page, as shipped: the only text that is not escaped."""
        return Markup(files("snapstorm.report").joinpath("page", name).read_text(encoding="utf-8"))  # noqa: S704

    environment = Environment(
        loader=PackageLoader("snapstorm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(str(value)),
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.globals |= {"shipped": functools.cache(shipped), "sentence_of": sentence_of, "version": __version__}
    environment.filters |= {
        "age": show_age,
        "ages": ages,
        "bytes": show_bytes,
        "moment": show_moment,
        "number": "{:,}".format,
        "packed": packed,
        "proven": headline,
        "seconds": show_seconds,
        "sha256": lambda text: Markup(f"'sha256-{_digest(text)}'"),  # noqa: S704 - as a policy wants it
        "shell_quoted": shlex.quote,
        "version_pairs": version_pairs,
    }
    return environment


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
