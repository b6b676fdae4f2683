"""What the demo shows in the end, and while it runs."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from contracts.results import Status
from ops.showcase.deliveries import Delivered
from ops.showcase.narrator import Narrator
from ops.showcase.report import as_json, as_table
from tests.ops.showcase_samples import outcomes


def console() -> Console:
    return Console(file=io.StringIO(), width=80, highlight=False)


def written(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_every_address_stands_whole_on_a_line_of_80_columns() -> None:
    terminal, made = console(), outcomes()
    Narrator(terminal).show(as_table(made))
    lines = written(terminal).splitlines()
    assert max(map(len, lines)) <= 80
    for outcome in made:
        assert any(outcome.unsigned.address in line for line in lines)
        assert outcome.result.signature is not None
        assert outcome.result.signature.hex()[:64] in written(terminal)


def test_the_json_report_has_everything_to_verify_the_signatures_again() -> None:
    narrator, made = Narrator(console()), outcomes()
    with narrator.step("something", "Something happens"):
        pass
    delivered = Delivered(queue="q", client_id=None, request_id="r", status=Status.COMPLETED)
    shown = json.loads(json.dumps(as_json(narrator, made, [delivered])))
    assert [step["name"] for step in shown["steps"]] == ["something"]
    assert shown["deliveries"] == [
        {"queue": "q", "client_id": None, "request_id": "r", "status": "completed"}
    ]
    for outcome, key, signature in zip(made, shown["keys"], shown["signatures"], strict=True):
        assert key["public_key"] == outcome.key.facts.public_key.hex()
        assert signature["transaction"] == outcome.signed.raw.hex()
        assert signature["message"] == outcome.unsigned.message.hex()
        assert signature["public_key"] == (outcome.result.public_key or b"").hex()


def test_a_step_that_fails_is_told_as_such_and_not_counted() -> None:
    terminal = console()
    narrator = Narrator(terminal)
    with narrator.step("first", "The first"):
        pass
    with pytest.raises(RuntimeError), narrator.step("second", "The second"):
        raise RuntimeError
    assert [step.name for step in narrator.steps] == ["first"]
    assert [line[:1] for line in written(terminal).splitlines()] == ["✓", "✗"]
