"""`warren bench http` and `warren bench abuse`."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import ops.bench.cli as bench
from gateway.settings import Limits
from ops.bench import abuse
from ops.bench.accounts import failure_of
from ops.bench.attackers import ATTACKS
from ops.bench.both import render_both
from ops.bench.caller import Answer, Caller, GatewayUnavailableError
from ops.bench.hop import Comparison, as_json
from tests.ops.bench_samples import group, report

LIMITS = Limits()
HOST = "127.0.0.1"
BODY = b'{"a": 1}'
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Type: x\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


@asynccontextmanager
async def answering(
    *answers: bytes, then_close: bool = False
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """What it was asked, for each connection all that came."""
    left, asked = list(answers), []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            asked.append(head + await reader.readexactly(length))
            writer.write(left.pop(0))
            if then_close:
                break
        writer.close()

    async with await asyncio.start_server(connected, HOST, 0) as server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}", asked


async def test_a_caller_uses_its_connection_again() -> None:
    async with answering(ANSWER, ANSWER) as (url, asked), Caller(url, "secret") as caller:
        for _ in range(2):
            assert await caller.post("/sign", {"message": ""}) == Answer(201, {"a": 1})
    assert [each.split(b"\r\n")[0] for each in asked] == [b"POST /sign HTTP/1.1"] * 2
    assert b"X-API-Key: secret\r\n" in asked[0]


async def test_a_connection_that_the_gateway_closed_is_not_used_again() -> None:
    async with (
        answering(ANSWER, ANSWER, then_close=True) as (url, asked),
        Caller(url, "secret") as caller,
    ):
        for _ in range(2):
            await caller.post("/sign", {})
            await asyncio.sleep(0.05)
    assert len(asked) == 2


@pytest.mark.parametrize("answer", [b"", ANSWER[:30], ANSWER[:-1]])
async def test_half_an_answer_is_none(answer: bytes) -> None:
    async with answering(answer, then_close=True) as (url, _), Caller(url, "secret") as caller:
        with pytest.raises(GatewayUnavailableError, match="does not answer"):
            await caller.post("/sign", {})


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"result": {"signature": ""}}, None),
        ({"status": "failed", "failure": {"code": "spoilt"}}, "spoilt"),
        ({"status": 429, "code": "rate_exceeded"}, "rate_exceeded"),
        ({"status": "in_progress"}, "result_timeout"),
    ],
)
def test_what_is_no_result_counts_by_its_code(document: dict[str, Any], code: str | None) -> None:
    assert failure_of(Answer(201, document)) == code


def test_the_hop_is_what_came_on_top() -> None:
    client = report(cpu=[group("client", 1.0), group("broker", 0.5)])
    assert client.latency_ms is not None
    slower = replace(
        client.latency_ms, p50=client.latency_ms.p50 + 4, p99=client.latency_ms.p99 + 9
    )
    http = report(
        cpu=[group("client", 0.2), group("gateway", 0.3), group("broker", 0.6)], latency_ms=slower
    )
    both = Comparison(client=client, http=http)
    found = json.loads(as_json(both))
    assert set(found) == {"client", "http", "hop"}
    assert found["hop"] == pytest.approx({"p50": 4, "p99": 9, "gateway_cpu": 3, "stack_cpu": 4})
    page = StringIO()
    Console(file=page, width=120).print(render_both(both))
    assert "HTTP costs 4.00 ms at the median" in page.getvalue()


def test_without_any_latency_there_is_no_hop() -> None:
    nothing = report(latency_ms=None, cpu=[])
    hop = Comparison(client=nothing, http=nothing).hop
    assert (hop.p50, hop.p99, hop.gateway_cpu) == (None, None, None)


def measured(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(bench.app, [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("own_stack")
def test_both_ways_are_measured_on_one_stack() -> None:
    found = measured("http", "-n7", "-c2", "--warmup=1", "--curve=secp256k1", "--warm")
    for way in ("client", "http"):
        assert found[way]["succeeded"] == 7
        seen = found[way]["presignatures"]
        assert (seen["before"] - seen["after"], seen["made"]) == (7, 0)
    assert found["client"]["stack"]["gateways"] == 1
    assert found["hop"]["gateway_cpu"] > 0


@pytest.mark.usefixtures("own_stack")
def test_who_signs_steadily_gets_through_all_bad_manners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abuse, "RESPITE_S", 0.2)
    found = measured("abuse", "--seconds", "5")  # on a busy machine an account takes some
    windows = {each["name"]: each for each in found["windows"]}
    assert set(windows) == {abuse.UNDISTURBED, *ATTACKS}
    assert all(each["succeeded"] > 0 and each["failures"] == {} for each in found["windows"])
    assert set(windows["huge bodies"]["answered"]) <= {"413", "429"}
    burst = Counter(windows["burst"]["answered"])
    assert burst["201"] >= 1
    # What a key may ask for in twice the time; on a busy machine nobody gets as far as that.
    allowed = LIMITS.requests * (1 + 2 * 5 / LIMITS.window_seconds)
    assert burst["201"] <= allowed
    if burst["201"] + burst["429"] > 2 * allowed:
        assert burst["429"] > burst["201"]
