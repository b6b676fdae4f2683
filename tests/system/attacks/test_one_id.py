"""Two bodies under one request id, two keys under one name, a cancel of something else."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from contracts import sessions
from contracts.client import Client, RequestFailedError, Settlement
from contracts.errors import ContractError
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Owner, Scheme, Status
from contracts.requests import MAX_TRIES
from contracts.results import QuerySessionResult
from contracts.signing import SignedRequest
from contracts.statements import Statement
from ops.stack.deployment import Deployment

from . import asking
from .adversary import (
    ANSWERED,
    PATIENCE_S,
    SHARES,
    Adversary,
    heard_request,
    is_dead,
    is_report,
    is_request,
    is_result,
)
from .false_coordinator import FalseCoordinator, every_signer_set
from .forms import Wire, cancel_instruction
from .in_its_place import told
from .under_way import lost

SIGNERS = ["party-1", "party-2"]


async def test_a_second_body_under_one_id_is_signed_by_nobody(
    stack: Deployment,
    victim: Client,
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    """The coordinator refuses it as a conflict; so do the parties, by themselves. A party that has
    signed neither is one too few."""
    settings, request_id = adversary.client_settings(), f"twice-{secrets.token_hex(4)}"
    result = await victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        request_id=request_id,
        signers=SIGNERS,
    )
    assert result.signature is not None
    second = asking.sign(
        settings, key.facts.key_id, request_id=request_id, message=bytes(range(32)).hex()
    )
    for signers in every_signer_set(stack):
        await false_coordinator.refused(
            second,
            key.facts,
            signers,
            "another request of the same id came before",
            by={*signers} & {*SIGNERS},
        )


async def test_the_same_id_is_anothers_own(
    stack: Deployment, key: CertifiedKey, insider: Adversary
) -> None:
    """Nobody uses up an id for others: the first digest wins among the owner's alone."""
    false_coordinator = FalseCoordinator(insider)
    mine = asking.sign(insider.client_settings(), key.facts.key_id)
    theirs = asking.sign(
        insider.client_settings("svcB"), key.facts.key_id, request_id=mine.request.request_id
    )
    for signers in every_signer_set(stack):
        await false_coordinator.refused(theirs, key.facts, signers, "another owner's key")
    assert (await false_coordinator.sign(mine, key.facts, SIGNERS)).item is not None


async def test_a_request_is_signed_in_no_more_sessions_than_it_has_tries(
    key: CertifiedKey, adversary: Adversary, false_coordinator: FalseCoordinator
) -> None:
    signed = asking.sign(adversary.client_settings(), key.facts.key_id)
    for _ in range(MAX_TRIES if adversary.is_coordinator else 0):
        assert (await false_coordinator.sign(signed, key.facts, SIGNERS)).item is not None
    await false_coordinator.refused(
        signed, key.facts, SIGNERS, f"we answered the request in {MAX_TRIES} other sessions"
    )


async def test_a_second_key_under_one_name_is_certified_by_nobody(
    victim: Client, adversary: Adversary, false_coordinator: FalseCoordinator
) -> None:
    """The same signed wish, in a session of somebody else's; and another wish for the name."""
    settings, name = adversary.client_settings(), f"named-{secrets.token_hex(4)}"
    signed = asking.keygen(settings, name)
    await adversary.request(signed)
    await adversary.recording.first(is_result("keygen", signed.request.request_id))
    assert [made.facts.key_id for made in await victim.keys(name)] == [name]
    await false_coordinator.no_key(signed, f"another key {name} of this owner")
    await false_coordinator.no_key(
        asking.keygen(settings, name), f"another key {name} of this owner"
    )


async def test_a_key_of_a_false_coordinators_is_one_for_ever(
    insider: Adversary, victim: Client
) -> None:
    """Who holds the coordinator's key makes what its client asked for; once."""
    false_coordinator = FalseCoordinator(insider)
    name = f"false-{secrets.token_hex(4)}"
    signed = asking.keygen(insider.client_settings(), name)
    assert len((await false_coordinator.make_key(signed)).shares) == 3
    await false_coordinator.no_key(signed, f"another key {name} of this owner")


