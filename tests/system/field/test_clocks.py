"""Clients whose clock is behind the coordinator's, with requests that do not live long."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from contracts.client import Client, ClientSettings, ClockError, caller, correspondence, link
from contracts.failures import FailureCode
from contracts.primitives import Scheme
from ops.stack.deployment import Deployment

LIFETIME_S = 15


def set_back(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """This process's clock, as far as the client library asks it."""
    behind = SimpleNamespace(
        time=lambda: time.time() - seconds,
        time_ns=lambda: time.time_ns() - int(seconds * 1e9),
        monotonic=time.monotonic,
    )
    for module in (caller, correspondence, link):
        patch.setattr(module, "time", behind)


@pytest.fixture
async def hasty(deployment: Deployment) -> ClientSettings:
    """Its questions live longer: those begin nothing, and have no tolerance."""
    settings = ClientSettings.load(deployment.clients["svcA"])
    return replace(settings, timeout_s=LIFETIME_S, query_timeout_s=60)


@pytest.mark.parametrize("behind_s", [13, 20])
async def test_signatures_are_made_for_a_clock_that_is_a_little_behind(
    hasty: ClientSettings, key_id: str, monkeypatch: pytest.MonkeyPatch, behind_s: float
) -> None:
    """Of the first request two seconds are left by the coordinator's clock; the second is late."""
    set_back(monkeypatch, behind_s)
    async with Client.connect(hasty) as client:
        for number in range(3):
            await client.sign(key_id, message=b"%d" % number, scheme=Scheme.ED25519)


async def test_a_clock_that_is_far_behind_is_named_and_not_to_be_tried_again(
    hasty: ClientSettings, key_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_back(monkeypatch, 40)
    async with Client.connect(hasty) as client:
        with pytest.raises(ClockError, match="behind the coordinator's") as caught:
            await client.sign(key_id, message=b"late", scheme=Scheme.ED25519)
        assert caught.value.failure.code is FailureCode.EXPIRED
        assert not caught.value.failure.retryable
        assert 0 < caught.value.behind_s <= 40
        assert "by the coordinator's clock" in caught.value.failure.message
