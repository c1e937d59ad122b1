"""A run as one self-contained HTML file: no network, no other file, and no script except for the timeline.

The verdict and what it proved come first. `report.timeline` has the data that the script reads; the page's style and
script are in `report/page/`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import count

from snapstorm.report.charts import show_moment
from snapstorm.report.figures import Figures, figures_of
from snapstorm.report.html_figures import (
    latency_content,
    processes_content,
    sizes_content,
    survival_content,
    throughput_content,
)
from snapstorm.report.html_violations import violations_content
from snapstorm.report.markup import (
    Markup,
    definitions,
    element,
    escaped,
    joined,
    legend,
    page,
    page_file,
    section,
    table,
    tiles,
)
from snapstorm.report.run_data import RunData
from snapstorm.report.summary import show_bytes
from snapstorm.report.text import show_seconds
from snapstorm.report.timeline import FAMILY_WORDS, as_json, columns, detail_blocks, fault_stretches, overview, packed
from snapstorm.version import __version__

VERDICT_STYLES = {"pass": "is-pass", "violated": "is-violated"}


SCRIPTED = frozenset({"timeline", "operations"})
"""Parts of the page that its script fills."""


def run_page(run: RunData) -> str:
    """The whole file."""
    parts = _parts(run)
    title = f"snapstorm run {run.number}: {run.verdict}"
    body = joined([_skip(), *_framed(parts), _footer(), _data(run), _details_data(run)])
    return page(title, body, scripts=[page_file("page.js")])


def live_page(run: RunData | None, controls: Markup) -> str:
    """The page as it is served while a run goes on, with `controls` at the top. Its second script gets updates from the
    page's own address. Before there is a run, there are only the controls."""
    if run is None:
        main = element("main", element("p", escaped("The run begins.")), id="main", tabindex="-1")
        return page("snapstorm", joined([controls, main]), scripts=[page_file("live.js")], is_live=True)
    title = f"snapstorm run {run.number}: {run.verdict}"
    body = joined([_skip(), controls, *_framed(_parts(run)), _data(run)])
    return page(title, body, scripts=[page_file("page.js"), page_file("live.js")], is_live=True)


def live_parts(run: RunData) -> dict[str, str]:
    """The parts of the page that change while a run goes on, by anchor. Its script updates the other parts."""
    return {anchor: markup for anchor, markup in _parts(run).items() if anchor not in SCRIPTED}


def _parts(run: RunData) -> dict[str, Markup]:
    """The page's parts by anchor: its head, its navigation, and its sections in their order."""
    figures = figures_of(run)
    sections = {anchor: section(anchor, title, *content) for anchor, title, content in _sections(run, figures)}
    head = element("header", element("h1", escaped(_headline(run))), _verdict(run), id="head")
    return {"head": head, "parts": _navigation(run, figures), **sections}


def _framed(parts: dict[str, Markup]) -> list[Markup]:
    head, navigation, *sections = parts.values()
    return [head, navigation, element("main", joined(sections), id="main", tabindex="-1")]


def _skip() -> Markup:
    return element("a", escaped("Skip to what was found"), href="#main", class_="skip")


def _sections(run: RunData, figures: Figures) -> Iterator[tuple[str, str, Iterator[Markup]]]:
    yield "proved", _proved_title(run), _proved(run)
    yield "violations", _violations_title(run), violations_content(run)
    yield "timeline", "Timeline", _timeline(run)
    yield "operations", "Operations", _operations()
    yield "latency", "Latency", latency_content(run, figures)
    yield "throughput", "Throughput", throughput_content(run, figures)
    yield "sizes", "Sizes", sizes_content(run)
    yield "server", "Processes", processes_content(run)
    yield "faults", "Faults", _faults(run)
    yield "survival", "Survival", survival_content(run.survival)
    yield "about", "About this run", _about(run)


def _proved_title(run: RunData) -> str:
    if run.is_going_on:
        return "What it has proved so far"
    return "What it proved" if run.has_ended else "What it proved up to then"


def _violations_title(run: RunData) -> str:
    return f"Violations ({len(run.violations):,})" if run.violations else "Violations"


def _headline(run: RunData) -> str:
    return f"snapstorm run {run.number} on {run.testbed.name}: {run.target_name}, {run.scenario}, {run.began_utc}"


