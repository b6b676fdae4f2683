"""Requests and their cancels at once, with whole parties: no client is told that nothing can come
of a request of which something came."""

from __future__ import annotations

from random import Random

import pytest

from contracts.client.settlement import Group, Settlement, settle
from contracts.keys import CertifiedKey
from contracts.requests import SignRequest
from contracts.results import CancelResult, SignResult, Status
from contracts.signing import SignedRequest, sign_request
from tests.workers.callers import answer, wish
from tests.workers.ecdsa import make_key, only_result, sender, sent
from tests.workers.simulate import World
from workers.session.coordinator.cancellation import PATIENCE_MS
from workers.store.records import Outgoing

FROST = "secp256k1"


def a_cancel(shire: World, key: CertifiedKey, request: SignRequest) -> SignedRequest:
    """As a client asks for it that knows the key."""
    return wish(
        shire,
        "cancel",
        target=request.request_id,
        target_issued_at=request.issued_at,
        key_session=key.facts.session_id,
    )


async def cancelled(
    shire: World, key: CertifiedKey, request: SignRequest, *, liars: int | None = None
) -> Settlement:
    """What a cancel of now comes to, when all that is under way has arrived."""
    cancel = a_cancel(shire, key, request)
    await shire.submit(cancel)
    await shire.run()
    return settlement(shire, key, request, cancel.request.request_id, liars=liars)


def settlement(
    shire: World,
    key: CertifiedKey,
    request: SignRequest,
    cancel: str,
    *,
    liars: int | None = None,
) -> Settlement:
    (result,) = {
        each.model_dump_json(): each for each in shire.results() if each.request_id == cancel
    }.values()
    assert isinstance(result, CancelResult)
    group = Group.of_key(key.facts)
    return settle(result, group, request.owned_by, issued_at=request.issued_at, liars=liars)


async def test_at_once_it_is_cancelled_or_signed_and_never_both(shire: World) -> None:
    key, random = await make_key(shire), Random(7)
    ends = set()
    for _ in range(50):
        request = shire.sign_request(key_id=key.facts.key_id, scheme=FROST)
        cancel = a_cancel(shire, key, request)
        asked = sign_request(request, shire.client)
        first, second = (asked, cancel) if random.random() < 0.6 else (cancel, asked)
        await shire.submit(first)
        for _ in range(random.randrange(12)):  # or it is far on its way
            ready = [each for each in shire.network.waiting if each.exchange != "warren.results"]
            if ready:
                message = random.choice(ready)
                shire.network.waiting.remove(message)
                await shire.deliver(message)
        shares = len(sent(shire, "share_signed"))
        await shire.submit(second)
        await shire.run(random)
        result = only_result(shire, request)
        told = settlement(shire, key, request, cancel.request.request_id)
        assert told.target_status is result.status or told.target_status is None
        if told.final:
            assert result.status is Status.CANCELLED
            assert len(sent(shire, "share_signed")) == shares
        ends.add((result.status, told.final))
    assert {(Status.CANCELLED, True), (Status.COMPLETED, False)} <= ends


async def test_what_expired_is_settled_by_statements(shire: World) -> None:
    key = await make_key(shire)
    request = shire.sign_request(key_id=key.facts.key_id, scheme=FROST)
    await shire.ask(request)
    shire.network.waiting.clear()  # nobody ever hears of it
    (session_id,) = await shire.coordinator_store.overdue(10**15, 10)
    shire.clock.offset_ms += 61_000
    await shire.reports.expire(session_id)
    assert answer(shire, request, SignResult).status is Status.EXPIRED
    told = await cancelled(shire, key, request)
    assert (told.target_status, told.liars_tolerated, told.final) == (Status.EXPIRED, 1, True)


async def test_a_share_that_never_arrived_is_a_signature_that_may_exist(shire: World) -> None:
    key = await make_key(shire)
    request = shire.sign_request(key_id=key.facts.key_id, scheme=FROST)
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind == "share_signed")
    signed = {sender(each) for each in sent(shire, "share_signed")}
    assert len(signed) == 2
    told = await cancelled(shire, key, request, liars=0)
    assert told.target_status is Status.CANCELLED
    assert set(told.already_signed) == signed
    assert (told.liars_tolerated, told.final, told.signature_may_exist) == (-1, False, True)


@pytest.mark.parametrize(("liars", "final"), [(None, False), (1, False), (0, True)])
async def test_with_one_party_down_it_is_final_for_who_trusts_the_others(
    shire: World, liars: int | None, final: bool
) -> None:
    def deaf(message: Outgoing) -> bool:
        return message.kind == "request_cancelled" and message.routing_key == "party-3"

    key = await make_key(shire)
    request = shire.sign_request(key_id=key.facts.key_id, scheme=FROST)
    cancel = a_cancel(shire, key, request)
    await shire.submit(cancel)
    await shire.run(dropped=deaf)
    shire.clock.offset_ms += PATIENCE_MS + 1
    (session_id,) = await shire.coordinator_store.overdue(10**15, 10)
    await shire.reports.expire(session_id)
    told = settlement(shire, key, request, cancel.request.request_id, liars=liars)
    assert told.silent == ("party-3",)
    assert (told.liars_tolerated, told.final) == (0, final)
