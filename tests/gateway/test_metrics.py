from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts.primitives import Scope
from contracts.tls import expires_at
from gateway.metrics import Metrics
from ops.stack.certificates import TestingCa
from tests.gateway.entrance import (
    OTHER_SECRET,
    SECRET,
    Coordinator,
    api_key,
    opened,
    settings,
)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_end_of_each_certificate_is_told(tmp_path: Path) -> None:
    ca = TestingCa.make(tmp_path / "tls")
    pair = ca.for_server("server", ["localhost"])
    shown = settings(tls_certificate_file=pair.certificate, tls_key_file=pair.key)
    assert shown.certificates() == {"callers": pair.certificate}
    metrics = Metrics(shown.certificates())
    for days in (3, 5):
        ca.for_server("server", ["localhost"], days=days)
        found = samples(metrics.exposition()[0].decode())
        name = "warren_gateway_certificate_expires_timestamp_seconds"
        at = found[name, frozenset({("shown_to", "callers")})]
        assert at == expires_at(pair.certificate)
        assert days - 0.5 < (at - time.time()) / 86_400 < days + 0.5


async def test_requests_are_counted_by_route_and_not_by_path() -> None:
    async with opened() as entrance, entrance.caller() as caller:
        for name in ("a", "b", "c"):
            await caller.get(f"/things/{name}")
        answer = await caller.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = samples(answer.text)
    labels = {("method", "GET"), ("route", "/things/{name}")}
    assert found["warren_gateway_requests_total", frozenset({*labels, ("status", "200")})] == 3
    assert found["warren_gateway_request_seconds_count", frozenset(labels)] == 3
    assert found["warren_gateway_requests_in_flight", frozenset()] == 1  # this one


async def test_whoever_was_turned_away_is_counted_by_the_reason() -> None:
    async with opened() as entrance, entrance.client() as stranger:
        await stranger.get("/who")
        await stranger.get("/who", headers={"X-API-Key": OTHER_SECRET})
        found = samples((await stranger.get("/metrics")).text)
    reason = frozenset({("code", "unauthenticated"), ("route", "/who")})
    assert found["warren_gateway_problems_total", reason] == 2
    labels = frozenset({("method", "GET"), ("route", "/who"), ("status", "401")})
    assert found["warren_gateway_requests_total", labels] == 2


async def test_whoever_is_refused_is_counted_with_the_route_that_he_asked_for() -> None:
    limits = {"requests": 1, "window_seconds": 60}
    coordinator = Coordinator(
        [api_key(scopes=[Scope.READ]), api_key("shop-2", secret=OTHER_SECRET)]
    )
    async with opened(limits, coordinator=coordinator) as entrance:
        async with entrance.caller() as reader:
            assert (await reader.post("/notes", json={"text": "x"})).status_code == 403
            for name in ("a", "b"):
                assert (await reader.get(f"/things/{name}")).status_code == 429
        async with entrance.client("192.0.2.1") as stranger:
            assert (await stranger.get("/things/c")).status_code == 403
            assert (await stranger.get("/nothing")).status_code == 403
        text = entrance.metrics.exposition()[0].decode()
    found = {
        (dict(labels)["code"], dict(labels)["route"]): value
        for (name, labels), value in samples(text).items()
        if name == "warren_gateway_problems_total"
    }
    assert found == {
        ("scope_missing", "/notes"): 1,
        ("rate_exceeded", "/things/{name}"): 2,
        ("address_refused", "/things/{name}"): 1,
        ("address_refused", "none"): 1,
    }
    requests = frozenset({("method", "GET"), ("route", "/things/{name}"), ("status", "429")})
    assert samples(text)["warren_gateway_requests_total", requests] == 2


async def test_every_line_tells_who_asked_from_where(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.access"):
        async with opened(trusted_proxies=["127.0.0.1"], allowed_ips=["192.0.2.0/24"]) as entrance:
            for forwarded, secret in (("192.0.2.7", SECRET), ("203.0.113.9", SECRET)):
                async with entrance.caller(secret) as caller:
                    await caller.get("/things/a", headers={"X-Forwarded-For": forwarded})
    lines = [vars(record) for record in caplog.records if record.name == "gateway.access"]
    told = ("address", "api_key", "holder", "status", "problem", "route")
    assert [tuple(line[name] for name in told) for line in lines] == [
        ("192.0.2.7", "shop-1", "shop", 200, None, "/things/{name}"),
        ("203.0.113.9", None, None, 403, "address_refused", "/things/{name}"),
    ]
    assert all(line["ms"] >= 0 for line in lines)


async def test_no_figure_and_no_line_tells_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with opened() as entrance, entrance.caller() as caller:
            await caller.get("/who", params={"token": "t0ken"})  # is no parameter there
            await caller.get("/things/t0ken", headers={"X-API-Key": OTHER_SECRET})
            text = (await caller.get("/metrics")).text
    for secret in (SECRET, OTHER_SECRET):
        assert secret not in text
        assert secret not in caplog.text
    assert "shop" not in text
    assert "t0ken" not in text
    lines = [vars(record) for record in caplog.records if record.name == "gateway.access"]
    assert [(line["status"], line["api_key"], line["problem"]) for line in lines] == [
        (422, "shop-1", "invalid_request"),
        (401, None, "unauthenticated"),
        (200, None, None),
    ]
    assert "t0ken" not in str(lines)


async def test_the_access_log_can_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "gateway.access"):
        async with opened(access_log=False) as entrance, entrance.caller() as caller:
            await caller.get("/who")
    assert not [record for record in caplog.records if record.name == "gateway.access"]


async def test_a_method_that_nobody_knows_is_one_label_for_all() -> None:
    async with opened() as entrance, entrance.caller() as caller:
        for method in ("FOO", "BAR"):
            assert (await caller.request(method, "/who")).status_code == 405
        found = samples((await caller.get("/metrics")).text)
    assert {dict(labels).get("method") for _, labels in found} <= {None, "other", "GET"}