@pytest.mark.parametrize("session", ["its own", "another's"])
async def test_a_cancel_of_one_request_ends_no_other(
    stack: Deployment, victim: Client, key: CertifiedKey, insider: Adversary, session: str
) -> None:
    """A recorded cancel, shown to the parties again, and with the session of another request."""
    other = asking.cancel(insider.client_settings(), "something-else")
    request_id = f"kept-{secrets.token_hex(4)}"
    elsewhere = secrets.token_bytes(32)
    content = cancel_instruction(other, session_id=None if session == "its own" else elsewhere)
    for party_id in stack.plan.party_ids:
        await insider.publish(insider.forms.instruction(content, party_id))
    if session == "its own":
        answers = await insider.recording.count(is_report(ANSWERED, content.session_id), 3, 20)
        for wire in answers:
            stated = stated_in(wire)
            assert about(insider, stated, "something-else")
            assert not about(insider, stated, request_id)
    else:
        await insider.recording.first(is_dead("not the one that the cancel gives"))
    result = await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
    )
    assert result.signature is not None


def stated_in(wire: Wire) -> Statement:
    statement = sessions.CancelAnswered.model_validate_json(wire.content()).statement
    assert statement is not None
    return statement


def about(insider: Adversary, stated: Statement, request_id: str) -> bool:
    """Whether it is a statement about this request of svcA's."""
    try:
        stated.verify(Owner(client_id="svcA"), request_id, insider.parties[stated.party_id])
    except ContractError:
        return False
    return True


def forgeries(adversary: Adversary, target: str) -> dict[str, tuple[SignedRequest, bytes]]:
    """By another client, in svcA's name; svcA's own, with one bit of its signature wrong; and
    another's own, of what is svcA's."""
    theirs, own = (
        asking.cancel(adversary.client_settings(name), target) for name in ("svcB", "svcA")
    )
    of = {"client_id": "svcA", "tenant": None}
    foreign = asking.cancel(adversary.client_settings("svcB"), target, of=of)
    wrong = own.signature[:-1] + bytes([own.signature[-1] ^ 1])
    return {
        "anothers signature": (own, theirs.signature),
        "a wrong signature": (own, wrong),
        "no operator": (foreign, foreign.signature),
    }


async def test_a_forged_cancel_makes_no_party_state_anything(
    stack: Deployment, victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    target = f"forged-{secrets.token_hex(4)}"
    for cancel, signature in forgeries(insider, target).values():
        session_id = secrets.token_bytes(32)
        if signature == cancel.signature:
            session_id = cancel_instruction(cancel).session_id
        content = cancel_instruction(cancel, signature=signature, session_id=session_id)
        for party_id in stack.plan.party_ids:
            await insider.publish(insider.forms.instruction(content, party_id))
        answers = await insider.recording.count(is_report(ANSWERED, session_id), 3, PATIENCE_S)
        assert [wire.json()["refused"] for wire in answers] == ["not_authorised"] * 3
    result = await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=target
    )
    assert result.signature is not None


async def test_a_cancel_that_another_client_signed_ends_nothing(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """Request ids are each owner's own."""
    request_id = f"kept-{secrets.token_hex(4)}"
    async with stranger.holding_reports(SHARES) as held:
        task = asyncio.ensure_future(
            victim.sign(
                key.facts.key_id,
                message=asking.MESSAGE,
                scheme=Scheme.ED25519,
                request_id=request_id,
            )
        )
        shares = await stranger.shares_of(request_id, held)
        foreign = asking.cancel(stranger.client_settings("svcB"), request_id)
        await stranger.request(foreign)
        answer = await stranger.recording.first(is_result("cancel", foreign.request.request_id))
        await held.let_through(shares)
    assert (await task).signature is not None
    assert (answer.json()["status"], answer.json()["target_status"]) == ("completed", None)


async def test_a_tenants_cancel_ends_nothing_of_anothers(
    victim: Client, stranger: Adversary
) -> None:
    """Its owner's does, afterwards, or comes too late."""
    shop, bank = victim.acting_for("shop"), victim.acting_for("bank")
    name = f"tenants-{secrets.token_hex(4)}"
    await shop.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3)
    async with stranger.holding_reports(SHARES) as held:
        task = asyncio.ensure_future(
            shop.sign(name, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=name)
        )
        shares = await stranger.shares_of(name, held)
        theirs = await bank.cancel(name)
        await held.let_through(shares)
    assert (await task).signature is not None
    assert (theirs.target_status, theirs.final) == (None, False)
    assert (await shop.cancel(name)).target_status is Status.COMPLETED


