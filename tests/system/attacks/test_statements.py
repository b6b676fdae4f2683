"""Statements that are false, forged, old, or nobody's to make; each with a cancel's result."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from contracts.client import Client, RequestFailedError, Settlement
from contracts.identity import Identity
from contracts.keys import CertifiedKey, EpochName
from contracts.primitives import Owner, Scheme
from contracts.requests import CancelRequest
from contracts.results import SignResult
from contracts.sessions import CancelAnswered
from contracts.signing import SignedRequest
from contracts.statements import Statement

from . import asking
from .adversary import (
    ANSWERED,
    SHARES,
    Adversary,
    Held,
    heard_request,
    is_request,
    is_result,
)
from .after_final import Assembly
from .forms import envelope, now_ms, statement
from .in_its_place import base, told
from .under_way import lost, outcome

LIAR = "party-3"
NAMES = ("party-1", "party-2", "party-3")
Forge = Callable[[Adversary, SignedRequest, bytes], Sequence[Mapping[str, Any]]]


def by(
    identity: Identity, party_id: str, target: SignedRequest, key: bytes, **changes: Any
) -> dict[str, Any]:
    """As the party says it, but for the changes. Arguments: key: Its session."""
    request = target.request
    owner = Owner(
        client_id=changes.pop("client_id", request.client_id),
        tenant=changes.pop("tenant", request.tenant),
    )
    request_id = changes.pop("request_id", request.request_id)
    said: dict[str, Any] = {"issued_until": now_ms(), "key_session": key} | changes
    return statement(identity, party_id, owner, request_id, **said)


def by_all(
    adversary: Adversary,
    target: SignedRequest,
    key: bytes,
    names: Iterable[str] = NAMES,
    **changes: Any,
) -> list[dict[str, Any]]:
    """By the parties themselves: all of them are in league here."""
    return [by(adversary.stolen_key(name), name, target, key, **changes) for name in names]


def of_strangers(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    return [by(Identity.generate(), party_id, target, key) for party_id in NAMES]


def of_two(adversary: Adversary, target: SignedRequest, key: bytes) -> Sequence[Mapping[str, Any]]:
    return by_all(adversary, target, key, NAMES[:2])


def of_two_and_a_stranger(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    return [*by_all(adversary, target, key, NAMES[:2]), by(Identity.generate(), LIAR, target, key)]


def of_one_liar_thrice(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    return [by(adversary.stolen_key(LIAR), LIAR, target, key)] * 3


def of_one_liar_for_all(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    identity = adversary.stolen_key(LIAR)
    return [by(identity, name, target, key) for name in NAMES]


def of_no_holders(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    return [by(Identity.generate(), f"party-{number}", target, key) for number in (4, 5, 6)]


def about_another_request(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    """By all three, and true: of an id that was never used."""
    return by_all(adversary, target, key, request_id="another")


def about_another_tenant(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    return by_all(adversary, target, key, tenant="another")


def about_another_client(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    return by_all(adversary, target, key, client_id="svcB")


def of_before_the_request(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    """By all three, and true when they were made."""
    return by_all(adversary, target, key, issued_until=target.request.issued_at - 1)


def of_after_the_request(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    """By parties that have forgotten it since."""
    return by_all(adversary, target, key, issued_from=target.request.issued_at + 1)


def with_another_time_than_was_signed(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    later = by_all(adversary, target, key, issued_from=target.request.issued_at + 1)
    return [each | {"issued_from": 0} for each in later]


def of_another_key(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    return by_all(adversary, target, bytes(32))


def of_no_key(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    """As they state it to whoever names none."""
    return by_all(adversary, target, key, key_session=None)


def of_an_epoch_that_is_not_shown(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    """By former holders, and true: others sign meanwhile."""
    name = EpochName(epoch=1, session_id=bytes(32))
    return by_all(adversary, target, key, epochs=[name])


def exchanged(
    adversary: Adversary, target: SignedRequest, key: bytes
) -> Sequence[Mapping[str, Any]]:
    """Each under another's name."""
    said = by_all(adversary, target, key)
    signatures = [each["signature"] for each in said]
    return [
        each | {"signature": signature}
        for each, signature in zip(said, [*signatures[1:], signatures[0]], strict=True)
    ]


