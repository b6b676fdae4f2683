"""The micro-benchmark of the protocols, with tiny counts."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner, Result

from ops.bench import protocols
from ops.bench.in_memory import Clock, generate, presign
from workers.protocols.dkls23 import Answer, Extension, SetUp
from workers.protocols.ot import base
from workers.protocols.ot.arithmetic import fastest

from ..protocols.dkls23.batches import new_batch

pytestmark = pytest.mark.long


def invoke(*words: str) -> Result:
    app = typer.Typer()
    app.command()(protocols.main)
    return CliRunner().invoke(app, ["--repetitions", "1", "--signers", "2", *words])


@pytest.fixture(scope="module")
def measured() -> dict[str, object]:
    done = invoke("--batch", "1", "--batch", "2", "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_every_step_has_a_row_with_a_time(measured: dict[str, object]) -> None:
    rows = measured["rows"]
    assert isinstance(rows, list)
    assert {(row["what"], row["batch"]) for row in rows} == {
        ("presignature, BatchedArithmetic", 1),
        ("presignature, PlainArithmetic", 1),
        ("presignature, BatchedArithmetic", 2),
        ("base OT and PPRF, each pair", 1),
        ("base OT and PPRF, each pair", 2),
        ("signature share", 0),
        ("combine", 0),
        ("key generation 2 of 3", 0),
    }
    assert all(0 < row["median_ms"] <= row["p95_ms"] for row in rows)
    assert measured["product_us"]


def test_sizes_are_those_of_the_messages(measured: dict[str, object]) -> None:
    batch = new_batch(2, 2, (1, 2), count=2).offer_all().extend_all().answer_all()
    one, two = batch.signers
    messages: list[SetUp | Extension | Answer] = [
        batch.set_ups[one][two],
        batch.extensions[one][two],
        batch.answers[one][two],
    ]
    real = {type(message).__name__: len(message.to_bytes()) for message in messages}
    sizes = measured["sizes"]
    assert isinstance(sizes, dict)
    assert sizes["2"] == {**real, "Commitment": 32, "SignatureShare": 64}
    assert sizes["1"]["Answer"] < real["Answer"]


def test_people_get_a_table_and_no_progress_bar_outside_a_terminal() -> None:
    done = invoke("--batch", "2")
    assert done.exit_code == 0
    assert done.stderr == ""
    for word in ("base OT and PPRF", "SetUp", "8,545", "Python", "numpy"):
        assert word in done.stdout


def test_the_clock_leaves_the_functions_it_watches_as_they_were() -> None:
    before = base.sender_keys, vars(base.Pairs)["from_bytes"]
    clock, keys = Clock(), generate(2, 2, Clock())
    with clock.watching_set_up():
        presign(keys, 1, fastest(), clock)
        assert base.sender_keys is not before[0]
    assert (base.sender_keys, vars(base.Pairs)["from_bytes"]) == before
    spent, set_up = clock.lap()
    assert 0 < set_up < spent
    assert clock.lap() == (0, 0)
