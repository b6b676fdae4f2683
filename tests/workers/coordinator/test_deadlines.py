"""When a request counts, and by which queue: asked of every one before it is served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.operations import OPERATIONS
from contracts.primitives import Status
from contracts.results import PutApiKeyResult, QueryApiKeysResult, RevokeApiKeyResult
from contracts.signing import SignedRequest
from tests.contracts import samples
from tests.contracts.chains import Scribe
from tests.workers.callers import answered, ask, refused, wish
from tests.workers.crew import coordinator_worker
from tests.workers.simulate import CLIENT, LIMITS, World, world

TOLERANCE_MS = int(LIMITS.clock_tolerance_seconds * 1000)
LATE_COUNTS = {"revoke_api_key"}
CONTROL = [name for name, row in OPERATIONS.items() if not row.begins_session]
MONTH_MS = 30 * 86_400_000
OWN = {"operation", "request_id", "client_id", "signer", "issued_at", "expires_at", "reply_to"}


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


def any_wish(world: World, operation: str, *, issued_in_ms: int) -> SignedRequest:
    """A right request, but for its time."""
    fields: dict[str, Any] = {
        name: value for name, value in samples.fields(operation).items() if name not in OWN
    }
    issued_at = world.clock() + issued_in_ms
    return wish(world, operation, issued_at=issued_at, expires_at=issued_at + 60_000, **fields)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_request_from_the_future_is_invalid(shire: World, operation: str) -> None:
    signed = any_wish(shire, operation, issued_in_ms=TOLERANCE_MS + 1)
    result: Any = await answered(shire, signed, object)
    assert result.failure.code is FailureCode.INVALID_REQUEST
    assert not result.failure.retryable
    assert "15.001 s ahead of the coordinator's clock, which allows 15 s" in result.failure.message
    kept = await shire.coordinator_store.request(CLIENT, signed.request.request_id, signed.digest)
    assert (kept is not None) == OPERATIONS[operation].begins_session


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_clock_may_be_ahead_as_far_as_is_allowed(shire: World, operation: str) -> None:
    signed = any_wish(shire, operation, issued_in_ms=TOLERANCE_MS)
    await shire.submit(signed)
    failures = [result.failure for result in shire.results() if result.failure is not None]
    assert FailureCode.INVALID_REQUEST not in {failure.code for failure in failures}


@pytest.mark.parametrize("operation", ["keygen", "sign"])
async def test_what_was_refused_for_its_time_is_not_served_when_that_comes(
    shire: World, operation: str
) -> None:
    signed = any_wish(shire, operation, issued_in_ms=160_000)
    first: Any = await answered(shire, signed, object)
    shire.clock.offset_ms += 170_000
    assert await answered(shire, signed, object) == first
    assert first.failure.code is FailureCode.INVALID_REQUEST


@pytest.mark.parametrize("age_ms", [60_000, MONTH_MS])
@pytest.mark.parametrize("operation", [each for each in CONTROL if each not in LATE_COUNTS])
async def test_old_control_is_answered_as_expired(
    shire: World, operation: str, age_ms: int
) -> None:
    result: Any = await answered(shire, any_wish(shire, operation, issued_in_ms=-age_ms), object)
    assert result.status is Status.EXPIRED
    assert result.failure.code is FailureCode.EXPIRED


async def test_what_takes_away_for_good_counts_late(shire: World) -> None:
    assert {name for name, row in OPERATIONS.items() if row.counts_late} == LATE_COUNTS
    scribe = Scribe(client_id=CLIENT)
    await ask(shire, PutApiKeyResult, "put_api_key", entry=scribe.put())
    issued_at = shire.clock() - MONTH_MS
    revocation = scribe.revoke(issued_at=issued_at)
    late = wish(
        shire, "revoke_api_key", entry=revocation, issued_at=issued_at, expires_at=issued_at + 1
    )
    result = await answered(shire, late, RevokeApiKeyResult)
    assert (result.failure, result.number) == (None, 2)
    page = await ask(
        shire, QueryApiKeysResult, "query_api_keys", authority=scribe.identity.public.der
    )
    assert page.entries == scribe.entries


async def test_a_recorded_cancel_ends_nothing(shire: World) -> None:
    old = wish(shire, "cancel", target="wanted")
    shire.clock.offset_ms += 60_000
    request = shire.keygen_request(request_id="wanted")
    await shire.ask(request)
    assert await refused(shire, old) is FailureCode.EXPIRED
    await shire.run()
    (made,) = [result for result in shire.results() if result.request_id == "wanted"]
    assert made.status is Status.COMPLETED


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_is_served_from_another_clients_queue(shire: World, operation: str) -> None:
    signed = any_wish(shire, operation, issued_in_ms=0)
    lane = OPERATIONS[operation].lane
    with pytest.raises(ContractError, match=f"'warren.requests.{lane}.svcB' is not where client"):
        await shire.submit(signed, queue=f"warren.requests.{lane}.svcB")
    assert shire.network.sent == []
    await shire.submit(signed, queue=f"warren.requests.{lane}.svcA")
    assert shire.network.sent != []


async def test_nor_answered_from_there_when_it_does_not_fit(shire: World) -> None:
    right = any_wish(shire, "keygen", issued_in_ms=0)
    body = right.body.replace(b'"threshold":2', b'"threshold":9')
    assert body != right.body
    signature = shire.client.sign(b"warren/request/v1", body)
    unfit = SignedRequest(request=right.request, body=body, signature=signature)
    with pytest.raises(ContractError, match="lead nowhere"):
        await shire.submit(unfit, queue="warren.requests.keygen.svcB")
    assert shire.network.sent == []
    assert await refused(shire, unfit) is FailureCode.INVALID_REQUEST


async def test_the_tolerance_is_the_settings(shire: World) -> None:
    limits = LIMITS.model_copy(update={"clock_tolerance_seconds": 1})
    shire.requests, _ = coordinator_worker(shire, limits=limits)
    signed = any_wish(shire, "query_keys", issued_in_ms=1_001)
    assert await refused(shire, signed) is FailureCode.INVALID_REQUEST


###
### Clocks that are behind
###


@pytest.mark.parametrize("operation", ["keygen", "sign"])
@pytest.mark.parametrize(("behind_ms", "late"), [(0, False), (1, True), (10_000, True)])
async def test_what_looks_late_by_less_than_clocks_may_differ_is_served(
    shire: World, operation: str, behind_ms: int, late: bool
) -> None:
    lifetime_ms = 60_000
    age_ms = lifetime_ms + TOLERANCE_MS - 1 + behind_ms
    signed = any_wish(shire, operation, issued_in_ms=-age_ms)
    await shire.submit(signed)
    codes = {result.failure.code for result in shire.results() if result.failure is not None}
    assert (FailureCode.EXPIRED in codes) == late


async def test_a_session_lasts_as_long_as_was_asked_for_whatever_the_clocks_say(
    shire: World,
) -> None:
    lifetime_ms = 60_000
    for age_ms, expected in (
        (0, lifetime_ms),
        (10_000, lifetime_ms),
        (TOLERANCE_MS + 20_000, lifetime_ms - 20_000),
        (lifetime_ms, TOLERANCE_MS),
    ):
        now = shire.clock()
        request = shire.keygen_request(
            request_id=f"r-{age_ms}",
            key_id=f"k-{age_ms}",
            issued_at=now - age_ms,
            expires_at=now - age_ms + lifetime_ms,
        )
        await shire.ask(request)
        record = await shire.coordinator_store.request(CLIENT, request.request_id)
        assert record is not None
        session = await shire.coordinator_store.session(record.session_id)
        assert session is not None
        assert abs(session.deadline - now - expected) < 5_000


@pytest.mark.parametrize("operation", ["keygen", "sign"])
async def test_what_is_too_late_says_clock_and_by_how_much_and_always_the_same(
    shire: World, operation: str
) -> None:
    signed = any_wish(shire, operation, issued_in_ms=-90_000)
    first: Any = await answered(shire, signed, object)
    assert first.status is Status.EXPIRED
    assert "30.0 s after its expires_at by the coordinator's clock" in first.failure.message
    assert "a clock is wrong" in first.failure.message
    shire.clock.offset_ms += 5_000
    assert await answered(shire, signed, object) == first
