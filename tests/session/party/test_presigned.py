"""A party's answer with presignatures, what it will not answer, and what the answers come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.primitives import Scheme
from contracts.results import EcdsaForms, SignedItem, Status
from contracts.verification import check_signature, child
from tests.protocols.simulate import coins
from tests.session.builders import facts, key_record, report_in, unsealed
from tests.session.ecdsa_sessions import (
    CURVE,
    DIGEST,
    ITEMS,
    EcdsaSigning,
    ecdsa_session,
    list_session,
    record,
)
from workers.protocols.rounds import PartyFaultError, PartyIndex, SpoiltSessionError
from workers.session import tasks
from workers.session.errors import RefusedError

ONE, THREE = PartyIndex(1), PartyIndex(3)


def verified(signed: Sequence[SignedItem], asked: Sequence[dict[str, Any]]) -> None:
    """Each is what was asked for in its place, under the key at its path."""
    assert len(signed) == len(asked)
    for one, item in zip(signed, asked, strict=True):
        path = item["derivation_path"]
        assert (one.message, one.derivation_path) == (item["message"], path)
        key = facts(CURVE).public_key if path is None else child(facts(CURVE), path).public_key
        assert one.public_key == key
        check_signature(Scheme.ECDSA, key, one.message, one.signature)
        assert one.ecdsa == EcdsaForms.of(one.signature)


###
### Answers
###


@pytest.mark.parametrize("path", [None, "m/0", "m/44/60/0/0/7"])
def test_the_answers_combine_to_a_signature_under_the_key_at_the_path(path: str | None) -> None:
    session = ecdsa_session(derivation_path=path)
    signed = session.combine(session.shares())
    verified(signed, [{"message": DIGEST, "derivation_path": path}])


def test_it_does_not_matter_whose_share_comes_first() -> None:
    session = ecdsa_session()
    shares = session.shares()
    turned = {THREE: shares[THREE], ONE: shares[ONE]}
    assert session.combine(turned) == session.combine(shares)


def test_a_list_is_signed_in_its_order_each_under_its_own_path() -> None:
    session = list_session()
    signed = session.combine(session.shares())
    verified(signed, ITEMS)
    assert len({one.signature for one in signed}) == len(ITEMS)


def test_an_answer_uses_up_the_presignatures_that_the_session_names() -> None:
    session = list_session()
    step = session.answer(1)
    assert step.status is Status.COMPLETED
    assert step.take_presignatures == tuple(
        (each.batch, each.position) for each in session.presigned()
    )
    assert (step.take_nonce, step.nonces, step.presignatures) == (None, (), ())
    (message,) = step.outgoing
    report = report_in(message)
    assert isinstance(report, sessions.ShareSigned)
    assert [len(share) for share in unsealed(report, 1, session.terms)] == [64] * 4
    assert report.fresh == []


def test_a_key_of_a_later_epoch_is_answered_for_in_that_epoch() -> None:
    session = ecdsa_session(terms_changes={"epoch": 1})
    later = key_record(1, CURVE, epoch=1, facts=facts(CURVE, epoch=1).model_dump_json())
    records = [replace(each, epoch=1) for each in session.records(1)]
    (message,) = session.answer(1, key_share=later, presignatures=records).outgoing
    assert UnverifiedEnvelope.from_bytes(message.body).claimed.epoch == 1


def test_another_session_or_request_gives_another_nonce() -> None:
    """The same presignature for other tasks: each signature has an R of its own."""
    sessions_ = [
        ecdsa_session(),
        ecdsa_session(terms_changes={"salt": coins("other")}),
        ecdsa_session(request_id="request-2"),
        ecdsa_session(derivation_path="m/1"),
        ecdsa_session(message=coins("another message")),
    ]
    nonces = {each.combine(each.shares())[0].signature[:32] for each in sessions_}
    assert len(nonces) == len(sessions_)


def test_the_same_question_gets_the_same_answer() -> None:
    session = list_session()
    assert session.share(1) == session.share(1)


def test_an_answer_shows_no_secret_in_its_repr() -> None:
    session = ecdsa_session()
    shown = repr(session.answer(1)) + repr(session.records(1))
    assert repr(session.records(1)[0].secret)[2:60] not in shown


###
### Refusals
###

REFUSALS: list[tuple[Any, str]] = [
    (lambda _: {"key_share": None}, "no usable share"),
    (lambda _: {"key_share": key_record(1, CURVE, active=False)}, "no usable share"),
    (
        lambda _: {
            "key_share": key_record(1, CURVE, facts=facts(CURVE, key_id="other").model_dump_json())
        },
        "not the client's",
    ),
    (lambda _: {"key_share": key_record(1)}, "is on ed25519; ecdsa signs on secp256k1"),
    (lambda _: {"presignatures": (None,)}, "used before, or was never ours"),
    (
        lambda s: {"presignatures": (replace(s.records(1)[0], key_session=coins("other")),)},
        "for another key",
    ),
    (lambda s: {"presignatures": (replace(s.records(1)[0], epoch=1),)}, "for another key"),
    (
        lambda _: {"presignatures": (record(1, ("run", 0), (1, 2)),)},
        "made with other signers",
    ),
    (
        lambda _: {
            "key_share": key_record(
                1, CURVE, facts=facts(CURVE, public_key=b"\x02" + bytes(32)).model_dump_json()
            )
        },
        "for another public key",
    ),
]


@pytest.mark.parametrize(("change", "reason"), REFUSALS)
def test_what_does_not_fit_is_not_signed(change: Any, reason: str) -> None:
    session = ecdsa_session()
    with pytest.raises(RefusedError, match=reason):
        session.answer(1, **change(session))


@pytest.mark.parametrize("place", range(4))
def test_one_presignature_of_a_list_that_is_gone_refuses_the_list(place: int) -> None:
    session = list_session()
    records: list[Any] = list(session.records(1))
    records[place] = None
    with pytest.raises(RefusedError, match="used before"):
        session.answer(1, presignatures=records)


@pytest.mark.parametrize("field", ["batch", "position"])
def test_a_presignature_in_anothers_place_is_not_used(field: str) -> None:
    session = list_session()
    first, second, *rest = session.records(1)
    moved = replace(first, **{field: getattr(second, field)})
    if moved == first:
        moved = replace(first, batch=bytes(32))
    with pytest.raises(RefusedError, match="in the place of another"):
        session.answer(1, presignatures=[moved, second, *rest])


def test_a_path_that_leads_to_no_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # No such path is known (2^-127), so BIP-32's word is put into its mouth.
    def no_child(*_: object) -> None:
        raise ContractError("BIP-32 has no child 1 here: use the next index")

    session = ecdsa_session(derivation_path="m/1")
    monkeypatch.setattr(tasks, "child", no_child)
    with pytest.raises(RefusedError, match="path m/1: BIP-32 has no child"):
        session.answer(1)


###
### Signers that do not agree
###


def assert_spoilt(session: EcdsaSigning, shares: Any, **changes: Any) -> None:
    with pytest.raises(SpoiltSessionError):
        session.combine(shares, **changes)


@pytest.mark.parametrize(
    "other",
    [
        ecdsa_session(terms_changes={"salt": coins("other")}),
        ecdsa_session(request_id="request-2"),
        ecdsa_session(message=coins("another message")),
        ecdsa_session(derivation_path="m/1"),
        ecdsa_session(("run", 1)),
        ecdsa_session(("second", 0)),
    ],
    ids=["session", "request", "message", "path", "position", "batch"],
)
def test_a_share_of_another_task_or_presignature_spoils_the_session(other: EcdsaSigning) -> None:
    session = ecdsa_session()
    mixed = session.shares() | {THREE: other.own_shares(3)}
    assert_spoilt(session, mixed)
    assert_spoilt(session, other.shares())  # all agree, and not with the coordinator


@pytest.mark.parametrize("changes", [{"session_id": coins("x")}, {"request_digest": coins("x")}])
def test_a_coordinator_that_sees_another_session_spoils_it(changes: dict[str, bytes]) -> None:
    session = ecdsa_session()
    assert_spoilt(session, session.shares(), **changes)


def test_shares_of_a_list_in_another_order_spoil_the_session() -> None:
    session = list_session()
    shares = session.shares()
    assert_spoilt(session, shares | {ONE: shares[ONE][::-1]})
    assert_spoilt(session, {i: own[::-1] for i, own in shares.items()})


@pytest.mark.parametrize("place", range(4))
def test_one_wrong_share_of_a_list_spoils_the_list(place: int) -> None:
    session = list_session()
    shares = session.shares()
    wrong = list(shares[ONE])
    wrong[place] = bytes(31) + b"\x01" + bytes(31) + b"\x01"
    assert_spoilt(session, shares | {ONE: wrong})


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_other_share_is_malformed_or_names_nobody(data: st.DataObject) -> None:
    session = ecdsa_session()
    shares = session.shares()
    (share,) = shares[THREE]
    lie = data.draw(st.binary(min_size=64, max_size=64).filter(lambda each: each != share))
    with pytest.raises((SpoiltSessionError, PartyFaultError)) as caught:
        session.combine(shares | {THREE: [lie]})
    if isinstance(caught.value, PartyFaultError):
        assert caught.value.culprits == {3}
        assert caught.value.check == "encoding"


@pytest.mark.parametrize(
    "data", [b"", bytes(63), bytes(65), b"\xff" * 64, bytes(32) + b"\xff" * 32]
)
def test_a_malformed_share_names_its_sender(data: bytes) -> None:
    session = ecdsa_session()
    with pytest.raises(PartyFaultError) as caught:
        session.combine(session.shares() | {THREE: [data]})
    assert caught.value.culprits == {3}
    assert caught.value.check == "encoding"


@pytest.mark.parametrize("count", [0, 3, 5])
def test_another_number_of_shares_names_its_sender(count: int) -> None:
    session = list_session()
    shares = session.shares()
    others = (list(shares[THREE]) * 2)[:count]
    with pytest.raises(PartyFaultError) as caught:
        session.combine(shares | {THREE: others})
    assert caught.value.culprits == {3}
    assert caught.value.check == "number of shares"


def test_everybody_who_sends_rubbish_is_named() -> None:
    session = ecdsa_session()
    shares = session.shares()
    with pytest.raises(PartyFaultError) as caught:
        session.combine({ONE: [b""], THREE: [*shares[THREE], *shares[THREE]]})
    assert caught.value.culprits == {1, 3}
    assert caught.value.check == "encoding, number of shares"


def test_shares_that_add_up_to_nothing_spoil_the_session() -> None:
    session = ecdsa_session()
    assert_spoilt(session, {ONE: [bytes(64)], THREE: [bytes(64)]})