FORGERIES: list[Forge] = [
    of_strangers,
    of_two,
    of_two_and_a_stranger,
    of_one_liar_thrice,
    of_one_liar_for_all,
    of_no_holders,
    about_another_request,
    about_another_tenant,
    about_another_client,
    of_before_the_request,
    of_after_the_request,
    with_another_time_than_was_signed,
    of_another_key,
    of_no_key,
    of_an_epoch_that_is_not_shown,
    exchanged,
]
ALL: list[Forge] = [by_all, *FORGERIES]


@pytest.mark.parametrize("forge", ALL, ids=lambda forge: forge.__name__)
async def test_a_forged_cancel_is_final_only_if_all_holders_lie(
    victim: Client, key: CertifiedKey, insider: Adversary, forge: Forge
) -> None:
    """The signature exists. That they all can lie shows that the others fail by what they lack."""
    request_id = f"stated-{secrets.token_hex(4)}"
    result = await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
    )
    assert result.signature is not None
    target = heard_request(await insider.recording.first(is_request("sign", request_id)))
    believed = await told(
        insider,
        victim,
        victim.cancel(request_id),
        "cancel",
        lambda signed: base(
            signed,
            target=request_id,
            target_status="cancelled",
            statements=forge(insider, target, key.facts.session_id),
            already_signed=[],
            silent=[],
        ),
    )
    assert isinstance(believed.outcome, Settlement)
    assert believed.refused == []
    counting: dict[Forge, int] = {by_all: 3, of_two: 2, of_two_and_a_stranger: 2}
    counting |= {of_one_liar_thrice: 1, of_one_liar_for_all: 1}
    assert len(believed.outcome.statements) == counting.get(forge, 0)
    assert believed.outcome.final == (forge is by_all)


async def test_a_strangers_settlement_is_not_believed(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """With true statements, which it has heard: those of an id that was never used."""
    unused = asking.sign(stranger.client_settings(), key.facts.key_id)
    unused_id = unused.request.request_id
    first = await victim.cancel(
        unused_id, key_id=key.facts.key_id, issued_at=unused.request.issued_at
    )
    assert first.final
    recorded = (await stranger.recording.first(is_result("cancel"))).json()
    request_id = f"stated-{secrets.token_hex(4)}"
    await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
    )
    believed = await told(
        stranger,
        victim,
        victim.cancel(request_id),
        "cancel",
        lambda signed: base(
            signed,
            target=request_id,
            target_status="cancelled",
            statements=recorded["statements"],
            already_signed=[],
            silent=[],
        ),
    )
    assert believed.disbelieved == 1
    assert isinstance(believed.outcome, Settlement)
    assert not believed.outcome.final


