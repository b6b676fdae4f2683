"""`warren bench crowd`: what it takes for good, what it prints, and that it runs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import ops.bench.cli as bench
from ops.bench import crowd, floods
from ops.bench.both import render_crowd
from ops.bench.crowd import Crowd, Flood, Row, Window, as_json
from ops.bench.floods import DONE, Kind, Outcome, Way
from ops.bench.latency import Latency
from tests.ops.bench_samples import STACK, report
from tests.patience import until

MACHINE = report().machine


def latency(p99: float) -> Latency:
    return Latency(p50=1.0, p95=2.0, p99=p99, max=p99, mean=1.0, min=1.0)


def window(p99: float | None = 40.0, **failures: int) -> Window:
    return Window(
        succeeded=100, failures=failures, latency_ms=None if p99 is None else latency(p99)
    )


ROW = Row(
    via=Way.AMQP,
    kind=Kind.KEYS,
    quiet=window(),
    beside=window(100.0),
    flood=Flood(
        answered={DONE: 50, "overloaded": 7}, refused=7, refusal_ms=latency(12.0), goodput_per_s=2.5
    ),
)
CROWD = Crowd(
    date="2026-11-29T00:00:00+00:00",
    commit="abc",
    machine=MACHINE,
    stack=STACK,
    seconds=20.0,
    lanes=60,
    interrupted=False,
    rows=[ROW],
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"beside": window(250.0)}, []),
        ({"quiet": window(200.0), "beside": window(600.0)}, []),
        ({"beside": window(251.0)}, ["its p99 is 251 ms, 6.3 times the quiet one"]),
        ({"beside": window(40.0, expired=1)}, ["1 of the modest owner's failed"]),
        ({"beside": window(None)}, ["none of the modest owner's succeeded"]),
        (
            {"flood": replace(ROW.flood, refusal_ms=latency(101.0))},
            ["the p99 of a refusal is 101 ms"],
        ),
        ({"flood": replace(ROW.flood, refused=0, refusal_ms=None)}, []),
    ],
)
def test_what_is_not_as_it_should_be_is_said(changes: dict[str, Any], told: list[str]) -> None:
    row = replace(ROW, **changes)
    assert row.lacks == told
    assert replace(CROWD, rows=[row]).lacking == ([row] if told else [])


def test_only_what_had_no_result_in_time_has_expired() -> None:
    assert window(expired=1, result_timeout=2, no_answer=4, overloaded=8).expired == 7


def test_people_and_programs_are_told_the_same() -> None:
    page = StringIO()
    Console(file=page, width=160).print(render_crowd(replace(CROWD, interrupted=True)))
    text = page.getvalue()
    for said in ("60 in flight, 20 s a kind", "commit abc", "Interrupted", "as it should be"):
        assert said in text
    (line,) = [each for each in text.splitlines() if each.strip().startswith("amqp   keys")]
    assert line.split()[:9] == ["amqp", "keys", "40", "100", "0", "0", "7", "12", "2.5"]
    assert "done 50 times, overloaded 7 times" in text
    told = json.loads(as_json(CROWD))
    assert told["rows"][0]["lacks"] == []
    assert told["rows"][0]["flood"]["refusal_ms"]["p99"] == 12.0
    assert told["machine"]["cores"] == MACHINE.cores


async def test_a_lane_counts_what_began_after_the_learning_and_pauses_when_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(floods, "PAUSE_S", 0.0)
    codes = iter([DONE, "overloaded", DONE, "overloaded", "expired"])
    outcome, asked = Outcome(), 0

    async def operate() -> str:
        nonlocal asked
        asked += 1
        outcome_of = next(codes, None)
        if outcome_of is None:
            await asyncio.Event().wait()
        return str(outcome_of)

    lane = asyncio.create_task(outcome.lane(operate, 0.0))
    await until(lambda: asked == 6)
    lane.cancel()
    assert outcome.answered == {DONE: 2, "overloaded": 2, "expired": 1}
    assert len(outcome.refusals_s) == 2
    early = Outcome()
    codes = iter(["overloaded"])
    lane = asyncio.create_task(early.lane(operate, float("inf")))
    await until(lambda: asked == 8)
    lane.cancel()
    assert (early.answered, early.refusals_s) == ({}, [])


@pytest.mark.parametrize("way", [floods.HTTP, floods.AMQP])
def test_every_kind_of_flood_comes_by_either_way(way: dict[Kind, object]) -> None:
    assert set(way) == set(Kind)


@pytest.mark.usefixtures("own_stack")
def test_a_crowd_is_measured_on_a_stack_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "RESPITE_S", 0.2)
    kinds = [word for kind in Kind for word in ("--kind", kind.value)]
    done = CliRunner().invoke(
        bench.app, ["crowd", "--seconds", "1", "--lanes", "6", *kinds, "--json"]
    )
    assert done.exit_code in {0, 1}, done.stderr  # figures of a second mean nothing
    found = json.loads(done.stdout)
    assert [(row["via"], row["kind"]) for row in found["rows"]] == [
        (way.value, kind.value) for way in Way for kind in Kind
    ]
    assert all(row["beside"]["succeeded"] for row in found["rows"])
    assert not found["interrupted"]
    assert {"no_answer", "gateway_unavailable"}.isdisjoint(
        code for row in found["rows"] for code in row["flood"]["answered"]
    )
