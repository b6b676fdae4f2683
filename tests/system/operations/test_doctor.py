"""`warren doctor` at a whole Warren: each planted fault is found, and nothing else."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.doctor.examination import examination
from ops.doctor.report import Report, Row, Verdict
from ops.doctor.surroundings import Surroundings, Wanted, load_all
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.field import clocks
from tests.system.field.brokers import Broker, own_broker
from tests.system.operations.faults import FAULTS, Fault
from tests.system.operations.ward import OVERLAY, Ward
from topology.management import Management

OFF_S = 40
WRONG = (Verdict.FAILED, Verdict.WARNING)
ROOMY = os.statvfs_result((4096, 4096, 100, 60, 60, 100, 60, 60, 0, 255))
FULL = os.statvfs_result((4096, 4096, 100, 4, 4, 100, 60, 60, 0, 255))


@pytest.fixture(scope="module")
def broker(services: Services) -> Iterator[Broker]:
    yield from own_broker()


@pytest.fixture(scope="module")
def crew(services: Services, broker: Broker) -> Iterator[Deployment]:
    plan = Plan(
        clients=("svcA", "svcB"),
        pools={"low": 8, "high": 16},
        limits={"coordinator": {"party_silent_seconds": 60}},
    )
    with running_deployment(broker.beside(services), plan.compact()) as running:
        yield running


def back_up(directory: Path) -> None:
    for name in ("party-1", "party-3"):
        number = len(list(directory.glob(f"{name}.backup.*")))
        out = str(directory / f"{name}.backup.{number}")
        config = str(directory / f"{name}.toml")
        words = (sys.executable, "-m", "ops.cli", "backup", "create", "-c", config, "-o", out)
        subprocess.run(words, check=True, capture_output=True)


@pytest.fixture(scope="module")
async def ward(crew: Deployment, broker: Broker) -> Ward:
    """Two keys, of which one has a pool, with their backups."""
    (crew.directory / "overlay.yaml").write_text(OVERLAY)
    files = {
        name: crew.directory / f"{name}.toml" for name in ("coordinator", "party-1", "party-3")
    }
    made = Ward(crew, broker, files | crew.clients, functools.partial(back_up, crew.directory))
    await made.apply()
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        await client.create_key("ec", curve=Curve.SECP256K1, threshold=2, party_count=3)
        message = bytes(32)
        await client.sign(
            "ec", message=message, scheme=Scheme.ECDSA, signers=["party-1", "party-2"]
        )
    await asyncio.to_thread(made.back_up)
    return made


async def look(ward: Ward) -> Report:
    crew = ward.crew
    async with Management(crew.services.management_url) as management:
        surroundings = Surroundings(
            subjects=load_all(ward.files.values()),
            management=management,
            wanted=Wanted(
                members=crew.directory / "registrar" / "members.yaml",
                overlays=(crew.directory / "overlay.yaml",),
                vhost=crew.vhost,
            ),
            operator_url=crew.amqp_urls["operator"],
            wait_s=30,
            statvfs=lambda _: FULL if ward.full else ROOMY,
        )
        return await examination(surroundings)


def wrong(report: Report) -> dict[tuple[str, str | None], Row]:
    return {(row.name, row.of): row for row in report.rows if row.verdict in WRONG}


async def looks_so(ward: Ward, expected: frozenset[tuple[str, str | None]]) -> Report:
    """As soon as the broker has counted again, and whoever was held back has caught up."""
    last: list[Report] = []

    async def so() -> bool:
        last[:] = [await look(ward)]
        found = wrong(last[0])
        print({name: row.found for name, row in found.items()})  # for whoever waits in vain
        return found.keys() == expected

    await until(so)
    return last[0]


async def test_a_healthy_warren_has_no_finding(ward: Ward) -> None:
    report = await looks_so(ward, frozenset())
    assert report.healthy
    seen = {row.name for row in report.rows if row.verdict is Verdict.OK}
    unseen = {row.name for row in report.rows} - seen
    assert unseen == {"certificates.own", "certificates.theirs"}, "no TLS here"


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_fault_is_found_with_what_to_do_and_nothing_else(ward: Ward, fault: Fault) -> None:
    async with fault.plant(ward):
        report = await looks_so(ward, frozenset(fault.found))
    found = wrong(report)
    for name, words in fault.found.items():
        assert any(words in line for line in found[name].found), found[name]
    assert any(fault.todo in (row.todo or "") for row in found.values())
    told = report.model_dump_json()
    assert not [secret for secret in ward.secrets() if secret in told]


async def test_a_machine_whose_clock_is_off_says_by_how_much(ward: Ward) -> None:
    """The whole command, as somebody types it there."""
    await looks_so(ward, frozenset())  # all is taken back
    crew = ward.crew
    environment = os.environ | {
        "LD_PRELOAD": str(clocks._library()),
        "FAKETIME": f"+{OFF_S}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "WARREN_MANAGEMENT_URL": crew.monitor_url,
        "WARREN_VHOST": crew.vhost,
    }
    words = [sys.executable, "-m", "ops.cli", "doctor", "--json", "--skip", "disk"]
    for file in ward.files.values():
        words += ["-c", str(file)]
    ended = await asyncio.to_thread(
        subprocess.run, words, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 1, ended.stderr
    report = Report.model_validate(json.loads(ended.stdout))
    found = wrong(report)
    owners = ("coordinator", "party-1")
    assert found.keys() == {
        ("clocks.broker", None),
        *(("clocks.database", owner) for owner in owners),
    }
    for row in found.values():
        told = re.search(r"clock is (\d+) s ahead of", row.found[0])
        assert told is not None
        assert abs(int(told[1]) - OFF_S) < 5, "the broker's is exact to a second"
    assert not [secret for secret in ward.secrets() if secret in ended.stdout + ended.stderr]
