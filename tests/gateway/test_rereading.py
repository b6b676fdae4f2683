from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import rereading
from gateway.entry.networks import Networks
from gateway.rereading import Rereading
from gateway.settings import GatewaySettings, read_door
from tests.patience import until

from .test_settings import written

OFFICE = ipaddress.ip_address("192.0.2.7")
LOOPBACK = ipaddress.ip_address("127.0.0.1")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "LOOK_S", 0.01)


@contextlib.asynccontextmanager
async def kept(path: Path, **environ: str) -> AsyncIterator[Networks]:
    door = GatewaySettings.load(path, environ).door
    networks = Networks(door.allowed, door.proxies)
    rereads = Rereading(networks, path, lambda path: read_door(path, environ))
    keeping = asyncio.create_task(rereads.go_on())
    try:
        yield networks
        assert not keeping.done()
    finally:
        keeping.cancel()


async def test_whom_the_file_lets_in_by_now_may_enter_and_nobody_else(tmp_path: Path) -> None:
    path = written(tmp_path)
    async with kept(path) as networks:
        assert networks.allows(LOOPBACK)
        written(tmp_path, '[gateway]\nallowed_ips = ["192.0.2.0/24"]')
        await until(lambda: networks.allows(OFFICE))
        assert not networks.allows(LOOPBACK)
        written(
            tmp_path, '[gateway]\nallowed_ips = ["192.0.2.0/24"]\ntrusted_proxies = ["10.0.0.1"]'
        )
        await until(lambda: networks.caller("10.0.0.1", "192.0.2.7") == OFFICE)
        written(tmp_path)
        await until(lambda: networks.allows(LOOPBACK))
        assert not networks.allows(OFFICE)


@pytest.mark.parametrize(
    "wrong", ['[gateway]\nallowed_ips = ["everybody"]', "[gateway", "[gatewey]\n", None]
)
async def test_a_file_that_is_wrong_or_gone_changes_nothing_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str | None
) -> None:
    path = written(tmp_path, '[gateway]\nallowed_ips = ["192.0.2.0/24"]')
    with caplog.at_level(logging.ERROR):
        async with kept(path) as networks:
            await asyncio.sleep(0.05)
            path.unlink() if wrong is None else path.write_text(wrong)
            await until(lambda: bool(caplog.records))
            await asyncio.sleep(0.1)
            (told,) = caplog.records
            assert str(path) in vars(told)["reason"]
            assert networks.allows(OFFICE)
            written(tmp_path, '[gateway]\nallowed_ips = ["::1"]')
            await until(lambda: not networks.allows(OFFICE))


async def test_what_the_environment_says_wins_over_the_file_again(tmp_path: Path) -> None:
    path = written(tmp_path)
    async with kept(path, WARREN_ALLOWED_IPS="192.0.2.7") as networks:
        written(tmp_path, '[gateway]\nallowed_ips = ["127.0.0.1"]\ntrusted_proxies = ["10.0.0.1"]')
        await until(lambda: networks.caller("10.0.0.1", "192.0.2.7") == OFFICE)
        assert networks.allows(OFFICE)
        assert not networks.allows(LOOPBACK)


def test_half_of_a_file_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    path = written(tmp_path, '[gateway]\nallowed_ips = ["192.0.2.0/24"]')
    door = GatewaySettings.load(path, {}).door
    networks = Networks(door.allowed, door.proxies)
    rereads = Rereading(networks, path, lambda path: read_door(path, {}))
    for _ in range(3):
        rereads.look()
    whole = path.read_text()
    path.write_text(whole.partition("[client]")[0].replace("allowed_ips", "trusted_proxies"))
    rereads.look()
    assert networks.allows(OFFICE)
    path.write_text(whole.replace("192.0.2.0/24", "192.0.2.7"))
    rereads.look()
    path.write_text(whole.replace("192.0.2.0/24", "203.0.113.9"))
    rereads.look()
    assert networks.allows(ipaddress.ip_address("192.0.2.8"))
    rereads.look()
    assert networks.allows(ipaddress.ip_address("203.0.113.9"))
    assert not networks.allows(OFFICE)
