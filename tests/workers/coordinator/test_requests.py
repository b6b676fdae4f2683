"""What becomes of a request to make a key or a signature, before it has a session and when it comes
again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import addresses
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme, Status
from contracts.requests import KeygenRequest
from contracts.results import KeygenResult, SignResult
from contracts.signing import SignedRequest
from tests.workers.callers import announcements, answer, refused
from tests.workers.crew import Together, coordinator_worker
from tests.workers.simulate import CLIENT, LIMITS, World, world

LIFETIME_MS = 60_000
TOLERANCE_MS = int(LIMITS.clock_tolerance_seconds * 1000)


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def key_of(shire: World, **fields: Any) -> str:
    request = shire.keygen_request(**fields)
    await shire.ask(request)
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.COMPLETED
    return request.key_id


async def signed_with(shire: World, key_id: str) -> SignedRequest:
    signed = await shire.ask(shire.sign_request(key_id=key_id))
    await shire.run()
    assert answer(shire, signed.request, SignResult).status is Status.COMPLETED
    return signed


async def deadline_of(shire: World, request: KeygenRequest) -> int:
    known = await shire.coordinator_store.request(CLIENT, request.request_id)
    assert known is not None
    session = await shire.coordinator_store.session(known.session_id)
    assert session is not None
    return session.deadline


async def test_what_was_made_is_told_again_when_the_request_counts_no_more(shire: World) -> None:
    signed = await signed_with(shire, await key_of(shire))
    first = shire.network.sent[-1]
    before = len(shire.network.sent)
    shire.clock.offset_ms += LIFETIME_MS + 1
    await shire.submit(signed)
    assert shire.network.sent[before:] == [first]


async def test_nothing_is_announced_unasked_when_the_request_comes_again(shire: World) -> None:
    signed = await signed_with(shire, await key_of(shire))
    await shire.submit(signed)
    assert announcements(shire, signed.request) == []


async def test_a_key_that_was_made_is_told_again_and_made_once(shire: World) -> None:
    signed = await shire.ask(shire.keygen_request())
    await shire.run()
    first, before = shire.network.sent[-1], len(shire.network.sent)
    shire.clock.offset_ms += LIFETIME_MS + 1
    await shire.submit(signed)
    assert shire.network.sent[before:] == [first]


@pytest.mark.parametrize("operation", ["keygen", "sign"])
async def test_a_request_that_came_too_late_begins_nothing(shire: World, operation: str) -> None:
    key_id = await key_of(shire)
    late = shire.keygen_request() if operation == "keygen" else shire.sign_request(key_id=key_id)
    before = len(shire.network.sent)
    shire.clock.offset_ms += LIFETIME_MS + TOLERANCE_MS
    signed = await shire.ask(late)
    assert await refused(shire, signed) is FailureCode.EXPIRED
    assert {message.exchange for message in shire.network.sent[before:]} == {addresses.RESULTS}
    assert await shire.coordinator_store.unfinished() == {}


async def test_a_key_signs_what_it_was_made_for_only(shire: World) -> None:
    key_id = await key_of(shire, curve=Curve.SECP256K1, schemes=[Scheme.ECDSA])
    before = len(shire.network.sent)
    signed = await shire.ask(
        shire.sign_request(key_id=key_id, scheme=Scheme.BIP340, message=bytes(32))
    )
    assert await refused(shire, signed) is FailureCode.INVALID_REQUEST
    assert {message.exchange for message in shire.network.sent[before:]} == {addresses.RESULTS}


async def test_two_coordinators_that_get_a_request_at_once_both_send_what_began_it(
    shire: World,
) -> None:
    pair: Any = Together([coordinator_worker(shire)[0] for _ in range(2)])
    shire.requests = pair
    request = shire.keygen_request()
    await shire.ask(request)
    kinds = [message.kind for message in shire.network.sent]
    assert kinds == ["session_created"] * 2 * request.party_count
    assert len({message.body for message in shire.network.sent}) == 1


@pytest.mark.parametrize(
    ("clock_ms", "left_ms"),
    [(10_000, LIFETIME_MS), (0, LIFETIME_MS), (-20_000, LIFETIME_MS - 20_000 + TOLERANCE_MS)],
)
async def test_a_session_lasts_as_long_as_was_asked_for_and_no_longer(
    shire: World, clock_ms: int, left_ms: int
) -> None:
    """By a client's clock that is ahead of ours, right, or behind."""
    now = shire.clock()
    request = shire.keygen_request(
        issued_at=now + clock_ms, expires_at=now + clock_ms + LIFETIME_MS
    )
    await shire.ask(request)
    assert await deadline_of(shire, request) <= request.expires_at + TOLERANCE_MS
    assert abs(await deadline_of(shire, request) - now - left_ms) < 5_000