async def test_a_replayed_cancel_ends_nothing_that_was_asked_for_since(
    stack: Deployment, victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """A recorded one of another id, to the coordinator and to the parties."""
    first, second = (f"{word}-{secrets.token_hex(4)}" for word in ("first", "second"))
    await victim.cancel(first)
    recorded = await insider.recording.first(
        lambda wire: is_request("cancel")(wire) and wire.json()["target"] == first
    )
    content = cancel_instruction(heard_request(recorded))
    await insider.publish(recorded)
    for party_id in stack.plan.party_ids:
        await insider.publish(insider.forms.instruction(content, party_id))
    answers = is_report(ANSWERED, content.session_id)
    assert len(await insider.recording.count(answers, 6, PATIENCE_S)) == 6
    result = await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=second
    )
    assert result.signature is not None
    assert (await victim.cancel(second)).target_status is Status.COMPLETED


def told_of(looked: QuerySessionResult, session_id: bytes, **changes: Any) -> dict[str, Any]:
    """What a query of that session is answered with."""
    assert looked.session is not None
    session = looked.session.model_copy(update={"session_id": session_id})
    said = looked.model_copy(update={"session": session, **changes})
    return said.model_dump(mode="json")


@pytest.mark.parametrize("terms", ["the session's", "the other's", None])
async def test_a_session_is_not_cancelled_as_another_request(
    victim: Client, key: CertifiedKey, insider: Adversary, terms: str | None
) -> None:
    """Its shares are kept back, and who cancels it by its session id is told that it is a request
    that was never signed: all parties would state so, and truly."""
    shop = victim.acting_for("shop")
    name = f"shop-{secrets.token_hex(4)}"
    key = await shop.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3)
    other = await outcome_of_a_lost_request(insider, shop, key)
    async with insider.holding_reports(SHARES) as held:
        begun = await shop.begin_signature(name, message=asking.MESSAGE, scheme=Scheme.ED25519)
        assert begun.announced is not None
        session_id = begun.announced.session_id
        await held.recording.of_each(SHARES, 2)
        true = {"the session's": begun.announced.terms, "the other's": other.terms, None: None}
        said = told_of(other, session_id, terms=true[terms])
        heard = await told(
            insider,
            victim,
            shop.cancel_session(session_id),
            "query_session",
            lambda signed: said | {"request_id": signed.request.request_id},
        )
        begun.stop()
    because = {
        "the session's": "terms' request is not",
        "the other's": "session_id is not",
        None: "has no terms",
    }
    assert heard.is_refused(insider, because[terms]), heard
    assert isinstance(heard.outcome, Settlement)
    assert (heard.outcome.target, heard.outcome.final) == (begun.request_id, False)


async def outcome_of_a_lost_request(
    insider: Adversary, shop: Client, key: CertifiedKey
) -> QuerySessionResult:
    """What is told of a request that no party has heard of."""
    request_id = f"other-{secrets.token_hex(4)}"
    call = shop.sign(
        key.facts.key_id,
        message=b"other",
        scheme=Scheme.ED25519,
        request_id=request_id,
        timeout_s=30,
    )
    under_way = await lost(insider, call, request_id, key)
    under_way.task.cancel()
    await asyncio.gather(under_way.task, return_exceptions=True)
    return await shop.look(request_id=request_id)


async def test_a_session_of_another_tenant_is_not_cancelled_in_its_name(
    victim: Client, insider: Adversary
) -> None:
    """Whoever acts for one tenant would sign away another one's request."""
    shop, bank = victim.acting_for("shop"), victim.acting_for("bank")
    name = f"bank-{secrets.token_hex(4)}"
    await bank.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3)
    done = await bank.sign(name, message=asking.MESSAGE, scheme=Scheme.ED25519)
    assert done.session_id is not None
    looked = await bank.look(session_id=done.session_id)
    said = looked.model_dump(mode="json") | {"outcome": None}
    heard = await told(
        insider,
        victim,
        shop.cancel_session(done.session_id),
        "query_session",
        lambda signed: said | {"request_id": signed.request.request_id},
    )
    assert heard.is_refused(insider, "owner is not what was asked for"), heard
    assert isinstance(heard.outcome, RequestFailedError)
    assert heard.outcome.failure.code == "unknown_request"
    assert await insider.until_now(is_request("cancel")) == []
