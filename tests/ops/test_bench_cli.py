"""`warren bench` from its command line, up to the real stack."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import ops.bench.cli as bench
from contracts.client import (
    BrokerUnavailableError,
    ClientClosedError,
    RequestFailedError,
    ResultTimeoutError,
)
from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve, Scheme
from contracts.results import SignResult, Status
from ops.bench import site as sites
from ops.bench.load import Outcome
from ops.bench.report import Report
from ops.bench.run import Load, watched
from ops.bench.site import Site, Store, plan_for
from ops.bench.work import Work, failure_code
from ops.stack.deployment import Plan, running_deployment
from ops.stack.errors import ChildDiedError, MissingServiceError
from ops.stack.services import Services
from tests.ops.bench_samples import report


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(bench.app, [str(word) for word in words])


class Stage:
    """Stands in for stack and load: notes what was asked for, gives the report it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.report = report()
        self.plan: Plan | None = None
        self.store: Store | None = None
        self.work: Work | None = None
        self.load: Load | None = None
        self.gone = False
        monkeypatch.setattr(bench, "own_site", self.own_site)
        monkeypatch.setattr(bench, "run", self.run)

    @contextmanager
    def own_site(self, directory: Path, plan: Plan, store: Store, progress: Any) -> Iterator[None]:
        self.plan, self.store = plan, store
        progress("The stack is up.")
        yield
        self.gone = True

    async def run(
        self, site: Site, work: Work, load: Load, advanced: Any
    ) -> tuple[Report, list[float]]:
        self.work, self.load = work, load
        advanced(Outcome())
        return self.report, [0.01, 0.02, 0.03]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


###
### Options
###


def test_options_become_stack_and_load(stage: Stage) -> None:
    done = invoke(
        *("sign", "--curve", "secp256k1", "--count", "7", "--concurrency", "3", "--warmup", "2"),
        *("--parties", "5", "--threshold", "4", "--processes-per-party", "2"),
        *("--coordinator-processes", "3", "--store", "mixed", "--timeout", "9"),
    )
    assert done.exit_code == 0
    assert stage.work == Work(
        operation="sign", curve=Curve.SECP256K1, scheme=Scheme.BIP340, threshold=4, party_count=5
    )
    assert stage.load == Load(count=7, concurrency=3, warmup=2, timeout_s=9)
    assert stage.plan is not None
    assert stage.plan == plan_for(
        party_count=5, processes_per_party=2, coordinator_processes=3, store=Store.MIXED
    )
    assert stage.store is Store.MIXED
    assert stage.gone


@pytest.mark.parametrize(
    ("words", "scheme"),
    [
        (["sign"], Scheme.ED25519),
        (["sign", "--curve", "secp256k1"], Scheme.BIP340),
        (["sign", "--curve", "secp256k1", "--scheme", "secp256k1"], Scheme.SECP256K1),
        (["keygen", "--curve", "secp256k1"], None),
    ],
)
def test_the_scheme_is_the_curves_unless_another_is_named(
    stage: Stage, words: list[str], scheme: Scheme | None
) -> None:
    assert invoke(*words).exit_code == 0
    assert stage.work is not None
    assert stage.work.scheme is scheme


@pytest.mark.parametrize(("concurrency", "warmup"), [(1, 10), (5, 10), (16, 32)])
def test_the_warm_up_grows_with_the_concurrency(
    stage: Stage, concurrency: int, warmup: int
) -> None:
    invoke("sign", "--concurrency", str(concurrency))
    assert stage.load is not None
    assert stage.load.warmup == warmup


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sign", "--scheme", "bip340"], "--curve secp256k1"),
        (["keygen", "--parties", "3", "--threshold", "4"], "--threshold 4"),
        (["keygen", "--count", "0"], "--count"),
        (["keygen", "--concurrency", "0"], "--concurrency"),
        (["sign", "--store", "paper"], "--store"),
        (["sign", "--plot", "/no/such/folder/plot.png"], "/no/such/folder"),
        (["sign", "--config", "/no/such/client.toml"], "/no/such/client.toml"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_starts_nothing(
    stage: Stage, words: list[str], said: str
) -> None:
    done = invoke(*words)
    assert done.exit_code == bench.UNUSABLE
    assert said in done.stderr
    assert stage.plan is None
    assert stage.load is None


###
### Output
###


def test_json_alone_is_on_stdout(stage: Stage) -> None:
    done = invoke("sign", "--json")
    assert json.loads(done.stdout)["succeeded"] == 100
    assert done.stderr == "The stack is up.\n"


def test_people_get_the_table(stage: Stage) -> None:
    done = invoke("sign")
    assert "100 succeeded in 2.00 s: 50.0/s" in done.stdout


def test_the_plot_is_written_and_named(stage: Stage, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = invoke("sign", "--plot", tmp_path / "plot.png")
    assert done.exit_code == 0
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    assert f"The plot is in {tmp_path / 'plot.png'}." in done.stderr


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 0),
        ({"failures": {"expired": 1}}, bench.FAILED),
        ({"interrupted": True}, bench.INTERRUPTED),
        ({"interrupted": True, "failures": {"expired": 1}}, bench.INTERRUPTED),
    ],
)
def test_the_exit_code_tells_how_it_ended(
    stage: Stage, changes: dict[str, Any], status: int
) -> None:
    stage.report = report(**changes)
    done = invoke("sign")
    assert done.exit_code == status
    assert "100 succeeded" in done.stdout
    assert stage.gone