def _verdict(run: RunData) -> Markup:
    word = element("strong", escaped(run.headline))
    style = VERDICT_STYLES.get("violated" if run.violations else run.verdict, "is-other")
    return element("div", word, element("span", escaped(run.reason)), class_=f"verdict {style}")


def _navigation(run: RunData, figures: Figures) -> Markup:
    links = ((anchor, title) for anchor, title, _ in _sections(run, figures))
    shown = joined(element("li", element("a", escaped(title), href=f"#{anchor}")) for anchor, title in links)
    return element("nav", element("ul", shown), id="parts", aria_label="Parts of the page")


def _proved(run: RunData) -> Iterator[Markup]:
    proven, summary = run.proven, run.summary
    earlier = f"{proven.restores_earlier_runs:,} of snapshots of earlier runs" if proven.restores_earlier_runs else ""
    left = f"{proven.sweep_left:,} live ones were not reached" if proven.sweep_left else "no live one was left out"
    not_yet = "comes at the end" if run.is_going_on else "the run did not come to it"
    struck = sum(summary.get("faults", {}).values()) if summary else len(run.faults)
    failed = summary.get("failed_under_faults", 0)
    own = sum(operation.is_own for operation in run.operations)
    yield tiles(
        [
            ("Restores verified", f"{proven.restores:,}", earlier),
            ("Bytes compared", show_bytes(proven.bytes_verified), ""),
            (
                "Sweep restored",
                f"{proven.sweep_verified:,}",
                left if run.has_ended else not_yet,
            ),
            ("Violations", f"{len(run.violations):,}", ""),
            (
                "Operations",
                f"{len(run.operations):,}",
                f"by {len(run.clients)} client(s) in {show_seconds(run.seconds)}; {own:,} of them snapstorm's own",
            ),
            ("Faults struck", f"{struck:,}", f"{failed:,} operations failed because of them" if failed else ""),
            (
                "Snapshots live",
                f"{proven.snapshots_live:,}",
                f"{proven.snapshots_deleted:,} deleted, {proven.snapshots_in_doubt:,} in doubt",
            ),
        ]
    )
    if run.operations_dropped:
        words = (
            f"{run.operations_dropped:,} operations of this run were dropped by `snapstorm compact`, and are not shown."
        )
        yield element("p", escaped(words), class_="doubtful")
    if run.notes:
        yield element("h3", escaped("Notes of the run"))
        yield element("ul", joined(element("li", escaped(note)) for note in run.notes[:50]))


_KEYS = (
    ("←", "→", "move"),
    ("+", "-", "zoom"),
    ("0", "", "all of it"),
    ("↑", "↓", "another client"),
    ("n", "p", "its next or previous operation"),
    ("Enter", "", "what it was"),
)


def _timeline(run: RunData) -> Iterator[Markup]:
    yield element(
        "p",
        escaped(
            "A lane for each client. Hover for what an operation was, click for all of it; drag to move, and zoom with "
            "the buttons, by a double click, or with Ctrl and the wheel."
        ),
        class_="soft",
    )
    yield legend(
        [
            *((f"k-{family}", words) for family, words in FAMILY_WORDS.items()),
            ("half k-failed", "failed"),
            ("half k-unknown", "outcome unknown"),
            ("pale k-look", "nothing to do"),
            ("band", "a fault is active"),
            ("flag", "violation"),
        ]
    )
    buttons = (
        ("zoom-in", "Zoom in"),
        ("zoom-out", "Zoom out"),
        ("earlier", "Earlier"),
        ("later", "Later"),
        ("whole", "All of it"),
    )
    shown = [element("button", escaped(words), type="button", id=anchor) for anchor, words in buttons]
    yield element("div", *shown, element("output", id="view", class_="soft"), class_="tools")
    yield element(
        "div",
        element("canvas", aria_hidden="true"),
        element("div", id="tip", hidden=True),
        id="lanes",
        tabindex="0",
        role="application",
        aria_label=f"Timeline of {len(run.clients)} client(s) over {show_seconds(run.seconds)}",
        aria_describedby="timeline-keys",
    )
    yield element("p", escaped("Keys: "), joined(_keys()), id="timeline-keys", class_="soft")
    yield element(
        "div",
        element("h3"),
        element("dl", class_="facts"),
        element("pre", tabindex="0", role="region", aria_label="commands of the operation", hidden=True),
        id="chosen",
        tabindex="-1",
        role="region",
        aria_label="the chosen operation",
        aria_live="polite",
        hidden=True,
    )
    yield element("noscript", element("p", escaped("The timeline and the list of operations need JavaScript.")))


