"""Help: every command is described where they are listed, and teaches by its own page."""

from __future__ import annotations

import inspect
import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from snapstorm.cli.main import app

COMMANDS = [name for name in app if not name.startswith("-")]


def help_page(*tokens: str) -> str:
    """The page, on lines that are not wrapped."""
    shown = io.StringIO()
    app.help_print(list(tokens), console=Console(file=shown, width=1000, color_system=None))
    return shown.getvalue()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=["nothing", "--help", "-h"])
def test_every_command_is_described_in_the_list(arguments: list[str]) -> None:
    """By the first sentence of its own description, also where it is loaded only when it is used."""
    argv = [sys.executable, "-m", "snapstorm", *arguments]
    environment = os.environ | {"COLUMNS": "1000", "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(argv, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    for name in COMMANDS:
        described = inspect.cleandoc(app[name].help).partition("\n\n")[0].replace("\n", " ").replace("`", "")
        (line,) = [line for line in lines if line.startswith(f"│ {name} ")]
        assert described in line
        assert len(described) > 20
    assert len(COMMANDS) >= 18


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_each_command_holds_all_that_it_says_of_itself(name: str) -> None:
    """Every paragraph before its parameters, and every parameter with a description."""
    command = app[name].default_command
    assert command is not None
    text, _, parameters = inspect.cleandoc(command.__doc__ or "").partition("Parameters\n----------")
    shown = " ".join(help_page(name).replace("`", "").split())
    for paragraph in text.split("\n\n"):
        assert " ".join(paragraph.replace("`", "").split()) in shown
    assert not parameters or set(described_in(parameters)) <= set(inspect.signature(command).parameters)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name: str) -> None:
    """Also those of a group that commands share, and those that a target declares: on the page, by all its names."""
    lines = [line for line in help_page(name).splitlines() if line.startswith("│")]
    for argument in app[name].assemble_argument_collection(parse_docstring=True):
        if not argument.parse or not argument.show:
            continue
        (line,) = [line for line in lines if line.lstrip("│* ").startswith(f"{' '.join(argument.names)} ")]
        text = " ".join((argument.parameter.help or "").replace("`", "").split())
        assert len(text) > 10, argument.names
        assert text in line


def described_in(parameters: str) -> list[str]:
    """The names that this part of a docstring describes."""
    return [line for line in parameters.splitlines() if line.strip() and not line.startswith(" ")]
