"""A party's answer to a signing session, and what it will not answer."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from contracts import sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.primitives import Scheme
from contracts.results import Status
from contracts.verification import check_signature, child, verifying_key
from tests.protocols.simulate import coins
from tests.session.builders import (
    KEY_SESSION,
    Signing,
    facts,
    key_record,
    nonce,
    nonces_wanted,
    party,
    report_in,
    signing_session,
)
from workers.protocols import frost
from workers.protocols.rounds import MisuseError, PartyFaultError, PartyIndex, ProtocolError
from workers.session.coordinator.combining import combine_frost
from workers.session.errors import RefusedError
from workers.session.party import signing

SCHEMES: list[dict[str, Any]] = [
    {"scheme": "ed25519"},
    {"scheme": "secp256k1", "message": b"\0"},
    {"scheme": "bip340", "message": bytes(32)},
    {"scheme": "bip340", "message": bytes(32), "taproot_merkle_root": b""},
    {"scheme": "bip340", "message": bytes(32), "taproot_merkle_root": b"\x05" * 32},
    {"scheme": "secp256k1", "message": b"\0", "derivation_path": "m/0"},
    {"scheme": "bip340", "message": bytes(32), "derivation_path": "m/86/0/0/0/1"},
    {
        "scheme": "bip340",
        "message": bytes(32),
        "derivation_path": "m/1",
        "taproot_merkle_root": b"",
    },
    {
        "scheme": "bip340",
        "message": bytes(32),
        "derivation_path": "m/2",
        "taproot_merkle_root": b"\x05" * 32,
    },
]

ONLY_ECDSA = key_record(
    2, "secp256k1", facts=facts("secp256k1", schemes=[Scheme.ECDSA]).model_dump_json()
)


###
### Answers
###


@pytest.mark.parametrize("fields", SCHEMES)
def test_the_answers_combine_to_a_signature(fields: dict[str, Any]) -> None:
    session = signing_session(**fields)
    (signed,) = combine_frost(
        facts(session.curve),
        session.request,
        {PartyIndex(i): each.commitment for i, each in session.commitments.items()},
        {PartyIndex(i): session.own_shares(i) for i in (1, 3)},
    )
    suite = frost.ciphersuite(session.request.scheme.value)
    made = facts(session.curve).public_key
    if session.request.derivation_path is not None:
        made = child(facts(session.curve), session.request.derivation_path).public_key
    point = suite.group.point_from_bytes_checked(made)
    verifies_under = frost.output_key(suite, point, session.request.taproot_merkle_root)
    assert signed.public_key == suite.encode_point(verifies_under)
    assert signed.message == session.request.message
    assert signed.derivation_path == session.request.derivation_path
    assert signed.ecdsa is None
    assert frost.verify(suite, verifies_under, signed.message, signed.signature)


def test_what_is_signed_under_a_child_is_what_clients_verify() -> None:
    session = signing_session(
        scheme="bip340",
        message=bytes(32),
        derivation_path="m/86/0/0/0/1",
        taproot_merkle_root=b"",
    )
    (signed,) = combine_frost(
        facts(session.curve),
        session.request,
        {PartyIndex(i): each.commitment for i, each in session.commitments.items()},
        {PartyIndex(i): session.own_shares(i) for i in (1, 3)},
    )
    derived = child(facts(session.curve), "m/86/0/0/0/1").public_key
    expected = verifying_key(derived, Scheme.BIP340, b"")
    assert signed.public_key == expected
    check_signature(Scheme.BIP340, expected, bytes(32), signed.signature)


def test_a_share_under_another_path_names_its_sender() -> None:
    fields: dict[str, Any] = {"scheme": "bip340", "message": bytes(32)}
    session = signing_session(**fields, derivation_path="m/1")
    other = signing_session(**fields, derivation_path="m/2")
    with pytest.raises(PartyFaultError) as caught:
        combine_frost(
            facts(session.curve),
            session.request,
            {PartyIndex(i): each.commitment for i, each in session.commitments.items()},
            {
                PartyIndex(1): session.own_shares(1),
                PartyIndex(3): other.own_shares(3),
            },
        )
    assert caught.value.culprits == {3}


def test_an_answer_uses_its_nonce_up_and_puts_a_fresh_one_in_its_place() -> None:
    session = signing_session()
    step = session.answer(1)
    assert step.status is Status.COMPLETED
    assert step.take_nonce == session.nonces[1].nonce_id
    (fresh,) = step.nonces
    assert fresh.nonce_id != session.nonces[1].nonce_id
    assert (fresh.key_session, fresh.epoch, fresh.scheme) == (KEY_SESSION, 0, "ed25519")
    (message,) = step.outgoing
    report = report_in(message)
    assert isinstance(report, sessions.ShareSigned)
    (announced,) = report.fresh
    assert announced.nonce_id == fresh.nonce_id == hashlib.sha256(announced.commitment).digest()
    assert frost.Nonces.from_bytes(fresh.secret).commitment.to_bytes() == announced.commitment


def test_a_key_of_a_later_epoch_is_answered_for_in_that_epoch() -> None:
    session = signing_session(terms_changes={"epoch": 1})
    later = key_record(1, epoch=1, facts=facts(epoch=1).model_dump_json())
    (message,) = session.answer(
        1, key_share=later, nonce=replace(session.nonces[1], epoch=1)
    ).outgoing
    assert UnverifiedEnvelope.from_bytes(message.body).claimed.epoch == 1


def test_an_answer_shows_no_secret_in_its_repr() -> None:
    session = signing_session()
    shown = repr(session.answer(1))
    for record in (session.nonces[1], *session.answer(1).nonces):
        assert repr(record.secret)[2:40] not in shown


###
### Refusals
###


def _of_another_scheme(session: Signing) -> dict[str, Any]:
    return {"nonce": replace(session.nonces[1], scheme="secp256k1")}


def _shifted(session: Signing) -> dict[str, Any]:
    """Each signer's commitment under another's name."""
    turned = [session.commitments[3], session.commitments[1]]
    return {"accepted": session.accepted(1, commitments=turned)}


def _malformed(session: Signing) -> dict[str, Any]:
    wrong = session.commitments[3].model_copy(update={"commitment": b"\xff" * 64})
    return {"accepted": session.accepted(1, commitments=[session.commitments[1], wrong])}


REFUSALS: list[tuple[Any, str]] = [
    (lambda _: {"key_share": None}, "no usable share"),
    (lambda _: {"key_share": key_record(1, active=False)}, "no usable share"),
    (
        lambda _: {"key_share": key_record(1, facts=facts(key_id="other").model_dump_json())},
        "not the client's",
    ),
    (lambda _: {"nonce": None}, "used before, or was never ours"),
    (_of_another_scheme, "used before, or was never ours"),
    (lambda s: {"nonce": replace(s.nonces[1], key_session=coins("other"))}, "for another key"),
    (lambda s: {"nonce": replace(s.nonces[1], epoch=1)}, "for another key"),
    (lambda _: {"nonce": nonce(1, Scheme.ED25519, "another")[0]}, "not the one that we made"),
    (_shifted, "not the one that we made"),
    (_malformed, "party-3's nonce commitment is malformed"),
]


@pytest.mark.parametrize(("change", "reason"), REFUSALS)
def test_what_does_not_fit_is_not_signed(change: Any, reason: str) -> None:
    session = signing_session()
    with pytest.raises(RefusedError, match=reason):
        session.answer(1, **change(session))


def test_a_share_under_another_index_is_our_own_fault() -> None:
    session = signing_session()
    with pytest.raises(MisuseError):
        session.answer(1, key_share=key_record(2))


def test_randomness_of_a_wrong_size_is_not_used() -> None:
    session = signing_session()
    with pytest.raises(ProtocolError, match="32 bytes"):
        signing.answer(
            session.accepted(1), party(1), key_record(1), session.nonces[1], randomness=bytes(63)
        )


###
### Nonces ahead
###


@pytest.mark.parametrize("scheme", [each for each in Scheme if each is not Scheme.ECDSA])
@pytest.mark.parametrize("count", [1, 5])
def test_as_many_nonces_are_made_as_wanted_and_no_two_are_the_same(
    scheme: Scheme, count: int
) -> None:
    wanted = nonces_wanted(2, scheme, count=count)
    randomness = b"".join(coins(i) for i in range(2 * count))
    step = signing.make_nonces(
        wanted, party(2), key_record(2, scheme.curve.value), randomness=randomness
    )
    (message,) = step.outgoing
    report = report_in(message)
    assert isinstance(report, sessions.NoncesMade)
    assert [each.nonce_id for each in step.nonces] == [each.nonce_id for each in report.fresh]
    assert {(each.scheme, each.key_session, each.epoch) for each in step.nonces} == {
        (scheme.value, KEY_SESSION, 0)
    }
    secrets = [frost.Nonces.from_bytes(each.secret) for each in step.nonces]
    drawn = {each.hiding for each in secrets} | {each.binding for each in secrets}
    assert len(drawn) == 2 * count
    for nonces, announced in zip(secrets, report.fresh, strict=True):
        assert nonces.index == 2
        assert nonces.commitment.to_bytes() == announced.commitment


@pytest.mark.parametrize(
    ("key_share", "scheme", "reason"),
    [
        (None, Scheme.ED25519, "no usable share"),
        (key_record(2, active=False), Scheme.ED25519, "no usable share"),
        (key_record(2), Scheme.BIP340, "is on ed25519; bip340 signs on secp256k1"),
        (
            ONLY_ECDSA,
            Scheme.BIP340,
            "made for ecdsa only",
        ),
        (key_record(2, "secp256k1"), Scheme.ECDSA, "ecdsa signs with presignatures"),
    ],
)
def test_no_nonces_are_made_for_what_cannot_sign(
    key_share: Any, scheme: Scheme, reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        signing.make_nonces(
            nonces_wanted(2, scheme), party(2), key_share, randomness=coins(1) + coins(2)
        )


@pytest.mark.parametrize(
    "changes", [{"batch_id": coins("again")}, {"session_id": coins("another session")}]
)
def test_a_second_batch_for_one_session_is_not_made(changes: dict[str, Any]) -> None:
    # Whoever can write to our inbox could otherwise have us sign two answers in one place.
    with pytest.raises(ContractError, match="batch id"):
        signing.make_nonces(
            nonces_wanted(2, **changes), party(2), key_record(2), randomness=coins(1) + coins(2)
        )


def test_anothers_batch_is_not_ours() -> None:
    with pytest.raises(ContractError, match="batch id"):
        signing.make_nonces(
            nonces_wanted(1), party(2), key_record(2), randomness=coins(1) + coins(2)
        )