async def test_recorded_statements_say_nothing_of_a_later_request_of_the_id(
    victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """The parties may forbid an id, and their time for it may end; what they stated ends there."""
    signed = asking.sign(insider.client_settings(), key.facts.key_id)
    request_id = signed.request.request_id
    how: dict[str, Any] = {"key_id": key.facts.key_id, "issued_at": signed.request.issued_at}
    first = await victim.cancel(request_id, **how)
    assert first.final
    statements = (await insider.recording.first(is_result("cancel"))).json()["statements"]
    for later_ms in (0, asking.LIFETIME_MS):
        asked = {**how, "issued_at": signed.request.issued_at + later_ms}
        if later_ms:
            asked["issued_at"] = now_ms()
        again = await told(
            insider,
            victim,
            victim.cancel(request_id, **asked),
            "cancel",
            lambda cancel: base(
                cancel,
                target=request_id,
                target_status="cancelled",
                statements=statements,
                already_signed=[],
                silent=[],
            ),
        )
        assert isinstance(again.outcome, Settlement)
        assert again.outcome.final == (later_ms == 0)


async def test_statements_must_hold_for_both_requests_that_had_one_id(
    victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """The first is signed. Parties that lost their memory between the two would state truly that
    they have not answered the second."""
    request_id = f"both-{secrets.token_hex(4)}"

    async def sign() -> SignResult:
        return await victim.sign(
            key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
        )

    assert (await sign()).signature is not None
    first = heard_request(await insider.recording.first(is_request("sign", request_id)))
    again = await outcome(asyncio.ensure_future(sign()))
    assert isinstance(again, RequestFailedError)
    assert again.failure.code == "conflict"
    for issued_from, final in ((0, True), (first.request.issued_at + 1, False)):
        believed = await told(
            insider,
            victim,
            victim.cancel(request_id),
            "cancel",
            functools.partial(
                _cancelled, by_all(insider, first, key.facts.session_id, issued_from=issued_from)
            ),
        )
        assert isinstance(believed.outcome, Settlement)
        assert believed.outcome.final == final


def _cancelled(statements: list[dict[str, Any]], signed: SignedRequest) -> dict[str, Any]:
    assert isinstance(signed.request, CancelRequest)
    return base(
        signed,
        target=signed.request.target,
        target_status="cancelled",
        statements=statements,
        already_signed=[],
        silent=[],
    )


async def lie_for_the_liar(
    insider: Adversary, held: Held, target: SignedRequest, key: bytes
) -> None:
    """Its own answer is kept back, and a statement that it has signed nothing goes out."""
    answers = await held.recording.of_each(ANSWERED, 3)
    identity = insider.stolen_key(LIAR)
    for wire in answers:
        report = envelope(wire)
        if report.sender == LIAR:
            lie = Statement.model_validate(by(identity, LIAR, target, key), strict=False)
            said = CancelAnswered(statement=lie)
            false = replace(report, payload=said.model_dump_json().encode())
            wire = replace(wire, body=false.seal(identity), message_id=false.digest().hex())
        await held.let_through([wire])


async def test_one_liar_among_those_who_state_does_not_make_it_final(
    victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """party-1 and the liar have signed; the liar states that it has not, as party-2 does truly."""
    request_id = f"liar-{secrets.token_hex(4)}"
    async with insider.holding_reports(SHARES, ANSWERED) as held:
        task = asyncio.ensure_future(
            victim.sign(
                key.facts.key_id,
                message=asking.MESSAGE,
                scheme=Scheme.ED25519,
                request_id=request_id,
                signers=["party-1", LIAR],
            )
        )
        await insider.shares_of(request_id, held)
        asked = asyncio.ensure_future(victim.cancel(request_id))
        target = heard_request(await insider.recording.first(is_request("sign", request_id)))
        await lie_for_the_liar(insider, held, target, key.facts.session_id)
        settlement = await asked
        await outcome(task)
    assembly = Assembly(await insider.until_now(), insider.forms, insider.parties)
    assert len(assembly.signatures(request_id, key.facts)) == 1
    assert [each.party_id for each in settlement.statements] == ["party-2", LIAR]
    assert (settlement.liars_tolerated, settlement.final) == (0, False)


async def test_the_coordinator_counts_no_statement_that_is_anothers(
    victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """A party brings the statement that another one has made: it is not heard, and is silent."""
    request_id = f"borrowed-{secrets.token_hex(4)}"
    call = victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
    )
    under_way = await lost(insider, call, request_id, key)
    async with insider.holding_reports(ANSWERED) as held:
        asked = asyncio.ensure_future(victim.cancel(request_id))
        answers = await held.recording.of_each(ANSWERED, 3)
        true = {envelope(wire).sender: wire for wire in answers}
        report, identity = envelope(true[LIAR]), insider.stolen_key(LIAR)
        borrowed = replace(report, payload=envelope(true["party-1"]).payload)
        lie = replace(true[LIAR], body=borrowed.seal(identity), message_id=borrowed.digest().hex())
        await held.let_through([lie, true["party-1"], true["party-2"]])
        settlement = await asked
    await outcome(under_way.task)
    assert (settlement.silent, settlement.final) == ((LIAR,), False)
