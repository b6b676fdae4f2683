"""What workers are told to do wrong, and what a tap hears of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import sessions
from contracts.bundles import CONTENT_TYPE, Part, pack
from contracts.envelope import EVERYONE, Envelope, UnverifiedEnvelope
from contracts.identity import Identity
from contracts.primitives import Scheme
from contracts.sessions import NonceCommitment, PresignaturesUsed
from contracts.signing import sign_request
from contracts.terms import Member, SessionTerms
from ops.chaos import greed, lying
from ops.chaos.facts import Sent
from ops.chaos.faults import Kind
from ops.chaos.lying import ALIVE, said, spoilt, wrap
from ops.chaos.orders import Obedience, OrderBook, Orders
from ops.chaos.tap import Heard, Tap, note_envelope, note_instruction
from tests.contracts import samples
from tests.session.builders import run_keygen
from tests.session.presigners import begin, claimed, presign_batch, world
from workers.session import sealed_shares
from workers.session.party.direct import EPHEMERAL_BYTES
from workers.session.party.engine import Engine
from workers.session.sending import report, round_message
from workers.store.records import Outgoing

PARTY = Identity.generate()
SESSION = bytes([9]) * 32


def first_round(payload: bytes = b"commitment", *, round_: int = 1) -> Outgoing:
    content = Envelope(
        session_id=SESSION,
        epoch=0,
        kind="keygen",
        round=round_,
        sender="p1",
        recipient=EVERYONE,
        payload=payload,
    )
    (message,) = round_message(content, PARTY, ["p2"])
    return message


def share_signed(session_id: bytes = SESSION, sender: str = "p1") -> Outgoing:
    content = sessions.ShareSigned(sealed=bytes(60), fresh=[])
    return report(content, identity=PARTY, party_id=sender, session_id=session_id)


def heard(message: Outgoing) -> Heard:
    return Heard(
        exchange=message.exchange,
        routing_key=message.routing_key,
        kind=message.kind,
        content_type=message.content_type,
        message_id=message.message_id,
        headers=dict(message.headers),
        body=message.body,
    )


def test_without_orders_everything_is_said_as_it_is() -> None:
    message = first_round()
    assert list(said(message, Orders(), PARTY)) == [message]


def test_a_silent_party_gives_signs_of_life_and_says_nothing_else() -> None:
    alive = report(sessions.PartyAlive(at=1), identity=PARTY, party_id="p1")
    assert alive.kind == ALIVE
    assert list(said(alive, Orders(silent=True), PARTY)) == [alive]
    assert list(said(share_signed(), Orders(silent=True), PARTY)) == []


def test_a_liar_says_another_thing_in_its_own_name() -> None:
    message = replace(first_round(), kind="keygen/2")
    (lie,) = said(message, Orders(liar=True), PARTY)
    true, wrong = (UnverifiedEnvelope.from_bytes(each.body) for each in (message, lie))
    assert wrong.verify(PARTY.public).payload != true.claimed.payload


def test_a_liar_seals_another_share(book: OrderBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "send", Engine.send)
    monkeypatch.setattr(sealed_shares, "seal", sealed_shares.seal)
    place: dict[str, Any] = {"party_id": "p1", "session_id": SESSION}

    def told() -> list[bytes]:
        sealed = sealed_shares.seal(
            [bytes(32)], identity=PARTY, coordinator=samples.COORDINATOR.public, **place
        )
        return sealed_shares.unseal(
            sealed, party=PARTY.public, identities=[samples.COORDINATOR], **place
        )

    assert told() == [bytes(32)]
    book.give("party-1", Orders(liar=True))
    lying.wrap(Obedience(book.directory, "party-1.1"))
    assert told() != [bytes(32)]


def test_an_equivocator_says_both() -> None:
    message = first_round()
    first, second = said(message, Orders(equivocator=True), PARTY)
    assert first == message
    assert second.body != message.body
    assert UnverifiedEnvelope.from_bytes(second.body).verify(PARTY.public).sender == "p1"


@pytest.fixture
def book(tmp_path: Path) -> OrderBook:
    return OrderBook(tmp_path / "orders")


def test_orders_reach_the_workers_of_a_role_and_no_others(book: OrderBook) -> None:
    book.give("party-1", Orders(skew_ms=120_000, silent=True))
    assert Obedience(book.directory, "party-1.2").orders == Orders(skew_ms=120_000, silent=True)
    assert Obedience(book.directory, "party-2.1").orders == Orders()
    book.lift("party-1")
    assert Obedience(book.directory, "party-1.2").orders == Orders()


def test_what_was_done_by_order_is_counted_for_all_workers_of_a_role(book: OrderBook) -> None:
    assert book.felt("party-1") == 0
    for name in ("party-1.1", "party-1.presigning.1", "party-2.1"):
        Obedience(book.directory, name).feel()
    assert book.felt("party-1") == 2
    assert book.felt("party-2") == 1


@given(st.binary(min_size=1), st.randoms(use_true_random=False))
def test_a_lie_under_seal_differs_from_the_truth_in_one_bit(content: bytes, random: Random) -> None:
    wrong = spoilt(content, random)
    different = int.from_bytes(wrong) ^ int.from_bytes(content)
    assert (len(wrong), different.bit_count()) == (len(content), 1)


def test_who_lies_when_presigning_lies_under_seal_and_nowhere_else(
    book: OrderBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "send", Engine.send)  # to be as it was afterwards
    batch = presign_batch(world())
    honest = begin(world(), batch)
    book.give("party-1", Orders(presigning_liar=True))
    wrap(Obedience(book.directory, "party-1.1"))
    run_keygen()
    assert book.felt("party-1") == 0
    lying = begin(world(), batch)
    assert book.felt("party-1") == len(lying.under_way) == 2
    for truth, lie in zip(honest.under_way, lying.under_way, strict=True):
        said, told = claimed(truth).payload, claimed(lie).payload
        assert len(said) == len(told)
        assert said[:EPHEMERAL_BYTES] == told[:EPHEMERAL_BYTES]
        assert said != told
    assert lying.go_on().errors() != {}


def test_an_order_to_crash_is_for_one_worker_and_one_point_and_carried_out_once(
    book: OrderBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    book.crash("party-1.1", Kind.AFTER_COMMIT)
    told, other = (Obedience(book.directory, f"party-1.{i}") for i in (1, 2))
    other.die_at(Kind.AFTER_COMMIT)
    told.die_at(Kind.BEFORE_COMMIT)
    assert killed == []
    assert book.stands("party-1.1")
    told.die_at(Kind.AFTER_COMMIT)
    assert [pid for pid, _ in killed] == [os.getpid()]
    assert not book.stands("party-1.1")
    assert not book.pardon("party-1.1")


def test_who_is_pardoned_and_has_not_heard_of_it_yet_lives(
    book: OrderBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    book.crash("party-1.1", Kind.AFTER_COMMIT)
    told = Obedience(book.directory, "party-1.1")
    assert book.pardon("party-1.1")
    told.die_at(Kind.AFTER_COMMIT)
    assert killed == []


def test_a_wired_worker_learns_its_port(book: OrderBook) -> None:
    assert Obedience(book.directory, "party-1.2").wire_port() is None
    book.wire({"party-1.2": 4711})
    assert Obedience(book.directory, "party-1.2").wire_port() == 4711
    assert Obedience(book.directory, "party-1.1").wire_port() is None


###
### The tap
###


def test_the_same_bytes_again_are_one_message_and_others_are_two() -> None:
    sent = Sent()
    first = first_round()
    for _ in range(2):
        note_envelope(sent, heard(first), ())
    assert [len(bodies) for bodies in sent.bodies.values()] == [1]
    note_envelope(sent, heard(first_round(b"another")), ())
    assert [len(bodies) for bodies in sent.bodies.values()] == [2]
    assert sent.copies == 3
    assert sent.lies == set()


def test_a_bundle_is_heard_as_its_messages() -> None:
    tap = Tap("amqp://nowhere/", ["p1"], set())
    messages = first_round(), first_round(b"another")
    parts = [
        Part(
            message_id=each.message_id,
            kind=each.kind,
            content_type=each.content_type,
            headers=each.headers,
            body=each.body,
        )
        for each in messages
    ]
    bundle: Any = SimpleNamespace(
        exchange=messages[0].exchange,
        routing_key=messages[0].routing_key,
        type="bundle",
        content_type=CONTENT_TYPE,
        message_id=None,
        headers={},
        body=pack(parts),
    )
    tap.hear(bundle)
    assert list(tap.recent) == [heard(each) for each in messages]
    assert tap.sent.copies == 2


def test_a_second_message_of_one_who_was_told_to_equivocate_makes_its_session_a_lie() -> None:
    sent = Sent()
    for message in (first_round(), first_round(b"another")):
        note_envelope(sent, heard(message), {"p1"})
    assert sent.lies == {SESSION.hex()}


def test_what_is_said_twice_after_its_sender_went_on_may_come_too_late_for_anybody() -> None:
    sent = Sent()
    second = first_round(b"opening", round_=2)
    for message in (first_round(), second, first_round(b"another")):
        note_envelope(sent, heard(message), {"p1"})
    assert sent.lies == set()
    assert len(sent.bodies) == 2


def test_what_binds_who_answers_a_cancel_is_told_apart_from_what_does_not() -> None:
    """Signed anew it is the same."""
    sent = Sent()
    for refused in ("forgotten", "already_signed", "already_signed", "overloaded"):
        answer = report(
            sessions.CancelAnswered(refused=sessions.CancelRefusal(refused)),
            identity=Identity.generate(),
            party_id="p1",
            session_id=SESSION,
        )
        note_envelope(sent, heard(answer), ())
    assert sent.stated == {(SESSION.hex(), "p1"): {"already_signed"}}


def instructed(scheme: Scheme) -> sessions.SessionCreated:
    request = samples.sign_request(
        scheme=scheme,
        key_id="treasury",
        message=bytes(32),
    )
    signed = sign_request(request, samples.CLIENT)
    terms = SessionTerms(
        protocol="sign",
        request_digest=signed.digest,
        key_session=bytes([5]) * 32,
        epoch=0,
        threshold=2,
        members=[
            Member(party_id=name, index=i, identity=samples.PARTIES[name].public.der)
            for i, name in enumerate(("p1", "p2"), start=1)
        ],
        salt=bytes(32),
    )
    ecdsa = scheme is Scheme.ECDSA
    commitments = [NonceCommitment(nonce_id=bytes([i]) * 32, commitment=b"c") for i in (1, 2)]
    return sessions.SessionCreated(
        session_id=terms.session_id(),
        issued_at=1,
        terms=terms,
        commitments=[] if ecdsa else commitments,
        presignatures=[PresignaturesUsed(batch=bytes([3]) * 32, positions=[4, 5])] if ecdsa else [],
        request=signed.body,
        request_signature=signed.signature,
        time_left_ms=1000,
    )


def used_up(scheme: Scheme) -> tuple[Sent, sessions.SessionCreated]:
    sent = Sent()
    created = instructed(scheme)
    for member in created.terms.members:
        note_instruction(sent, created, member.party_id)
        share = share_signed(created.session_id, member.party_id)
        note_envelope(sent, heard(share), ())
    return sent, created


def test_an_answer_uses_up_the_nonce_that_its_party_was_told_to_use() -> None:
    sent, created = used_up(Scheme.ED25519)
    assert sent.uses == {
        ("p1", f"nonce {'01' * 32}"): {created.session_id.hex()},
        ("p2", f"nonce {'02' * 32}"): {created.session_id.hex()},
    }


def test_an_answer_uses_up_every_presignature_of_its_session() -> None:
    sent, created = used_up(Scheme.ECDSA)
    batch = "03" * 32
    assert sent.uses.keys() == {
        (party, f"presignature {batch}/{position}") for party in ("p1", "p2") for position in (4, 5)
    }
    assert set().union(*sent.uses.values()) == {created.session_id.hex()}


def test_only_what_has_answered_is_asked_again() -> None:
    sent, created = used_up(Scheme.ED25519)
    assert greed.answered(created, sent)
    sent.uses["p2", f"nonce {'02' * 32}"].clear()
    assert not greed.answered(created, sent)
    assert not greed.answered(created, Sent())


@pytest.mark.parametrize("scheme", [Scheme.ED25519, Scheme.ECDSA])
def test_a_greedy_coordinator_asks_for_another_message_with_the_same_nonces(
    scheme: Scheme,
) -> None:
    sent, created = used_up(scheme)
    producer: Any = SimpleNamespace(settings=SimpleNamespace(private_identity=samples.CLIENT))
    messages = greed.again(created, {"svcA": producer}, samples.COORDINATOR, Random(1))
    assert [message.routing_key for message in messages] == ["p1", "p2"]
    told = UnverifiedEnvelope.from_bytes(messages[0].body).verify(samples.COORDINATOR.public)
    asked = sessions.SessionCreated.model_validate_json(told.payload)
    assert asked.session_id == asked.terms.session_id() != created.session_id
    assert (asked.commitments, asked.presignatures) == (created.commitments, created.presignatures)
    assert asked.request != created.request
    note_instruction(sent, asked, "p1")
    note_envelope(sent, heard(share_signed(asked.session_id, "p1")), ())
    assert max(len(used_in) for used_in in sent.uses.values()) == 2
