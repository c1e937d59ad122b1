"""Problems of a document are told in plain words, with what is allowed, whatever is wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from snapstorm.cli.words import changed
from snapstorm.errors import ConfigError
from snapstorm.model.actions import ACTIONS, ChangeMetadata, ModifyFiles
from snapstorm.model.change_kinds import ModifyKind
from snapstorm.scenario.problems import named
from snapstorm.scenario.scenarios import Scenario, build_scenario, read_option
from snapstorm.scenario.shipped_scenarios import shipped

BAD_VALUES: list[Any] = ["x", -5.5, [], {"a": 1}, [["x"]], "", "9..1", None]
PYDANTIC = re.compile(r"[Ii]nput should|valid|frozenset|instance|dictionary|tuple|integer|float|string|None|Span|rror")
"""Words of those who wrote the program, not of those who use it."""


@pytest.mark.parametrize("key", ACTIONS)
def test_every_option_of_every_action_says_what_is_allowed(key: str) -> None:
    """Nothing that one can write there is answered in terms of Python."""
    for name in ACTIONS[key].model_fields:
        for value in BAD_VALUES:
            check(problems_of({"options": {key: {name: value}}}), name)


@pytest.mark.parametrize("name", sorted(Scenario.model_fields.keys() - {"options", "recorded"}))
def test_every_field_of_a_scenario_says_what_is_allowed(name: str) -> None:
    """The same of what stands at the top, and of what stands in a table there."""
    field = Scenario.model_fields[name].alias or name
    for value in (*BAD_VALUES, {"x": "y"}, {"x": [1]}, [{"x": 1}], [{"action": 1, "repeat": 0, "alone": 7}]):
        check(problems_of({field: value}), field)


def problems_of(document: dict[str, Any]) -> list[str]:
    scenario = {"name": "mine", "weights": {"snapshot-root": 1}, **document}
    return [named(place, words) for place, words in build_scenario(scenario)[1]]


def check(problems: list[str], name: str) -> None:
    for problem in problems:
        shown = problem.partition(", not ")[0]
        assert not PYDANTIC.search(shown.replace(name, "")), problem
        assert "something else" not in problem


def test_a_list_is_separated_by_commas_on_the_command_line() -> None:
    """For every option of every action that takes one; other options keep their commas."""
    assert read_option("modify-files", "kinds", "append, rename") == ["append", "rename"]
    assert read_option("restore-snapshot", "id", "a,b") == "a,b"
    assert read_option("no-such-action", "kinds", "a,b") == "a,b"
    assert read_option("modify-files", "no-such-option", "a,b") == "a,b"
    taking_lists = {(key, name) for key, action in ACTIONS.items() for name in action.model_fields
                    if isinstance(read_option(key, name, "a,b"), list)}  # fmt: skip
    assert taking_lists == {(action.key, "kinds") for action in (ModifyFiles, ChangeMetadata)}
    assert all(takes_list(ACTIONS[key], name) == ((key, name) in taking_lists)
               for key, action in ACTIONS.items() for name in action.model_fields)  # fmt: skip


def takes_list(action: type[BaseModel], name: str) -> bool:
    """As its schema says, by another way than what is tested."""
    return action.model_json_schema()["properties"][name].get("type") == "array"


def test_what_is_typed_means_the_same_as_in_a_file() -> None:
    """The kinds that were typed are those that are drawn."""
    options = ["modify-files.kinds=append,rename", "change-metadata.kinds=mode"]
    scenario = changed(shipped("randomized"), options=options)
    assert scenario.options["modify-files"] == {"kinds": ["append", "rename"]}
    made = ModifyFiles(**scenario.options["modify-files"])
    assert made.kinds == {ModifyKind.APPEND, ModifyKind.RENAME}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"clients": 0}, "--clients: must be a whole number from 1 to 1,024, not 0"),
        ({"actions": 0}, "--actions: must be a whole number from 1 to 1,000,000,000, not 0"),
        ({"weights": ["expire=-1"]}, "--weights expire: must be a whole number from 0 to 1,000,000, not -1"),
        ({"options": ["modify-files.kinds=x"]}, "--option modify-files.kinds: must be one of in-place, append, "
                                               "truncate, rename, replace, not 'x'"),
        ({"options": ["run-gc.kind=slow"]}, "--option run-gc.kind: must be one of quick, full, random, not 'slow'"),
    ],
)  # fmt: skip
def test_a_problem_is_named_as_it_was_typed(arguments: dict[str, Any], words: str) -> None:
    """By the option of the command line, not by its place in a file that nobody wrote."""
    with pytest.raises(ConfigError) as raised:
        changed(shipped("randomized"), **arguments)
    assert raised.value.problems == (words,)
