"""Scenarios: what users write is checked as a whole, each problem with its line."""

from __future__ import annotations

import pytest

from snapstorm.errors import ConfigError
from snapstorm.model.actions import ACTIONS, WriteRandomFiles
from snapstorm.scenario.quantities import read_duration, read_skew
from snapstorm.scenario.scenarios import build_scenario, parse_scenario
from snapstorm.scenario.shipped_scenarios import SHIPPED, shipped

BROKEN = """\
clients = 0
duration = "5 parsecs"
colour = 1

[weights]
snapshot-roots = 2
write-random-files = -1

[[steps]]
action = "write-random-files"
cuont = 5

[[steps]]
action = "delete-files"
percent = 500

[options.write-random-files]
count = "9..1"
"""


def test_all_problems_are_told_at_once_with_their_lines() -> None:
    """A file with seven mistakes gives seven lines, each with the file, the line and the name."""
    with pytest.raises(ConfigError) as raised:
        parse_scenario(BROKEN, "mine.toml")
    lines = raised.value.problems
    expected = [
        ("mine.toml:1:", "clients"),
        ("mine.toml:2:", "5 parsecs"),
        ("mine.toml:3:", "colour"),
        ("mine.toml:6:", "'snapshot-root'"),
        ("mine.toml:7:", "write-random-files"),
        ("mine.toml:11:", "cuont"),
        ("mine.toml:15:", "percent"),
        ("mine.toml:18:", "upside down"),
    ]
    assert len(lines) == len(expected), lines
    for line, (place, word) in zip(lines, expected, strict=True):
        assert line.startswith(place), line
        assert word in line


def test_a_scenario_that_does_nothing_is_refused() -> None:
    """Without steps and weights there is nothing to judge."""
    with pytest.raises(ConfigError, match="do nothing"):
        parse_scenario("clients = 2", "mine.toml")


def test_direct_mode_has_one_client() -> None:
    """More than one client without a server is refused."""
    with pytest.raises(ConfigError, match="exactly one client"):
        parse_scenario('mode = "direct"\nclients = 2\n[weights]\nsnapshot-root = 1', "mine.toml")


def test_bad_toml_says_where() -> None:
    """A syntax error names the file and the line."""
    with pytest.raises(ConfigError, match=r"mine.toml: not valid TOML.*line 2"):
        parse_scenario("clients = 1\nweights = [1 2]", "mine.toml")


def test_a_good_scenario_is_read_whole() -> None:
    """Steps keep their options and repetitions, weights and options their values."""
    text = """
        duration = "5m"
        [[steps]]
        action = "write-random-files"
        repeat = 3
        count = "1..5"
        [weights]
        snapshot-root = 2
    """
    scenario = parse_scenario(text, "dir/mine.toml")
    assert scenario.name == "mine"
    assert scenario.duration_seconds == 300
    assert scenario.steps[0].repeat == 3
    assert scenario.steps[0].make().model_dump()["count"] == "1..5"


GC = 'action = "run-gc"\nsafety = "none"\n'
RANDOM = "[weights]\nrun-gc = 1\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f"[[steps]]\n{GC}", 3, "safety: none destroys"),
        (f"[[steps]]\n{GC}alone = false", 3, "safety: none destroys"),
        (f'{RANDOM}[options.run-gc]\nsafety = "none"', 4, "safety: none destroys"),
        ("[weights]\nmark-storage = 1", 2, "mark-storage is possible only in a step with alone = true"),
        ('[[steps]]\naction = "check-storage"', 2, "check-storage is possible only in a step with alone = true"),
        (f'[[steps]]\naction = "run-gc"\nalone = "perhaps"\n{RANDOM}', 3, "alone"),
    ],
)
def test_what_needs_the_others_to_wait_is_refused_elsewhere(text: str, line: int, words: str) -> None:
    """A collection that destroys what is being written, and measuring, are possible only where nobody else works."""
    with pytest.raises(ConfigError) as raised:
        parse_scenario(text, "mine.toml")
    (problem,) = raised.value.problems
    assert problem.startswith(f"mine.toml:{line}:")
    assert words in problem


