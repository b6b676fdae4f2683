"""Signers that fail a request, and the others that serve it: the client sees one result."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.requests import MAX_TRIES
from contracts.results import CancelResult, Status
from tests.workers.callers import answered
from tests.workers.ecdsa import (
    AHEAD,
    check_nothing_is_left,
    check_success,
    ecdsa_request,
    look,
    make_key,
    only_result,
    pools_of,
    sent,
    sign,
)
from tests.workers.simulate import LIMITS, World, world
from tests.workers.tries import (
    FROST,
    begun,
    cancel,
    cancelled,
    check_first_is_forgotten,
    check_handed_on,
    check_others_signed,
    conduct_of,
    deaf,
    everyone_is_alive,
    held_back,
    history,
    out_of_stock,
    presigned_by,
    results_sent,
    session_of,
    signers_of,
    try_time_is_over,
    wrong_psi,
    wrong_share,
)
from workers.session.coordinator.conduct import SHORTEST_TRY_MS
from workers.store.records import Outgoing

pytestmark = pytest.mark.long

TRY_MS = int(LIMITS.try_seconds * 1000)
PRODUCT = 3
"""The round of presigning whose messages hold psi."""


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
        assert made.dead == []


###
### FROST
###


async def test_others_sign_when_a_signer_is_silent(shire: World) -> None:
    key = await make_key(shire)
    request, first, silent = await begun(shire, key, scheme=FROST)
    await shire.run(dropped=deaf(silent))
    assert results_sent(shire, request) == []

    await try_time_is_over(shire, first)
    await shire.run(dropped=deaf(silent))
    result = await check_others_signed(shire, request, key, first, silent)
    assert result.session_id is not None
    await check_handed_on(
        shire,
        first,
        result.session_id,
        status=Status.EXPIRED,
        reason=f"the deadline passed; nothing was heard of {silent}",
    )
    assert (await conduct_of(shire, result.session_id)).avoided == [silent]
    await check_first_is_forgotten(shire, first)


async def test_signers_that_make_progress_get_more_time(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make_key(shire)
    request, session_id, _ = await begun(shire, key, scheme=FROST)
    deadlines = []

    def seconds_pass(message: Outgoing) -> bool:
        if message.kind in {"nonces_made", "share_signed"}:
            shire.clock.offset_ms += TRY_MS // 2
        return False

    deliver = shire.deliver

    async def watched(message: Outgoing) -> None:
        await deliver(message)
        session = await shire.coordinator_store.session(session_id)
        assert session is not None
        if message.kind in {"nonces_made", "share_signed"}:
            deadlines.append(session.deadline)

    shire.deliver = watched  # type: ignore[method-assign]
    await shire.run(dropped=seconds_pass)
    assert check_success(shire, request, key).session_id == session_id
    *progress, _ = deadlines
    assert len(progress) == 3
    for one, next_ in itertools.pairwise(progress):
        assert next_ - one >= TRY_MS // 2


async def test_a_report_beside_the_sweep_keeps_its_signers_at_work(shire: World) -> None:
    """The sweep had found the session late, and waited for the report to be dealt with."""
    key = await make_key(shire)
    request, session_id, _ = await begun(shire, key, scheme=FROST)
    first, second = await held_back(shire, "nonces_made")
    session = await shire.coordinator_store.session(session_id)
    assert session is not None
    shire.clock.offset_ms += session.deadline - 100 - shire.clock()
    await shire.deliver(first)
    shire.clock.offset_ms += 100 + int(LIMITS.grace_seconds * 1000)

    await shire.reports.expire(session_id)
    assert results_sent(shire, request) == []
    await shire.deliver(second)
    await shire.run()
    assert check_success(shire, request, key).session_id == session_id
    assert await shire.coordinator_store.owing(10**15, 10) == []


async def test_a_session_is_given_up_when_its_grace_is_over_and_not_before(shire: World) -> None:
    key = await make_key(shire)
    request, session_id, _ = await begun(shire, key, scheme=FROST)
    await shire.outlive(session_id)
    shire.clock.offset_ms -= 1_000
    await shire.reports.expire(session_id)
    assert await session_of(shire, request) == session_id
    shire.clock.offset_ms += 1_000
    await everyone_is_alive(shire)
    await shire.reports.expire(session_id)
    assert await session_of(shire, request) != session_id


async def test_others_sign_when_a_signer_lies(shire: World) -> None:
    key = await make_key(shire)
    request, first, liar = await begun(shire, key, scheme=FROST)
    await shire.run(dropped=wrong_share(shire, liar))
    result = await check_others_signed(shire, request, key, first, liar)
    assert result.session_id is not None
    *_, (_, why) = await history(shire, first)
    assert (why["code"], why["culprits"]) == (FailureCode.PARTY_FAULT, [liar])
    await check_handed_on(
        shire,
        first,
        result.session_id,
        status=Status.FAILED,
        reason=f"{liar} sent a wrong signature share (RFC 9591 5.4)",
    )
    await check_first_is_forgotten(shire, first)


async def test_others_sign_when_a_signer_has_lost_its_nonces(shire: World) -> None:
    key = await make_key(shire)
    for signers in (["party-1", "party-2"], ["party-2", "party-3"]):
        await sign(shire, key, scheme=FROST, signers=signers)
    request, first, refuser = await begun(shire, key, scheme=FROST)
    await out_of_stock(shire, refuser, key)
    await shire.run()
    result = await check_others_signed(shire, request, key, first, refuser)
    assert result.session_id is not None
    *_, (end, why) = await history(shire, first)
    assert (end, why["code"]) == ("failed", FailureCode.PARTY_REFUSED)
    await check_handed_on(
        shire, first, result.session_id, status=Status.FAILED, reason=why["message"]
    )


###
### ECDSA
###


@pytest.mark.parametrize("trouble", ["lies", "refuses", "is silent"])
async def test_those_who_wait_for_a_batch_that_fails_go_on_with_other_signers(
    shire: World, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    key = await make_key(shire)
    waiting = [await begun(shire, key) for _ in range(3)]
    failing = waiting[0][-1]
    assert {each[-1] for each in waiting} == {failing}
    lost: Callable[[Outgoing], bool] = lambda _: False  # noqa: E731
    if trouble == "lies":
        presigned_by(monkeypatch, failing, lambda truth, _: truth[:-1], {1})
    elif trouble == "refuses":
        store: Any = shire.party_stores[failing]

        async def nothing(*_: Any) -> None:
            return None

        store.key_share = nothing
    else:
        lost = deaf(failing)
    await shire.run(dropped=lost)
    if trouble == "is silent":
        batches = {m.headers["session_id"] for m in sent(shire, "presign_batch")}
        shire.clock.offset_ms += int(shire.pool_limits.batch_seconds * 1000)
        await everyone_is_alive(shire)
        for batch in map(bytes.fromhex, batches):
            for party in shire.parties.values():
                await party.expire(batch)
            await shire.run(dropped=lost)
            await shire.outlive(batch)
            await shire.reports.expire(batch)
    for _ in range(3):  # only so many batches are made at once
        await shire.run(dropped=lost)
        await shire.pools.tend()
    for request, first, _ in waiting:
        await check_others_signed(shire, request, key, first, failing)
    await check_nothing_is_left(shire)


@pytest.mark.parametrize("lie", ["psi", "share"])
async def test_a_spoilt_signature_costs_its_pool_and_others_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    async with world(tmp_path, pool_limits=AHEAD) as shire:
        key = await make_key(shire)
        await everyone_is_alive(shire)
        home = (await sign(shire, key)).signers
        if lie == "psi":
            presigned_by(monkeypatch, home[-1], wrong_psi, {PRODUCT})
        await look(shire)
        (pool,) = await pools_of(shire, key)
        assert pool.stock == AHEAD.high

        request, first, liar = await begun(shire, key)
        assert await signers_of(shire, first) == home
        await shire.run(dropped=wrong_share(shire, liar) if lie == "share" else lambda _: False)
        result = check_success(shire, request, key)
        assert result.session_id == await session_of(shire, request) != first
        assert result.signers != home
        *_, (_, why) = await history(shire, first)
        assert (why["code"], why["culprits"]) == (FailureCode.SPOILT, [])
        stock = {each.name: each.stock for each in await pools_of(shire, key)}
        assert stock[pool.name] == 0
        assert pool.name.signers in shire.pools.resting(key.facts)
        assert (await sign(shire, key)).signers == result.signers


###
### Not again
###


@pytest.mark.parametrize("scheme", [FROST, "ecdsa"])
@pytest.mark.parametrize("why", ["named", "all"])
async def test_where_no_others_may_sign_the_failure_names_who_failed(
    tmp_path: Path, scheme: str, why: str
) -> None:
    async with world(tmp_path, party_count=3 if why == "named" else 2) as shire:
        key = await make_key(shire)
        named = {"signers": ["party-1", "party-2"]} if why == "named" else {}
        request, first, silent = await begun(shire, key, scheme=scheme, **named)
        await shire.run(
            dropped=lambda m: m.kind in {"session_created", "nonces_wanted"} and deaf(silent)(m)
        )
        await try_time_is_over(shire, first)
        await shire.run()
        assert await session_of(shire, request) == first
        result = only_result(shire, request)
        assert result.status is Status.EXPIRED
        assert result.failure is not None
        assert result.failure.silent == [silent]
        assert result.failure.retryable
        assert shire.clock() > request.expires_at


@pytest.mark.parametrize("scheme", [FROST, "ecdsa"])
async def test_three_sessions_are_enough(tmp_path: Path, scheme: str) -> None:
    async with world(tmp_path, party_count=5) as shire:
        key = await make_key(shire)
        request, session_id, _ = await begun(shire, key, scheme=scheme)
        tried: list[bytes] = []
        avoided: set[str] = set()
        while not results_sent(shire, request):
            tried.append(session_id)
            signers = await signers_of(shire, session_id)
            assert (await conduct_of(shire, session_id)).tries == len(tried)
            if len(avoided) < 4:
                assert not avoided & set(signers)
            avoided |= set(signers)
            await shire.run(dropped=lambda m: m.kind in {"session_created", "nonces_wanted"})
            await try_time_is_over(shire, session_id)
            session_id = await session_of(shire, request)
        assert len(set(tried)) == MAX_TRIES
        assert session_id == tried[-1]
        result = only_result(shire, request)
        assert (result.status, result.session_id) == (Status.EXPIRED, session_id)
        assert shire.clock() < request.expires_at
        await shire.run()
        assert len(results_sent(shire, request)) == 1
        await check_nothing_is_left(shire)


async def test_no_others_are_tried_when_the_requests_own_time_is_over(shire: World) -> None:
    key = await make_key(shire)
    request, first, _ = await begun(shire, key, scheme=FROST)
    shire.clock.offset_ms += request.expires_at - shire.clock() - SHORTEST_TRY_MS + 1
    await everyone_is_alive(shire)
    await shire.reports.expire(first)
    assert await session_of(shire, request) == first
    assert only_result(shire, request).status is Status.EXPIRED
    await shire.reports.send_owed(first)
    await shire.run()
    assert await session_of(shire, request) == first
    assert only_result(shire, request).status is Status.EXPIRED


async def test_the_last_session_ends_with_its_request(shire: World) -> None:
    key = await make_key(shire)
    request, first, _ = await begun(shire, key, scheme=FROST)
    deadline = (await conduct_of(shire, first)).deadline
    shire.clock.offset_ms += deadline - shire.clock() - SHORTEST_TRY_MS - 4_000
    await shire.reports.expire(first)
    second = await session_of(shire, request)
    assert second != first
    session = await shire.coordinator_store.session(second)
    assert session is not None
    assert session.deadline == deadline
    shire.network.waiting.clear()
    await try_time_is_over(shire, second)
    assert await session_of(shire, request) == second
    assert only_result(shire, request).status is Status.EXPIRED


@pytest.mark.parametrize("scheme", [FROST, "ecdsa"])
async def test_nobody_is_tried_after_a_cancellation(shire: World, scheme: str) -> None:
    key = await make_key(shire)
    request, first, _ = await begun(shire, key, scheme=scheme)
    under_way = list(shire.network.waiting)
    await shire.submit(cancel(shire, request))
    await shire.reports.expire(first)
    await shire.reports.send_owed(first)
    shire.network.waiting += under_way
    await shire.run()
    await look(shire)
    assert await session_of(shire, request) == first
    assert only_result(shire, request).status is Status.CANCELLED
    await check_first_is_forgotten(shire, first)


@pytest.mark.parametrize("scheme", [FROST, "ecdsa"])
async def test_a_cancellation_reaches_the_session_that_the_request_went_on_in(
    shire: World, scheme: str
) -> None:
    key = await make_key(shire)
    request, first, _ = await begun(shire, key, scheme=scheme)
    await shire.run(dropped=lambda m: m.kind in {"session_created", "nonces_wanted"})
    await try_time_is_over(shire, first)
    second = await session_of(shire, request)
    assert second != first
    wish = cancel(shire, request)
    await answered(shire, wish, CancelResult)
    assert cancelled(shire, wish).target_status is Status.CANCELLED
    assert cancelled(shire, wish).session_id == second
    await shire.run()
    result = only_result(shire, request)
    assert (result.status, result.session_id) == (Status.CANCELLED, second)
    await check_first_is_forgotten(shire, first)


###
### What comes late, or again
###


async def test_the_request_come_again_gets_what_the_running_session_sent_and_then_its_result(
    shire: World,
) -> None:
    key = await make_key(shire)
    await everyone_is_alive(shire)
    request = ecdsa_request(shire, key, scheme=FROST)
    signed = await shire.ask(request)
    first = await session_of(shire, request)
    shire.network.waiting.clear()
    await try_time_is_over(shire, first)
    second = await session_of(shire, request)
    began = shire.network.waiting[-2:]
    assert {message.headers["session_id"] for message in began} == {second.hex()}
    shire.network.waiting.clear()

    await shire.submit(signed)
    assert shire.network.waiting == began
    await shire.run()
    result = check_success(shire, request, key)
    assert result.session_id == second
    await shire.submit(signed)
    one, again = results_sent(shire, request)
    assert one == again


@pytest.mark.parametrize("at", ["once", "the end"])
async def test_what_the_first_signers_say_late_changes_nothing(shire: World, at: str) -> None:
    key = await make_key(shire)
    for signers in (["party-1", "party-2"], ["party-2", "party-3"]):
        await sign(shire, key, scheme=FROST, signers=signers)
    request, first, _ = await begun(shire, key, scheme=FROST)
    late: list[Outgoing] = []

    def held(message: Outgoing) -> bool:
        if message.kind == "share_signed" and message not in late:
            late.append(message)
        return message in late

    await shire.run(dropped=held)
    assert len(late) == 2
    await try_time_is_over(shire, first)
    second = await session_of(shire, request)
    if at == "the end":
        await shire.run()
    store = shire.coordinator_store
    before = await store.session(first), await store.session(second), await history(shire, first)
    said = {message.body for message in shire.network.sent}
    for message in late:
        await shire.deliver(message)
    assert {message.body for message in shire.network.sent} == said
    assert before == (
        await store.session(first),
        await store.session(second),
        await history(shire, first),
    )
    await shire.run()
    assert check_success(shire, request, key).session_id == second
    assert len(results_sent(shire, request)) == 1
