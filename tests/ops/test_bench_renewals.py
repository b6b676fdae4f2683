"""`warren bench reshare`: what is measured, beside what, and what comes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from contracts.client import Client, ClientSettings
from contracts.failures import FailureCode
from contracts.primitives import Curve
from ops.bench import renewals
from ops.bench.renewals import ALONE, KEYGEN, MASS, MEANWHILE, RESHARE, Measured
from ops.bench.site import CLIENT_GROUP, Site
from tests.ops.bench_samples import STACK
from tests.ops.terminals import refusal


class FakeClient:
    """Signs at once; makes a key in no time and a reshare in some, or refuses that."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.signed_meanwhile = 0
        self.resharing = 0
        self.refuses: set[int] = set()
        self.made: list[str] = []

    async def create_key(self, key_id: str, **asked: Any) -> Any:
        self.told.append(("keygen", (asked["threshold"], asked["party_count"])))
        self.made.append(key_id)
        return SimpleNamespace(facts=SimpleNamespace(key_id=key_id, session_id=bytes(32)))

    async def reshare(
        self, key_id: str, *, threshold: int | None, parties: Sequence[str] | None
    ) -> None:
        count = None if parties is None else len(parties)
        self.told.append(("reshare", (key_id, threshold, count)))
        number = sum(name == "reshare" for name, _ in self.told)
        self.resharing += 1
        await asyncio.sleep(0.02)
        self.resharing -= 1
        if number in self.refuses:
            raise refusal(FailureCode.EXPIRED)

    async def sign(self, _key_id: str, **_: Any) -> None:
        self.signed_meanwhile += self.resharing > 0
        await asyncio.sleep(0.001)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient()

    @asynccontextmanager
    async def connect(_: ClientSettings) -> AsyncIterator[FakeClient]:
        yield made

    monkeypatch.setattr(Client, "connect", connect)
    monkeypatch.setattr(renewals, "LEAST_SIGNATURES", 7)
    return made


@pytest.fixture
def site(config: Path) -> Site:
    settings = ClientSettings.load(config)
    return Site(client=settings, groups=(CLIENT_GROUP,), stack=STACK, check=lambda: None)


async def measured(site: Site, **asked: int) -> Measured:
    said: list[str] = []
    return await renewals.measure(
        site, curve=Curve.ED25519, timeout_s=5, progress=said.append, **asked
    )


async def test_each_reshare_stands_beside_a_key_generation_of_what_it_makes(
    fake: FakeClient, site: Site
) -> None:
    found = await measured(site, count=3, keys=5)
    series = {each.name: each for each in found.series}
    assert {name: each.succeeded for name, each in series.items()} | {MEANWHILE: 0} == {
        KEYGEN: 3,
        RESHARE: 3,
        ALONE: 7,
        MEANWHILE: 0,
        MASS: 5,
    }
    before = 1 + 3 + 5
    assert fake.told[:before] == [("keygen", (2, 3))] * before
    turns = fake.told[before : before + 8]
    assert [name for name, _ in turns] == ["keygen", "reshare"] * 4  # the first to warm up
    assert {told for name, told in turns if name == "keygen"} == {(3, 5)}
    assert [told for name, told in turns if name == "reshare"] == [
        (key_id, 3, 5) for key_id in fake.made[:4]
    ]
    refreshed = [told for name, told in fake.told[before + 8 :] if name == "reshare"]
    assert refreshed == [(key_id, None, None) for key_id in fake.made[4:9]]
    assert series[MEANWHILE].succeeded > 0
    assert fake.signed_meanwhile > 0
    assert found.failed == 0


async def test_the_ratios_are_of_what_was_measured(fake: FakeClient, site: Site) -> None:
    found = await measured(site, count=2, keys=2)
    series = {each.name: each.latency_ms for each in found.series}
    keygen, reshare = series[KEYGEN], series[RESHARE]
    assert keygen is not None
    assert reshare is not None
    told = json.loads(renewals.as_json(found))
    assert told["ratios"]["reshare/keygen p50"] == reshare.p50 / keygen.p50 > 1
    assert told["stack"]["rabbitmq"] == STACK.rabbitmq
    assert told["machine"]["cores"] >= 1
    page = StringIO()
    Console(file=page, width=120).print(renewals.render(found))
    for text in (*series, "signing p99", found.machine.cpu, "fsync on", "2 keys reshared"):
        assert text in page.getvalue()


async def test_what_failed_is_told_and_has_no_latency(fake: FakeClient, site: Site) -> None:
    fake.refuses = {2, 3}  # all but the one to warm up
    found = await measured(site, count=2, keys=1)
    series = {each.name: each for each in found.series}
    assert series[RESHARE].failures == {"expired": 2}
    assert found.failed == 2
    assert found.ratios["reshare/keygen p50"] is None
    page = StringIO()
    Console(file=page, width=120).print(renewals.render(found))
    assert "expired 2" in page.getvalue()