def test_a_step_that_is_done_alone_may_be_unsafe_and_measure() -> None:
    """There it is accepted, and stays so when the scenario is written out and read again."""
    steps = f"[[steps]]\n{GC}alone = true\n" + '[[steps]]\naction = "mark-storage"\nalone = true'
    scenario = parse_scenario(steps, "mine.toml")
    assert [step.alone for step in scenario.steps] == [True, True]
    assert scenario.steps[0].options == {"safety": "none"}
    again, problems = build_scenario({"name": "mine", "steps": [step.as_document() for step in scenario.steps]})
    assert (again, problems) == (scenario, [])


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("1.5h", 5400), ("2m", 120), ("250ms", 0.25), ("7", 7), (7, 7), ("1d", 86400)]
)
def test_durations_are_read(text: str | int, seconds: float) -> None:
    """Numbers with a unit, or seconds."""
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["5 parsecs", "", "-1s", "0", "1e9d", "9999d", "s", "1 2s", "nan", True])
def test_bad_durations_are_refused(text: str | bool) -> None:
    """What is no duration, or an absurd one, is refused with what is allowed."""
    with pytest.raises(ValueError, match="duration|range"):
        read_duration(text)


def test_an_unknown_scenario_names_the_nearest() -> None:
    """A slip of the keyboard gets a suggestion."""
    with pytest.raises(ConfigError, match="did you mean 'randomized'"):
        shipped("randomised")


def test_shipped_scenarios_make_valid_actions() -> None:
    """Every step and every weighted action of every shipped scenario can be made."""
    assert len(SHIPPED) == 11
    for scenario in SHIPPED:
        assert build_scenario(scenario.model_dump(by_alias=True, exclude_unset=True)) == (scenario, [])
        for step in scenario.steps:
            assert step.make().key == step.action


def test_an_upgrade_has_links_only_in_the_root() -> None:
    """0.19.0 counts no others (#4421), and what is tested is that all versions read what the others wrote."""
    scenario = shipped("upgrade")
    writes = [step.make() for step in scenario.steps] + [
        ACTIONS[key](**scenario.options.get(key, {})) for key in scenario.weights
    ]
    for write in writes:
        if isinstance(write, WriteRandomFiles):
            assert write.depth == 0 or not write.links
    assert any(isinstance(write, WriteRandomFiles) and write.links for write in writes)
    assert "snapshot-subpath" not in scenario.weights


DAYS = """
clients = 2
virtual_start = 2022-01-01
rounds = 4
steps = [
    { action = "snapshot-root" },
    { action = "advance-time", hours = 36, alone = true },
    { action = "advance-time", days = 7, alone = true, every = 2 },
]
"""


def test_a_scenario_in_virtual_time_lasts_as_long_as_its_steps_advance_it() -> None:
    """And can be made to last so many days, in whole rounds."""
    scenario = parse_scenario(DAYS, "days.toml")
    assert scenario.virtual_start == "2022-01-01T00:00:00Z"
    assert [scenario.days_after(rounds) for rounds in range(5)] == [0, 1.5, 10, 11.5, 20]
    assert [scenario.lasting(days).rounds for days in (1, 2, 10, 11, 1000)] == [1, 2, 2, 3, 200]
    with pytest.raises(ValueError, match="does not advance time"):
        shipped("randomized").lasting(1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("virtual_start = 2022-01-01\n", ""), "needs a virtual_start"),
        (("2022-01-01", '"soon"'), "'soon' is no moment"),
        (("2022-01-01", "1999-12-31"), "the year is from 2000 to 2199"),
        (("hours = 36", "hours = -1"), "hours: must be a number from 0"),
        (("hours = 36, alone = true", "hours = 36"), "possible only in a step with alone = true"),
        (("rounds = 4", 'rounds = 4\nclock_skews = ["late"]'), "'late' is no skew"),
    ],
)
def test_what_can_not_be_in_virtual_time_is_told(change: tuple[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_scenario(DAYS.replace(*change), "days.toml")


def test_skews_need_virtual_time() -> None:
    """Nobody's real clock is wrong because a scenario says so."""
    with pytest.raises(ConfigError, match="clock_skews, which needs a virtual_start"):
        parse_scenario('clock_skews = ["5h"]\nsteps = [{ action = "snapshot-root" }]\n', "x.toml")


@pytest.mark.parametrize(("text", "seconds"), [("5h", 18_000.0), ("-2d", -172_800.0), ("0s", 0.0), ("90", 90.0)])
def test_clocks_are_ahead_or_behind(text: str, seconds: float) -> None:
    assert read_skew(text) == seconds


@pytest.mark.parametrize("name", ["year", "decade", "skewed-clocks"])
def test_the_scenarios_over_time_begin_in_the_past_and_last(name: str) -> None:
    """As long as they say, and what collects garbage, or advances time, is done alone."""
    scenario = shipped(name)
    days = {"year": 365.0, "decade": 3_654.0, "skewed-clocks": 30.0}
    assert scenario.days_after(scenario.rounds) == days[name]
    assert all(step.alone for step in scenario.steps if step.action in ("run-gc", "advance-time"))
