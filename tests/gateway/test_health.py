from __future__ import annotations

import pytest

from contracts.client import ResultTimeoutError
from gateway import health
from gateway.entry.api_keys import ApiKeys
from gateway.health import readiness
from tests.contracts.chains import now_ms
from tests.gateway.entrance import SECRET, Coordinator, opened
from tests.gateway.test_api_keys import Clock
from tests.patience import until


async def test_health_needs_no_key_and_asks_nobody() -> None:
    async with opened() as entrance, entrance.client() as anybody:
        answer = await anybody.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"service": "gateway", "status": "healthy"}


async def test_a_gateway_is_ready_once_it_knows_the_keys() -> None:
    async with opened() as entrance, entrance.client() as anybody:
        await until(lambda: entrance.keys.fresh)
        answer = await anybody.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "service": "gateway",
        "status": "ready",
        "dependencies": {
            "broker": "available",
            "coordinator": "available",
            "api_keys": "available",
        },
    }


async def test_a_gateway_without_an_answer_yet_is_starting() -> None:
    async with (
        opened(coordinator=Coordinator(silent=True)) as entrance,
        entrance.client() as anybody,
    ):
        answer = await anybody.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "starting"


async def test_readiness_names_what_is_away() -> None:
    clock = Clock()
    coordinator = Coordinator()
    keys = ApiKeys(coordinator.page, coordinator.ledger(), refresh_s=0.01, clock=clock)
    async with keys.kept_fresh():
        await keys.find(SECRET.encode())

        coordinator.scribe.nothing_after(now_ms() - 1, issued_at=now_ms() - 1000)
        await until(lambda: not keys.fresh)
        assert readiness(keys, connected=True).model_dump() == {
            "service": "gateway",
            "status": "not ready",
            "dependencies": {
                "broker": "available",
                "coordinator": "available",
                "api_keys": "unavailable",
            },
            "reasons": {"api_keys": "what is known of API keys is too old to go by"},
        }

        coordinator.error = ResultTimeoutError("r")
        await until(lambda: keys.last_error is not None)
        clock.now += 11
        assert set(readiness(keys, connected=False).dependencies.values()) == {"unavailable"}

        coordinator.error = None
        coordinator.scribe.nothing_after(now_ms() + 60_000)
        await until(lambda: keys.fresh)
        assert readiness(keys, connected=True).status == "ready"


async def test_without_a_broker_a_gateway_is_not_ready_at_once() -> None:
    coordinator = Coordinator()
    async with opened(coordinator=coordinator) as entrance, entrance.client() as anybody:
        await until(lambda: entrance.keys.fresh)
        coordinator.connected = False
        answer = await anybody.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["dependencies"]["broker"] == "unavailable"
    assert "no connection" in answer.json()["reasons"]["broker"]


async def test_with_a_broker_that_takes_nothing_a_gateway_is_not_ready_and_says_why() -> None:
    coordinator = Coordinator()
    async with opened(coordinator=coordinator) as entrance, entrance.client() as anybody:
        await until(lambda: entrance.keys.fresh)
        coordinator.blocked = "low on disk"
        answer = await anybody.get("/health/ready")
        assert answer.status_code == 503
        assert "(low on disk)" in answer.json()["reasons"]["broker"]
        coordinator.blocked = None
        assert (await anybody.get("/health/ready")).status_code == 200


async def test_the_log_tells_each_change_once_whether_anybody_asks_or_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WATCH_S", 0)
    coordinator = Coordinator()
    keys = ApiKeys(coordinator.page, coordinator.ledger(), refresh_s=0.01)
    looks = iter(["low on disk"] * 3 + ["low on memory"] + [None] * 2)

    def ask() -> health.Readiness:
        return readiness(keys, connected=True, blocked=next(looks))

    caplog.set_level("INFO", logger="gateway.health")
    async with keys.kept_fresh():
        await keys.find(SECRET.encode())
        # What a coroutine makes of the end of an iterator.
        with pytest.raises(RuntimeError, match="StopIteration"):
            await health.watch(ask)
    told = [(each.message, getattr(each, "reason", "")) for each in caplog.records]
    assert [(message, reason.partition("(")[2].partition(")")[0]) for message, reason in told] == [
        ("not ready", "low on disk"),
        ("not ready", "low on memory"),
        ("ready again", ""),
    ]
