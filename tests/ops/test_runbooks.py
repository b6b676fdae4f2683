"""What a runbook tells to type can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
import typer

import ops
from ops.cli.main import app

RUNBOOKS = Path(ops.__file__).parent / "runbooks"
COMMAND = re.compile(r"^ {4,}(?:\$ )?warren (.+)$", re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    for path in sorted(RUNBOOKS.glob("*.md")):
        for command in COMMAND.findall(path.read_text()):
            yield path.stem, command


def parse(command: str) -> None:
    """Raises what the command line would have said."""
    command = re.sub(r"\$\([^)]*\)", "today", command)
    typed = takewhile(lambda word: word != "|", shlex.split(command, comments=True))
    words = [word for word in typed if word != "\\"]
    found, context = typer.main.get_command(app), None
    while hasattr(found, "get_command"):
        context = found.make_context(found.name, [words[0], "--help"], parent=context)
        found = found.get_command(context, words.pop(0))
        assert found is not None, f"there is no such command: {command}"
    found.make_context(found.name, words, parent=context)


@pytest.mark.parametrize(("runbook", "command"), list(commands()))
def test_a_runbook_s_commands_are_commands(runbook: str, command: str) -> None:
    parse(command)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("backup destroy", "there is no such command"),
        ("backup verify --config c", "Missing parameter: file"),
        ("backup verify --config c --no-such file", "No such option"),
    ],
)
def test_what_is_no_command_is_found(command: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        parse(command)


def test_every_disaster_has_commands() -> None:
    named = {runbook for runbook, _ in commands()}
    assert {"restore", "lost-database", "lost-master-key", "promoted-replica"} <= named


def test_links_between_runbooks_lead_somewhere() -> None:
    for path in RUNBOOKS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
