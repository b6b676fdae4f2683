"""What tests of second tries ask a simulated Warren for, and look at afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from dataclasses import replace
from typing import Any

import pytest

from contracts import addresses, sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.keys import CertifiedKey
from contracts.requests import KeygenRequest, ReshareRequest, SignRequest
from contracts.results import CancelResult, SignResult, Status
from contracts.signing import SignedRequest
from tests.workers.callers import wish
from tests.workers.ecdsa import (
    check_success,
    ecdsa_request,
    forged,
    only_result,
    sender,
    sent,
    swapped,
)
from tests.workers.simulate import CLIENT, World, respoken
from workers.protocols import dkls23
from workers.protocols.groups import SECP256K1
from workers.protocols.rounds import Outbox
from workers.session.coordinator.conduct import Conduct
from workers.session.party.engine import Engine
from workers.session.party.seat import Seat
from workers.session.protocols import PRESIGN
from workers.store.records import Outgoing

FROST = "bip340"


async def everyone_is_alive(shire: World) -> None:
    for party_id in shire.identities:
        await shire.liveness.seen(party_id)


async def session_of(shire: World, request: ReshareRequest | SignRequest) -> bytes:
    """The session that is to answer."""
    known = await shire.coordinator_store.request(CLIENT, request.request_id)
    assert known is not None
    return known.session_id


async def conduct_of(shire: World, session_id: bytes) -> Conduct:
    session = await shire.coordinator_store.session(session_id)
    assert session is not None
    return Conduct.model_validate_json(session.state)


async def signers_of(shire: World, session_id: bytes) -> list[str]:
    conduct = await conduct_of(shire, session_id)
    return [member.party_id for member in conduct.terms.members]


async def history(shire: World, session_id: bytes) -> list[tuple[str, Any]]:
    events = await shire.coordinator_store.events(session_id)
    return [(event.event, json.loads(event.details)) for event in events]


async def begun(shire: World, key: CertifiedKey, **fields: Any) -> tuple[SignRequest, bytes, str]:
    """A request whose first messages are under way, its session, and one of its signers: that
    which shall fail."""
    await everyone_is_alive(shire)
    request = ecdsa_request(shire, key, **fields)
    await shire.ask(request)
    session_id = await session_of(shire, request)
    return request, session_id, (await signers_of(shire, session_id))[-1]


def deaf(party_id: str) -> Callable[[Outgoing], bool]:
    """Nothing reaches this party, so nothing is heard of it."""
    return lambda message: message.routing_key == party_id


async def try_time_is_over(shire: World, session_id: bytes) -> None:
    """The deadline of a session's signers passes; all parties are seen to live."""
    await shire.outlive(session_id)
    await everyone_is_alive(shire)
    assert session_id in await shire.coordinator_store.overdue(shire.clock(), 10)
    await shire.reports.expire(session_id)


def flipped_bits(shire: World, kind: str, liar: str) -> Callable[[Outgoing], bool]:
    """For `World.run`: the last bit of whatever this party says in such messages."""

    def flip(message: Outgoing) -> Outgoing:
        payload = UnverifiedEnvelope.from_bytes(message.body).claimed.payload
        return forged(shire, message, payload=payload[:-1] + bytes([payload[-1] ^ 1]))

    return swapped(shire, lambda m: m.kind == kind and sender(m) == liar, flip)


async def held_back(
    shire: World, kind: str, wanted: Callable[[Outgoing], bool] = lambda _: True
) -> list[Outgoing]:
    """Run without such messages; they are returned."""
    held: list[Outgoing] = []

    def hold(message: Outgoing) -> bool:
        if message.kind == kind and wanted(message):
            held.append(message)
            return True
        return False

    await shire.run(dropped=hold)
    return held


async def out_of_stock(shire: World, party_id: str, key: CertifiedKey) -> None:
    """The party's database has forgotten what cannot come back."""
    store, facts = shire.party_stores[party_id], key.facts
    lost = await store.trim_nonces(facts.session_id, facts.epoch, FROST, keep=0)
    lost += await store.trim_presignatures(
        facts.session_id, facts.epoch, keep=0, keep_in_all=1_000_000
    )
    assert lost > 0