def _keys() -> Iterator[Markup]:
    for number, (one, other, words) in enumerate(_KEYS):
        keys = [element("kbd", escaped(key)) for key in (one, other) if key]
        yield joined([escaped("; " if number else ""), *keys, escaped(f" {words}")])


def _operations() -> Iterator[Markup]:
    filters = (("by-client", "client"), ("by-action", "action"), ("by-outcome", "outcome"))
    choices = [
        element(
            "label",
            escaped(f"{name} "),
            element("select", element("option", escaped("all"), value=""), id=anchor),
        )
        for anchor, name in filters
    ]
    only = element(
        "label", element("input", type="checkbox", id="only-shown"), escaped(" only what the timeline shows")
    )
    yield element("div", *choices, only, class_="tools")
    names = ("began", "client", "action", "outcome", "took")
    head = joined(
        element("th", escaped(name), scope="col", class_="number" if name in ("began", "took") else False)
        for name in names
    )
    body = element("table", element("thead", element("tr", head)), element("tbody", id="operation-rows"))
    yield element("div", body, class_="scroll", tabindex="0", role="region", aria_label="operations")
    yield element(
        "div",
        element("button", escaped("Previous"), type="button", id="page-before", disabled=True),
        element("button", escaped("Next"), type="button", id="page-after", disabled=True),
        element("output", id="page-words", class_="soft"),
        class_="tools",
    )


def _faults(run: RunData) -> Iterator[Markup]:
    if not run.faults:
        yield element("p", escaped("Nothing was broken on purpose."))
        return
    rows = (
        [
            escaped(fault.key),
            escaped(show_moment(round(began, 1))),
            escaped(show_seconds(max(0.0, ended - began))),
            escaped(fault.outcome or "has not healed"),
        ]
        for fault, (began, ended) in zip(run.faults, fault_stretches(run), strict=True)
    )
    yield table("faults of the run", ("fault", "began", "lasted", "outcome"), rows)


def _about(run: RunData) -> Iterator[Markup]:
    executables = run.target.get("executables") or []
    facts = [
        ("target", run.target_name),
        ("mode", run.mode),
        ("scenario", run.scenario),
        ("seed", str(run.seed)),
        ("began", run.began_utc),
        ("ended", run.ended_utc or ("not yet" if run.is_going_on else "not recorded")),
        ("lasted", show_seconds(run.seconds)),
        ("testbed", f"{run.testbed} ({run.testbed_id})"),
        *(("program", f"{one.get('path')} (sha256 {one.get('sha256')})") for one in executables),
    ]
    server = run.summary.get("server") or {}
    if server.get("open_files_max"):
        words = f"{server['open_files_max']:,} open files, {show_bytes(server['memory_bytes_max'] or 0)} of memory"
        facts.append(("server at most", words))
    yield definitions([(name, escaped(value)) for name, value in facts])
    yield element("p", escaped("To do the run again:"))
    yield element(
        "pre",
        escaped(f"snapstorm replay {shlex.quote(f'{run.testbed}:{run.number}')}"),
        tabindex="0",
        role="region",
        aria_label="command",
    )


def _footer() -> Markup:
    words = f"Made by snapstorm {__version__}. The file needs no network, and loads nothing."
    return element("footer", element("p", escaped(words)))


def _data(run: RunData) -> Markup:
    """The data that the script reads. None of it is markup, and nothing in it can end its element."""
    return joined(
        [
            element("script", Markup(as_json(overview(run))), type="application/json", id="run-data"),
            element("script", Markup(packed(columns(run))), type="text/plain", id="operations-data"),
        ]
    )


def _details_data(run: RunData) -> Markup:
    return joined(
        element("script", Markup(packed(block)), type="text/plain", id=f"details-{number}")
        for number, block in zip(count(), detail_blocks(run), strict=False)
    )
