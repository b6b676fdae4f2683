"""`warren bench` with real stacks: the figures of so few operations mean nothing, but are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ops.bench.cli as bench
from ops.stack.deployment import Plan, running_deployment
from ops.stack.services import Services

PARTIES = [f"party-{i}{lane}" for i in (1, 2, 3) for lane in ("", ".keygen", ".presigning")]


def measured(*words: str | Path) -> dict[str, Any]:
    """The JSON of a command that succeeds."""
    done = CliRunner().invoke(bench.app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["failures"], found["abandoned"]) == ({}, 0)
    assert 0 < found["latency_ms"]["min"] <= found["latency_ms"]["p50"]
    assert found["latency_ms"]["p99"] <= found["latency_ms"]["max"]
    return found


@pytest.mark.usefixtures("own_stack")
def test_a_throw_away_stack_is_measured(tmp_path: Path) -> None:
    plot = tmp_path / "plot.png"
    load = ("--count", "5", "--concurrency", "2", "--warmup", "1")
    found = measured("sign", *load, "--store", "mixed", "--while-presigning", "--plot", plot)
    assert found["succeeded"] == 5
    assert found["stack"]["queues"] == ["quorum", "stream"]
    assert found["stack"]["fsync"] == "on"
    assert [group["group"] for group in found["cpu"]][:11] == ["client", "coordinator", *PARTIES]
    workers = [f"{worker}.1" for worker in ("coordinator", *PARTIES)]
    assert all(found["memory_bytes"][worker] > 10 * 2**20 for worker in workers)
    assert (found["presignatures"]["before"], found["presignatures"]["made"]) == (0, 0)
    assert found["presignatures"]["made_elsewhere"] is not None
    assert plot.exists()


@pytest.mark.usefixtures("own_stack")
def test_a_warm_pool_has_all_presignatures_and_gets_no_more() -> None:
    found = measured("sign", "--curve", "secp256k1", "--warm", "--batch", "3", "-n4", "--warmup=1")
    assert found["succeeded"] == 4
    assert found["items_per_s"] == pytest.approx(3 * found["throughput_per_s"])
    seen = found["presignatures"]
    assert seen["before"] - seen["after"] == 12
    assert seen["after"] >= 1
    assert seen["made"] == 0


@pytest.mark.usefixtures("own_stack")
def test_from_a_cold_pool_every_presignature_is_made_when_it_is_asked_for() -> None:
    found = measured("sign", "--curve", "secp256k1", "--cold", "-n2", "--warmup=1")
    assert found["succeeded"] == 2
    assert found["presignatures"] == {"before": 0, "after": 0, "made": 2, "made_elsewhere": None}


@pytest.mark.usefixtures("own_stack")
def test_a_pool_in_use_is_full_before_it_is_measured() -> None:
    found = measured("sign", "--curve", "secp256k1", "-n2", "--warmup=0")
    seen = found["presignatures"]
    assert seen["before"] >= 64
    assert seen["after"] == seen["before"] - 2 + seen["made"]


@pytest.mark.usefixtures("own_stack")
def test_batches_of_presignatures_are_measured() -> None:
    found = measured("presign", "--batch", "4", "-n3", "-c2", "--warmup=1")
    assert found["succeeded"] >= 3
    assert found["presignatures"]["made"] >= 4 * found["succeeded"]
    cost = {group["group"]: group["cpu_ms_per_item"] for group in found["cpu"]}
    busiest = sorted(PARTIES, key=lambda name: -cost[name])[:2]
    assert all(name.endswith(".presigning") for name in busiest)


def test_a_running_stack_is_measured_from_outside(services: Services) -> None:
    with running_deployment(services, Plan(sqlite_parties=0)) as deployment:
        config = deployment.clients["svcA"]
        found = measured("keygen", "--count", "1", "--warmup", "0", "--config", config)
    assert found["succeeded"] == 1
    assert (found["stack"], found["presignatures"]) == (None, None)
    assert [group["group"] for group in found["cpu"]] == ["client"]