def wrong_share(shire: World, liar: str) -> Callable[[Outgoing], bool]:
    """For `World.run`: whatever signature share this party sends has one bit changed."""

    def lie(message: Outgoing) -> Outgoing:
        claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
        report = sessions.ShareSigned.model_validate_json(claimed.payload)
        wrong = respoken(shire, claimed, report, lambda share: share[:-1] + bytes([share[-1] ^ 1]))
        return forged(shire, message, payload=wrong.model_dump_json().encode())

    return swapped(shire, lambda m: m.kind == "share_signed" and sender(m) == liar, lie)


def results_sent(shire: World, request: SignRequest) -> list[Outgoing]:
    return [
        message
        for message in shire.network.sent
        if message.exchange == addresses.RESULTS and message.message_id == request.request_id
    ]


async def check_others_signed(
    shire: World, request: SignRequest, key: CertifiedKey, first: bytes, failed: str
) -> SignResult:
    """One result, by another session than the first, without whom failed that."""
    result = check_success(shire, request, key)
    assert len(results_sent(shire, request)) == 1
    assert result.session_id == await session_of(shire, request) != first
    assert failed in await signers_of(shire, first)
    assert failed not in result.signers
    return result


async def check_handed_on(
    shire: World, first: bytes, second: bytes, *, status: Status, reason: str
) -> None:
    """The sessions tell that one followed the other and why, and the first one's parties too."""
    (_, about_it), *_ = await history(shire, second)
    assert about_it == {"parties": await signers_of(shire, second), "try": 2, "after": reason}
    *_, (end, why) = await history(shire, first)
    assert end == status
    assert why["message"] == reason
    told = [
        message.routing_key
        for message in sent(shire, "session_cancelled")
        if message.headers["session_id"] == first.hex()
    ]
    assert sorted(told) == ["", *await signers_of(shire, first)]  # first, all who listen


async def check_first_is_forgotten(shire: World, first: bytes) -> None:
    for store in (shire.coordinator_store, *shire.party_stores.values()):
        assert await store.overdue(10**15, 10) == []
        assert await store.owing(10**15, 10) == []
    for store in shire.party_stores.values():
        session = await store.session(first)
        assert session is None or (session.state, session.received) == (b"", ())
        assert await store.parked(first) == []


def cancel(
    shire: World, request: KeygenRequest | SignRequest, name: str = "cancel-it"
) -> SignedRequest:
    return wish(shire, "cancel", request_id=name, target=request.request_id)


def cancelled(shire: World, wish: SignedRequest) -> CancelResult:
    result = only_result(shire, wish.request)
    assert isinstance(result, CancelResult)
    return result


def presigned_by(
    monkeypatch: pytest.MonkeyPatch,
    liar: str,
    lie: Callable[[bytes, Seat], bytes],
    rounds: Container[int] = range(1, 4),
) -> None:
    """Have a party send something else in rounds of presigning, properly sealed.

    Arguments:
        lie: Is given the truth, as it would be sealed, and the liar's seat.
    """
    ordinary = Engine.send

    def send(engine: Engine, seat: Seat, outbox: Outbox[bytes, bytes], known: Any) -> Any:
        if (engine.protocol, seat.party.party_id) == (PRESIGN, liar) and seat.state.round in rounds:
            direct = {index: lie(truth, seat) for index, truth in outbox.direct.items()}
            outbox = replace(outbox, direct=direct)
        return ordinary(engine, seat, outbox, known)

    monkeypatch.setattr(Engine, "send", send)


def wrong_psi(truth: bytes, seat: Seat) -> bytes:
    parameters = dkls23.Answered.from_bytes(seat.state.protocol).parameters
    answer = dkls23.Answer.from_bytes(parameters, truth)
    wrong = tuple(psi + SECP256K1.scalar(1) for psi in answer.psis)
    return replace(answer, psis=wrong).to_bytes()
