"""`warren bench` from its command line."""

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
from ops.bench import console
from ops.bench import run as runs
from ops.bench.filling import FillError
from ops.bench.load import Load, Outcome
from ops.bench.report import Report
from ops.bench.run import Onlooker, watched
from ops.bench.site import Processes, Site, Store, plan_for
from ops.bench.supply import supply_for
from ops.bench.work import Pool, Work, failure_code
from ops.stack.deployment import Plan
from ops.stack.errors import ChildDiedError, MissingServiceError
from tests.ops.bench_samples import report

ECDSA = ("sign", "--curve", "secp256k1")


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
        monkeypatch.setattr(runs, "run", self.run)

    @contextmanager
    def own_site(self, directory: Path, plan: Plan, store: Store, progress: Any) -> Iterator[None]:
        self.plan, self.store = plan, store
        progress("The stack is up.")
        yield
        self.gone = True

    async def run(
        self, site: Site, work: Work, load: Load, onlooker: Onlooker
    ) -> tuple[Report, list[float]]:
        self.work, self.load = work, load
        onlooker.filled(1, 2)
        onlooker.advanced(Outcome())
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
        *(
            "--presigning-processes",
            "4",
            "--coordinator-processes",
            "3",
            "--store",
            "mixed",
            "--timeout",
            "9",
        ),
    )
    assert done.exit_code == 0
    assert stage.work == Work(
        operation="sign",
        curve=Curve.SECP256K1,
        scheme=Scheme.ECDSA,
        threshold=4,
        party_count=5,
        pool=Pool.SUSTAINED,
    )
    assert stage.load == Load(count=7, concurrency=3, warmup=2, timeout_s=9)
    assert stage.plan is not None
    assert stage.plan == plan_for(
        party_count=5,
        processes=Processes(party=2, presigning=4, coordinator=3),
        store=Store.MIXED,
    )
    assert stage.store is Store.MIXED
    assert stage.gone


@pytest.mark.parametrize(
    ("words", "pool", "refill"),
    [
        ([*ECDSA, "--warm"], Pool.WARM, False),
        ([*ECDSA, "--warm", "--while-presigning"], Pool.WARM, True),
        ([*ECDSA, "--cold"], Pool.COLD, False),
        ([*ECDSA, "--while-presigning"], Pool.SUSTAINED, True),
        ([*ECDSA, "--scheme", "bip340"], None, False),
        (["sign", "--while-presigning"], None, True),
    ],
)
def test_the_pool_is_as_asked_for_and_the_stack_is_made_for_it(
    stage: Stage, words: list[str], pool: Pool | None, refill: bool
) -> None:
    assert invoke(*words).exit_code == 0
    assert stage.work is not None
    assert stage.load is not None
    assert stage.plan is not None
    assert (stage.work.pool, stage.work.refill) == (pool, refill)
    supply = supply_for(stage.work, stage.load)
    assert (stage.plan.pools, stage.plan.limits) == (supply.pools, supply.limits)


def test_a_list_has_as_many_digests_as_asked_for(stage: Stage) -> None:
    assert invoke(*ECDSA, "--batch", "256").exit_code == 0
    assert stage.work is not None
    assert stage.work.batch == 256


def test_presigning_is_measured_by_the_batch(stage: Stage) -> None:
    words = ("--batch", "16", "-c", "3", "-n", "5", "--presigning-processes", "2")
    assert invoke("presign", *words).exit_code == 0
    assert stage.work == Work(
        operation="presign",
        curve=Curve.SECP256K1,
        scheme=Scheme.ECDSA,
        threshold=2,
        party_count=3,
        batch=16,
    )
    assert stage.load == Load(count=5, concurrency=3, warmup=6, timeout_s=60)
    assert stage.plan is not None
    assert stage.plan.presigning_processes == 2
    assert stage.plan.pools == supply_for(stage.work, stage.load).pools


@pytest.mark.parametrize(
    ("words", "scheme"),
    [
        (["sign"], Scheme.ED25519),
        (["sign", "--curve", "secp256k1"], Scheme.ECDSA),
        (["sign", "--curve", "secp256k1", "--scheme", "bip340"], Scheme.BIP340),
        (["sign", "--curve", "secp256k1", "--scheme", "secp256k1"], Scheme.SECP256K1),
        (["keygen", "--curve", "secp256k1"], None),
        (["presign"], Scheme.ECDSA),
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
        (["presign", "--parties", "3", "--threshold", "4"], "--threshold 4"),
        (["sign", "--batch", "2"], "--batch 2 goes with --scheme ecdsa"),
        ([*ECDSA, "--scheme", "bip340", "--batch", "2"], "--batch 2 goes with --scheme ecdsa"),
        ([*ECDSA, "--batch", "257"], "--batch"),
        (["presign", "--batch", "65"], "--batch"),
        (["sign", "--warm"], "--scheme ecdsa"),
        (["sign", "--cold"], "--scheme ecdsa"),
        ([*ECDSA, "--warm", "--cold"], "one of them"),
        ([*ECDSA, "--cold", "--while-presigning"], "nothing to fill"),
        ([*ECDSA, "--warm", "--config", "c.toml"], "need a stack of their own"),
        ([*ECDSA, "--cold", "--config", "c.toml"], "need a stack of their own"),
        (["sign", "--while-presigning", "--config", "c.toml"], "need a stack of their own"),
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
    assert done.exit_code == console.UNUSABLE
    assert said in " ".join(done.stderr.replace("│", " ").split())
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
        ({"failures": {"expired": 1}}, console.FAILED),
        ({"interrupted": True}, console.INTERRUPTED),
        ({"interrupted": True, "failures": {"expired": 1}}, console.INTERRUPTED),
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
        (MissingServiceError("There is no broker."), console.UNAVAILABLE, "There is no broker."),
        (ChildDiedError("party-1.1 was killed."), console.UNAVAILABLE, "party-1.1 was killed."),
        (FillError("The pool has none."), console.UNAVAILABLE, "The pool has none."),
        (KeyboardInterrupt(), console.INTERRUPTED, "Interrupted before"),
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

    monkeypatch.setattr(runs, "run", run)
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
        request_digest=bytes(32),
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
### Without a stack
###


def test_the_files_are_measured_for_as_many_clients_as_are_said() -> None:
    said = invoke("topology", "--clients", "5", "--json")
    assert said.exit_code == 0, said.output
    figures = json.loads(said.output)
    assert figures["clients"] == 5
    assert figures["changes"] == figures["resources"] + 2
    assert "5 clients" in invoke("topology", "--clients", "5").output