@pytest.mark.parametrize(
    ("trouble", "status", "said"),
    [
        (MissingServiceError("There is no broker."), bench.UNAVAILABLE, "There is no broker."),
        (ChildDiedError("party-1.1 was killed."), bench.UNAVAILABLE, "party-1.1 was killed."),
        (KeyboardInterrupt(), bench.INTERRUPTED, "Interrupted before"),
    ],
)
def test_trouble_is_a_sentence_and_an_exit_code(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    trouble: BaseException,
    status: int,
    said: str,
) -> None:
    async def run(*_: Any, **__: Any) -> None:
        raise trouble

    monkeypatch.setattr(bench, "run", run)
    done = invoke("sign")
    assert done.exit_code == status
    assert said in done.stderr
    assert done.stdout == ""


###
### Failures
###


def test_every_way_to_fail_has_its_code() -> None:
    result = SignResult(
        request_id="r1",
        client_id="svcA",
        session_id=None,
        status=Status.FAILED,
        finished_at=1,
        failure=Failure.of(FailureCode.EXPIRED, "too late"),
        key_id="k1",
    )
    assert result.failure is not None
    assert failure_code(RequestFailedError(result.failure, result)) == "expired"
    assert failure_code(ResultTimeoutError("r1")) == "result_timeout"
    assert failure_code(BrokerUnavailableError("away")) == "broker_unavailable"
    with pytest.raises(ClientClosedError):
        failure_code(ClientClosedError("closed"))


async def test_a_worker_that_ended_ends_the_measurement_too() -> None:
    def check() -> None:
        raise ChildDiedError("party-1.1 ended")

    with pytest.raises(ChildDiedError, match=r"party-1\.1"):
        async with watched(check, every_s=0):
            await asyncio.sleep(60)


async def test_a_cancelled_measurement_stays_cancelled() -> None:
    async def measure() -> None:
        async with watched(lambda: None):
            await asyncio.sleep(60)

    measuring = asyncio.create_task(measure())
    await asyncio.sleep(0)
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring


###
### For real
###


def test_a_throw_away_stack_is_measured(
    services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def shared(*_: Any, **__: Any) -> Iterator[Services]:
        yield services

    monkeypatch.setattr(sites, "running_services", shared)
    plot = tmp_path / "plot.png"
    words = ["--count", "5", "--concurrency", "2", "--warmup", "1", "--store", "mixed"]
    done = invoke("sign", "--json", *words, "--plot", plot)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["succeeded"], found["failures"], found["abandoned"]) == (5, {}, 0)
    assert 0 < found["latency_ms"]["min"] <= found["latency_ms"]["p50"]
    assert found["latency_ms"]["p99"] <= found["latency_ms"]["max"]
    assert found["stack"]["queues"] == ["quorum"]
    assert found["stack"]["fsync"] == "on"
    workers = ["coordinator", "party-1", "party-2", "party-3"]
    groups = [group["group"] for group in found["cpu"]]
    assert groups[:5] == ["client", *workers]
    assert all(found["memory_bytes"][f"{worker}.1"] > 10 * 2**20 for worker in workers)
    assert plot.exists()


def test_a_running_stack_is_measured_from_outside(services: Services) -> None:
    with running_deployment(services, Plan(sqlite_parties=0)) as deployment:
        config = deployment.clients["svcA"]
        done = invoke("keygen", "--json", "--count", "1", "--warmup", "0", "--config", config)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["succeeded"] == 1
    assert found["stack"] is None
    assert [group["group"] for group in found["cpu"]] == ["client"]
