"""Reports say what the run was, in every format, and nothing from a run can do anything to who reads them."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from tests.unit.report.runs import CLIENTS, NASTY, Bed, busy_bed

from snapstorm.ledger.history import AgeBucket, Survival, SurvivalTables
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.guarantees import Guarantee
from snapstorm.report.document import run_document
from snapstorm.report.html import live_page, run_page
from snapstorm.report.junit import run_as_junit
from snapstorm.report.markdown import run_as_markdown
from snapstorm.report.run_data import (
    EVIDENCE_TEXTS,
    ContentDifference,
    FoundViolation,
    RunData,
    WrongBlock,
    read_run,
)
from snapstorm.report.text import printable
from snapstorm.report.timeline import OVERVIEW_FROM
from snapstorm.report.trend import Trend, read_trend, trend_document
from snapstorm.report.trend_pages import trend_as_markdown, trend_page

JUNIT = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))

HOSTILE = f"{NASTY}\udcff{{{{ 7 * 7 }}}} {{% raise %}}"
"""Markup, controls, a byte that is not UTF-8, and what a template would run."""

SCRIPT_TYPES = {None: 1, "application/json": 1, "text/plain": 2}


class Page(HTMLParser):
    """What a browser would find: elements with attributes, and the text of scripts."""

    VOID = frozenset({"meta", "input", "img", "br", "link", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self.text = ""
        self._open: list[str] = []
        self._script: str | None = None
        self.feed(text)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in self.VOID:
            self._open.append(tag)
        self._script = attributes.get("id") or "" if tag == "script" else None

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        else:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def unpacked(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))


@pytest.fixture
def busy(tmp_path: Path) -> RunData:
    busy_bed(tmp_path / "bed").close()
    return read_run(tmp_path / "bed", 1)


@pytest.fixture
def killed(tmp_path: Path) -> RunData:
    bed = Bed(tmp_path / "killed")
    run = bed.begin()
    bed.operation(run, 1, seconds=0.5)
    bed.operation(run, 2, began=0.5, outcome=None)
    bed.close()
    return read_run(tmp_path / "killed", 1)


def test_the_page_says_what_was_found(busy: RunData) -> None:
    """The verdict, its reason and what was proven stand at the top; the violation and its difference below."""
    page = Page(run_page(busy))
    assert (
        page.text.index("VIOLATED") < page.text.index("Restores verified") < page.text.index("A lane for each client")
    )
    assert "1 violation(s) of restored-exactly" in page.text
    assert "A restore of an acknowledged snapshot equals its manifest, entry for entry." in page.text
    assert "changed bytes" in page.text
    assert "kill-server" in page.text


def test_the_page_loads_nothing_and_allows_nothing(busy: RunData) -> None:
    """No address is in it, and its own policy forbids everything but its own script and style."""
    text = run_page(busy)
    page = Page(text)
    for _, attributes in page.elements:
        assert not attributes.keys() & {"src", "srcset", "style", "action", "xlink:href"}
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"https?://|@import|url\(", text)
    (policy,) = [one["content"] for one in page.of("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert len(re.findall("sha256-", policy)) == 2


def test_nothing_of_a_run_becomes_markup(busy: RunData) -> None:
    """File names, reasons, output: all of them is text, and the page is the same number of elements without them."""
    page = Page(run_page(busy))
    assert not page.of("img")
    assert all(one.get("type") in SCRIPT_TYPES for one in page.of("script"))
    assert len([one for one in page.of("script") if one.get("type") is None]) == 1
    assert "<img src=x onerror=alert(1)>" in page.text  # Shown, as text.
    for character in ("\x00", "\x1b", "\u202e", "\u2028"):
        assert character not in run_page(busy)


@pytest.mark.parametrize("render", [run_page, live_page])
def test_a_page_is_built_the_same_whatever_its_texts_are(busy: RunData, render: Callable[[RunData], str]) -> None:
    """Every text that comes from outside is hostile, bytes that are not UTF-8 included: no element and no attribute
    more or less than with a harmless word, and the text is shown, escaped."""
    hostile, harmless = (Page(render(told_in(busy, words))) for words in (HOSTILE, "harmless"))
    assert skeleton(hostile) == skeleton(harmless)
    assert hostile.text.count("{{ 7 * 7 }}") == harmless.text.lower().count("harmless") > 50
    assert printable(HOSTILE) in hostile.text
    assert hostile.scripts.keys() == harmless.scripts.keys()
    shown = [hostile.text, *(value or "" for _, one in hostile.elements for value in one.values())]
    assert not re.search("[\x00-\x08\x1b\u202e\u2028\ud800-\udfff]", "".join(shown))
    assert json.loads(hostile.scripts["run-data"])["actions"][0] == printable(HOSTILE)


def test_a_page_of_a_trend_is_built_the_same_whatever_its_texts_are(busy: RunData) -> None:
    """As that of a run."""
    trend = read_trend(busy.testbed)
    pages = []
    for words in (HOSTILE, "harmless"):
        runs = [dataclasses.replace(run, began_utc=words, verdict=words, target=words) for run in trend.runs]
        survival = told_in(busy, words).survival
        told = Trend(Path("/bed") / words, words, runs, survival)
        pages.append(Page(trend_page(told)))
    assert skeleton(pages[0]) == skeleton(pages[1])
    assert pages[0].text.count("{{ 7 * 7 }}") == pages[1].text.lower().count("harmless") > 10


def told_in(run: RunData, words: str) -> RunData:
    """The run with these words wherever a text comes from outside: from clients, the target, files, or a user."""
    proven = Survival(1, 1.0, words)
    block = WrongBlock(1, 1, words, words)
    (found,) = run.violations
    assert found.evidence is not None
    row = found.row._replace(
        guarantee=words, client=words, snapshot=words, operation=words, path=words, detail=words, accepted_reason=words
    )
    evidence = dataclasses.replace(
        found.evidence,
        directory=Path("/bed") / words,
        texts=dict.fromkeys(EVIDENCE_TEXTS, words),
        differences=[ContentDifference(words, words, words, words, 1, 2, [block])],
        files=[words],
    )
    operations = [one._replace(action=words, reason=words, options=words, resolved=words) for one in run.operations]
    return dataclasses.replace(
        run,
        testbed=Path("/bed") / words,
        testbed_id=words,
        began_utc=words,
        ended_utc=words,
        verdict=words,
        reason=words,
        target={"name": words, "versions": [words], "executables": [{"path": words, "sha256": words}]},
        mode=words,
        scenario=words,
        operations=operations,
        operations_dropped=1,
        faults=[dataclasses.replace(fault, key=words, outcome=words) for fault in run.faults],
        violations=[FoundViolation(row, evidence)],
        survival=SurvivalTables({AgeBucket.OLDER: proven}, {(words, words): proven}),
        summary={"notes": [words], "actions": {}},
    )


def skeleton(page: Page) -> list[tuple[str, list[str]]]:
    """The elements of a page, each with the names of its attributes."""
    return [(tag, sorted(attributes)) for tag, attributes in page.elements]


def test_every_heading_link_and_label_has_what_it_names(busy: RunData) -> None:
    """Ids are there once; what refers to one finds it; a part that scrolls can be reached by keys and has a name."""
    page = Page(run_page(busy))
    ids = [one["id"] for _, one in page.elements if one.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            if attributes.get(name):
                assert attributes[name] in ids
        if (attributes.get("href") or "").startswith("#"):
            assert (attributes["href"] or "")[1:] in ids
        if attributes.get("role") in ("region", "img", "application"):
            assert attributes.get("aria-label")


def test_the_script_can_read_every_operation(busy: RunData) -> None:
    """What is packed is what was recorded, in order, each with its details."""
    page = Page(run_page(busy))
    overview, columns = json.loads(page.scripts["run-data"]), unpacked(page.scripts["operations-data"])
    assert overview["count"] == 120 == len(columns["id"])
    assert [name.split("@")[0] for name in overview["clients"]] == [name.split("@")[0] for name in CLIENTS]
    began = 0.0
    for number, operation in enumerate(busy.operations):
        began += columns["began"][number] / 10_000
        assert began == pytest.approx(operation.began_seconds, abs=1e-3)
        assert overview["actions"][columns["action"][number]] == operation.action
        assert overview["outcomes"][columns["outcome"][number]] == operation.outcome
    step, reason, options, resolved, commands, count = unpacked(page.scripts["details-0"])[4]
    assert (step, count) == (5, 1)
    assert "1..3" in options
    assert "</script>" in reason + resolved
    assert "ab" * 32 not in resolved  # Digests are cut: they say nothing and weigh most.
    assert commands[0][1:] == [0.25, 1, 0]


def test_a_long_run_has_an_overview_and_is_still_small(tmp_path: Path) -> None:
    """Above ten thousand operations the page first draws what each client did in each stretch of time."""
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    with bed.ledger._transaction() as execute:
        for number in range(OVERVIEW_FROM + 1):
            outcome = "failed" if number == 5000 else "ok"
            execute(
                "INSERT INTO operations (id, run, client, step, action, options, resolved, began_tick, began_seconds,"
                " seconds, outcome, is_own) VALUES (?, ?, ?, ?, 'snapshot-root', '{}', '{}', ?, ?, 0.001, ?, 0)",
                (f"r1-c-{number}", run, CLIENTS[number % 3], number, number, number / 100, outcome),
            )
    bed.end(run, seconds=(OVERVIEW_FROM + 1) / 100)
    bed.close()
    text = run_page(read_run(tmp_path / "bed", 1))
    overview = json.loads(Page(text).scripts["run-data"])
    assert len(overview["bins"]) == 3
    assert max(cell[2] for lane in overview["bins"] for cell in lane) == overview["outcomes"].index("failed")
    assert len(text) < 500_000


def test_evidence_that_was_removed_is_told_on_the_page(busy: RunData) -> None:
    """The violation stays, and says that its evidence is gone."""
    shutil.rmtree(busy.testbed / "runs")
    assert "was removed" in Page(run_page(read_run(busy.testbed, 1))).text


def test_a_killed_run_has_a_page(killed: RunData) -> None:
    """It says that the run did not end, and shows what is there."""
    page = Page(run_page(killed))
    assert "NOT ENDED" in page.text
    assert "killed" in page.text
    assert unpacked(page.scripts["operations-data"])["took"] == [5000, -1]


def test_what_has_not_ended_goes_on_while_its_run_does(killed: RunData) -> None:
    """A killed run left it open for ever; a running one is still at it."""
    going = dataclasses.replace(killed, is_going_on=True)
    for run, words, others in ((killed, "did not end", "goes on"), (going, "goes on", "did not end")):
        page = run_page(run)
        overview = json.loads(Page(page).scripts["run-data"])
        assert overview["outcomeWords"]["open"] == words
        assert f">{words}</th>" in page
        assert f">{others}</th>" not in page


def test_a_run_without_operations_has_a_page(tmp_path: Path) -> None:
    """Killed before it began."""
    bed = Bed(tmp_path / "bed")
    bed.begin()
    bed.close()
    for text in (run_page(read_run(tmp_path / "bed", 1)), trend_page(read_trend(tmp_path / "bed"))):
        assert "NOT ENDED" in Page(text).text


def test_a_violated_run_fails_the_test_case_of_its_guarantee(busy: RunData) -> None:
    """Valid by the schema, a test case for each guarantee and kind of action."""
    text = run_as_junit(busy)
    JUNIT.validate(text)
    suite = ET.fromstring(text)
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert {guarantee.value for guarantee in Guarantee} < cases.keys()
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "0", "0")
    failure = cases["restored-exactly"].find("failure")
    assert failure is not None
    assert "it differs </script>" in (failure.text or "")
    properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert (properties["seed"], properties["verdict"], properties["target"]) == ("7", "violated", "kopia 0.23.1")


@pytest.mark.parametrize("verdict", ["error", "interrupted", "inconclusive", None])
def test_a_run_without_a_verdict_is_no_passed_suite(tmp_path: Path, verdict: str | None) -> None:
    """An error, and every guarantee skipped: nothing that reads it can take it for a pass."""
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    bed.operation(run, 1)
    if verdict is not None:
        bed.end(run, verdict=verdict, reason=NASTY)
    bed.close()
    text = run_as_junit(read_run(tmp_path / "bed", 1))
    JUNIT.validate(text)
    suite = ET.fromstring(text)
    assert suite.get("errors") == "1"
    assert suite.get("skipped") == str(len(Guarantee))


def test_a_passed_run_passes_every_test_case(tmp_path: Path) -> None:
    """No failure, no error, nothing skipped."""
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    bed.operation(run, 1)
    bed.end(run)
    bed.close()
    text = run_as_junit(read_run(tmp_path / "bed", 1))
    JUNIT.validate(text)
    assert [ET.fromstring(text).get(name) for name in ("failures", "errors", "skipped")] == ["0", "0", "0"]


def test_an_accepted_loss_fails_nothing(busy: RunData) -> None:
    """What a user has accepted is told, and does not count."""
    ledger = Ledger.open(busy.testbed / "ledger.sqlite3")
    assert ledger.accept(1, "known")
    ledger.close()
    assert ET.fromstring(run_as_junit(read_run(busy.testbed, 1))).get("failures") == "0"
    assert "accepted: known" in Page(run_page(read_run(busy.testbed, 1))).text


def test_markdown_is_short_and_nothing_in_it_is_markup(busy: RunData) -> None:
    """A job's summary: verdict, facts, violations, figures. One line each, so that a table stays a table."""
    text = run_as_markdown(busy)
    assert text.startswith("## ❌ snapstorm: VIOLATED")
    assert len(text.splitlines()) < 60
    assert not re.search(r"(?<!\\)<", text)
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_the_json_document_has_every_figure(busy: RunData) -> None:
    """For programs; it can be read back."""
    document = json.loads(json.dumps(run_document(busy)))
    assert document["schema"] == 1
    assert document["verdict"] == "violated"
    assert document["violations"][0]["differences_total"] == 2
    assert document["actions"]["snapshot-root"]["seconds"]["p50"] == 0.9
    assert len(document["samples"]) == 6


def test_the_trend_has_every_run(tmp_path: Path) -> None:
    """In the order in which they were, also the one that was killed."""
    bed = busy_bed(tmp_path / "bed")
    passed = bed.begin()
    bed.operation(passed, 1, action="restore-snapshot", seconds=0.25)
    bed.end(passed)
    bed.begin()
    bed.close()
    trend = read_trend(tmp_path / "bed")
    assert [run.verdict for run in trend.runs] == ["violated", "pass", "not ended"]
    assert trend.runs[1].latency == {"restore": (0.25, 0.25)}
    document = json.loads(json.dumps(trend_document(trend)))
    assert [run["violations"] for run in document["runs"]] == [1, 0, 0]
    page = Page(trend_page(trend))
    assert page.text.count("NOT ENDED") == 1
    assert not page.of("script")
    assert len(page.of("svg")) >= 4
    assert "not ended" in trend_as_markdown(trend)
