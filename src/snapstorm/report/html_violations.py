"""The violations of a run on its page, with the difference viewer: which bytes of a file are wrong, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snapstorm.guarantees.panel import sentence_of
from snapstorm.report.charts import show_moment
from snapstorm.report.markup import Markup, definitions, element, escaped, joined, scrolled
from snapstorm.report.run_data import ContentDifference, FoundViolation, KeptEvidence, RunData, WrongBlock
from snapstorm.report.summary import show_bytes

SHOWN_MAX = 100
DIFFERENCES_SHOWN_MAX = 50
BLOCKS_SHOWN_MAX = 30
TEXT_CHARACTERS_MAX = 500_000
"""Of all texts of evidence together, because the page must open quickly."""

_WORDS = {
    "README.md": "What broke, and what was going on",
    "differences.txt": "What differs, in words",
    "expected-manifest.txt": "What the tree must be",
    "entry.txt": "What the target has recorded about the snapshot",
    "listing.json": "The listing as it was shown",
    "output.txt": "The target's output",
    "objects.txt": "Where the target keeps the damaged files",
    "commands.txt": "The target's commands of this operation",
    "program.py": "The client's last actions as a program",
    "environment.txt": "Versions, machine and options",
    "violation.txt": "The violation as it was recorded",
}


class _Budget:
    """How many characters of evidence may still be shown."""

    def __init__(self) -> None:
        self._left = TEXT_CHARACTERS_MAX

    def take(self, text: str) -> bool:
        self._left -= len(text)
        return self._left >= 0


def violations_content(run: RunData) -> Iterator[Markup]:
    """The content of the section."""
    if not run.violations:
        yield element("p", escaped(_none_found(run)))
        return
    budget = _Budget()
    yield element(
        "p", escaped("Each can be opened: what was promised, what was seen, and where it differs."), class_="soft"
    )
    for number, found in enumerate(run.violations[:SHOWN_MAX]):
        yield _violation(found, budget, is_open=number == 0 and len(run.violations) <= 3)
    if len(run.violations) > SHOWN_MAX:
        left = len(run.violations) - SHOWN_MAX
        yield element("p", escaped(f"And {left:,} more; `snapstorm status --testbed {run.testbed}` lists them all."))


def _none_found(run: RunData) -> str:
    if run.is_going_on:
        return "No guarantee has been found broken so far."
    return "No guarantee was found broken" + ("." if run.has_ended else " up to where the run ended.")


def _violation(found: FoundViolation, budget: _Budget, *, is_open: bool) -> Markup:
    row = found.row
    who = ", ".join(part for part in (row.client and row.client.partition("@")[0], row.path) if part)
    known = f" (accepted: {row.accepted_reason})" if row.accepted_reason else ""
    summary = element(
        "summary",
        escaped(f"{row.number}. {row.guarantee}"),
        element(
            "span",
            escaped(f"{known} {who}" + (f" at {show_moment(round(row.at_seconds, 2))}" if row.at_seconds else "")),
        ),
    )
    style = "violation known" if row.accepted_reason else "violation"
    content = joined(_violation_content(found, budget))
    return element("details", summary, content, class_=style, id=f"violation-{row.number}", open=is_open)


def _violation_content(found: FoundViolation, budget: _Budget) -> Iterator[Markup]:
    row, evidence = found.row, found.evidence
    promise = sentence_of(row.guarantee)
    if promise:
        yield element("p", element("em", escaped(promise)))
    yield element("p", escaped(row.detail if len(row.detail) < 1500 else f"{row.detail[:1500]}…"))
    operation = element(
        "button", escaped(row.operation), type="button", class_="link", data_operation=row.operation or ""
    )
    values = [("client", row.client), ("snapshot", row.snapshot), ("path", row.path)]
    facts = [(name, element("span", escaped(value), class_="mono")) for name, value in values if value]
    if row.operation:
        facts.append(("operation", operation))
    if row.evidence:
        facts.append(
            ("evidence", element("span", escaped(evidence.directory if evidence else row.evidence), class_="mono"))
        )
    yield definitions(facts)
    if evidence is not None:
        yield from _evidence(evidence, budget)


def _evidence(evidence: KeptEvidence, budget: _Budget) -> Iterator[Markup]:
    if not evidence.is_there:
        yield element("p", escaped("The evidence is gone: its directory was removed."), class_="doubtful")
        return
    if evidence.differences:
        yield element("h3", escaped(f"What differs ({evidence.differences_total:,})"))
        shown = evidence.differences[:DIFFERENCES_SHOWN_MAX]
        yield from (_difference(one) for one in shown)
        if evidence.differences_total > len(shown):
            yield element("p", escaped(f"And {evidence.differences_total - len(shown):,} more in differences.json."))
    for name, text in evidence.texts.items():
        title = _WORDS.get(name, name)
        if not budget.take(text):
            yield element("p", escaped(f"{title}: {name} in the evidence."), class_="soft")
            continue
        is_open = name == "differences.txt" and not evidence.differences
        yield element(
            "details",
            element("summary", escaped(title), element("span", escaped(f" ({name})"), class_="soft")),
            element("pre", escaped(text), tabindex="0", role="region", aria_label=title),
            open=is_open,
        )
    others = [name for name in evidence.files if name not in evidence.texts and name != "differences.json"]
    if others:
        yield element("p", escaped(f"Also in the evidence: {', '.join(others[:20])}"), class_="soft")


def _difference(found: ContentDifference) -> Markup:
    title = element(
        "h4", element("span", escaped(found.path or "."), class_="mono"), escaped(f": {_kind_words(found)}")
    )
    parts = [title, _sides(found)]
    if found.blocks:
        parts += [_map(found), _blocks(found.blocks)]
    return element("div", *parts, class_="difference")


def _kind_words(found: ContentDifference) -> str:
    if found.kind == "missing":
        return "is missing"
    return "was never there" if found.kind == "extra" else f"{found.kind} differs"


def _sides(found: ContentDifference) -> Markup:
    """The expected content beside the actual content."""
    rows = [(found.kind, found.expected or "nothing", found.actual or "nothing")]
    if found.expected_bytes is not None and found.actual_bytes is not None and found.kind != "size":
        rows.append(("size", f"{found.expected_bytes:,} bytes", f"{found.actual_bytes:,} bytes"))
    head = element(
        "tr", element("td"), *(element("th", escaped(name), scope="col") for name in ("written", "restored"))
    )
    body = joined(
        element(
            "tr",
            element("th", escaped(name), scope="row"),
            element("td", escaped(want), class_="want wrap"),
            element("td", escaped(have), class_="have wrap"),
        )
        for name, want, have in rows
    )
    shown = element("table", element("thead", head), element("tbody", body), class_="sides")
    return scrolled(f"written and restored: {found.path}, {found.kind}", shown)


def _map(found: ContentDifference) -> Markup:
    """A map of the file from its first to its last byte, with its wrong parts."""
    size = max(1, found.expected_bytes or 0, found.actual_bytes or 0, *(_end(block) for block in found.blocks))
    stretches = joined(
        element(
            "rect",
            class_="wrong",
            x=f"{1000 * block.offset_bytes / size:.2f}",
            y="0",
            width=f"{max(3.0, 1000 * block.length_bytes / size):.2f}",
            height="20",
        )
        for block in found.blocks
        if block.kind != "more"
    )
    whole = element("rect", class_="whole", x="0", y="0", width="1000", height="20")
    label = f"{show_bytes(size)}, of which {len(found.blocks)} stretch(es) are wrong"
    return element(
        "svg",
        whole,
        stretches,
        class_="map",
        viewBox="0 0 1000 20",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def _end(block: WrongBlock) -> int:
    return block.offset_bytes + block.length_bytes


def _blocks(blocks: Sequence[WrongBlock]) -> Markup:
    rows = joined(
        element(
            "tr",
            element("th", escaped(f"{block.offset_bytes:,}"), scope="row", class_="number"),
            element("td", escaped(f"{block.length_bytes:,}"), class_="number"),
            element("td", escaped(block.kind)),
            element("td", escaped(block.words), class_="wrap"),
        )
        for block in blocks[:BLOCKS_SHOWN_MAX]
    )
    names = ("at byte", "bytes", "what stands there", "in words")
    head = joined(
        element("th", escaped(name), scope="col", class_="number" if number < 2 else False)
        for number, name in enumerate(names)
    )
    shown = scrolled("wrong stretches", element("table", element("thead", element("tr", head)), element("tbody", rows)))
    if len(blocks) <= BLOCKS_SHOWN_MAX:
        return shown
    return joined([shown, element("p", escaped(f"And {len(blocks) - BLOCKS_SHOWN_MAX} more."))])
