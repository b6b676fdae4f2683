"""What a producer believes, and every way in which a result can be untrue."""

from __future__ import annotations

from typing import Any

import coincurve
import pytest
from pydantic import ValidationError

from contracts.answers import check_answer, failed_result
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.identity import Identity
from contracts.keys import CERTIFICATE_TAGS, CertifiedKey, Holder, Origin, Resharing
from contracts.primitives import Curve, Scheme
from contracts.requests import QueryKeysRequest, QuerySessionRequest, SignItem
from contracts.results import QueryKeysResult, QuerySessionResult, Status
from contracts.verification import (
    check_key,
    check_point,
    check_signature,
    check_signed,
    verifying_key,
)

from .samples import (
    PARTIES,
    PINNED,
    STRANGER,
    SingleKey,
    fields,
    keygen_request,
    keygen_result,
    sign_request,
    sign_result,
)

ED25519 = SingleKey(Curve.ED25519)
SECP256K1 = SingleKey(Curve.SECP256K1)
SCHEMES = [
    (Scheme.ED25519, ED25519, None),
    (Scheme.SECP256K1, SECP256K1, None),
    (Scheme.BIP340, SECP256K1, None),
    (Scheme.BIP340, SECP256K1, b""),
    (Scheme.BIP340, SECP256K1, bytes([9]) * 32),
]
OLD: dict[str, Any] = {"version": 1, "request_digest": None, "origin": None}
RESHARED = Resharing(session_id=bytes(32), predecessor=bytes(32), dealers=["p1", "p2"])
MESSAGE = bytes(4) + b"begins with zero bytes!".ljust(28)


@pytest.mark.parametrize(("scheme", "key", "root"), SCHEMES)
def test_a_true_signature_is_believed(scheme: Scheme, key: SingleKey, root: bytes | None) -> None:
    request = sign_request(scheme=scheme, message=MESSAGE, taproot_merkle_root=root)
    result = sign_result(request, key)
    check_answer(request, result)
    check_signed(result, key.certified(), root)


@pytest.mark.parametrize(("scheme", "key", "root"), SCHEMES)
@pytest.mark.parametrize("at", [0, 33, -1])
def test_a_signature_with_one_bit_changed_is_refused(
    scheme: Scheme, key: SingleKey, root: bytes | None, at: int
) -> None:
    signature, public_key = key.sign(scheme, MESSAGE, root)
    spoiled = bytearray(signature)
    spoiled[at] ^= 1
    with pytest.raises(ContractError, match="does not verify"):
        check_signature(scheme, public_key, MESSAGE, bytes(spoiled))


@pytest.mark.parametrize(("scheme", "key", "root"), SCHEMES)
@pytest.mark.parametrize("resize", [lambda s: s[:-1], lambda s: s + b"\x00", lambda s: b""])
def test_a_signature_of_another_length_is_refused(
    scheme: Scheme, key: SingleKey, root: bytes | None, resize: Any
) -> None:
    signature, public_key = key.sign(scheme, MESSAGE, root)
    with pytest.raises(ContractError, match="does not verify"):
        check_signature(scheme, public_key, MESSAGE, resize(signature))


@pytest.mark.parametrize(("scheme", "key", "root"), SCHEMES)
def test_a_signature_over_a_message_without_its_leading_zeros_is_refused(
    scheme: Scheme, key: SingleKey, root: bytes | None
) -> None:
    signature, public_key = key.sign(scheme, MESSAGE, root)
    with pytest.raises(ContractError, match="does not verify"):
        check_signature(scheme, public_key, MESSAGE.lstrip(b"\x00"), signature)


@pytest.mark.parametrize("scheme", list(Scheme))
def test_a_public_key_that_is_none_verifies_nothing(scheme: Scheme) -> None:
    for public_key in (b"", b"\x02", b"\xff" * 32, b"\xff" * 33):
        with pytest.raises(ContractError, match="does not verify"):
            check_signature(scheme, public_key, MESSAGE, bytes(64))


@pytest.mark.parametrize(
    ("scheme", "public_key", "signature"),
    [
        (
            Scheme.ED25519,
            "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673",
            "36282629c383bb820a88b71cae937d41f2f2adfcc3d02e55507e2fb9e2dd3cbe"
            "bd9d2b0844e49ae0f3fa935161e1419aab7b47d21a37ebeae1f17d4987b3160b",
        ),
        (
            Scheme.SECP256K1,
            "02f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4f",
            "0205b6d04d3774c8929413e3c76024d54149c372d57aae62574ed74319b5ea14d0"
            "c65dde8492a7471437e6c2fe3da49b90d23f642b5c6dbe7e36089f096dd97324",
        ),
    ],
)
def test_the_signatures_of_rfc_9591_appendix_e_verify(
    scheme: Scheme, public_key: str, signature: str
) -> None:
    check_signature(scheme, bytes.fromhex(public_key), b"test", bytes.fromhex(signature))


def test_a_point_has_one_encoding() -> None:
    uncompressed = coincurve.PublicKey(SECP256K1.public_key).format(compressed=False)
    check_point(Curve.SECP256K1, SECP256K1.public_key)
    with pytest.raises(ContractError, match="33 bytes"):
        check_point(Curve.SECP256K1, uncompressed)


def test_taproot_tweaks_only_bip340() -> None:
    with pytest.raises(ContractError, match="bip340 only"):
        verifying_key(ED25519.public_key, Scheme.ED25519, b"")


def test_the_taproot_output_key_of_bip341s_first_vector() -> None:
    """BIP-341 wallet-test-vectors.json, scriptPubKey 0 (no scripts) and 1 (one leaf)."""
    internal = "d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d"
    output = "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343"
    found = verifying_key(bytes.fromhex("02" + internal), Scheme.BIP340, b"")
    assert found.hex() == output
    internal = "187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27"
    root = "5b75adecf53548f3ec6ad7d78383bf84cc57b55a3127c72b9a2481752dd88b21"
    output = "147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3"
    found = verifying_key(bytes.fromhex("02" + internal), Scheme.BIP340, bytes.fromhex(root))
    assert found.hex() == output


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "r2"},
        {"client_id": None},
        {"client_id": "svcB"},
        {"key_id": "other"},
        {"key_id": None},
        {"scheme": Scheme.SECP256K1},
        {"scheme": None},
        {"message": b"another message"},
        {"message": None},
    ],
)
def test_a_signing_result_that_answers_another_question_is_refused(change: dict[str, Any]) -> None:
    request = sign_request()
    with pytest.raises(ContractError, match="not what was asked for"):
        check_answer(request, sign_result(request, ED25519, **change))


def test_a_list_is_answered_by_a_list_and_one_message_by_one() -> None:
    one = sign_request(message=MESSAGE, scheme=Scheme.ECDSA)
    listed = sign_request(message=None, scheme=Scheme.ECDSA, items=[SignItem(message=MESSAGE)])
    for asked, other in ((one, listed), (listed, one)):
        check_answer(asked, sign_result(asked, SECP256K1))
        with pytest.raises(ContractError, match="form"):
            check_answer(asked, sign_result(other, SECP256K1))


def test_signers_that_were_named_must_be_those_that_signed() -> None:
    request = sign_request(signers=["p1", "p2"])
    check_answer(request, sign_result(request, ED25519, signers=["p2", "p1"]))
    with pytest.raises(ContractError, match="signers"):
        check_answer(request, sign_result(request, ED25519, signers=["p1", "p3"]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"key_id": "other"}, "key_id"),
        ({"signature": None}, "lacks"),
        ({"scheme": None}, "lacks"),
        ({"message": None}, "lacks"),
        ({"scheme": Scheme.BIP340}, "signs on secp256k1"),
        ({"signers": ["p1", "p4"]}, "not parties of the key"),
        ({"signers": ["p1", "p1"]}, "not parties of the key"),
        ({"signers": ["p1"]}, "threshold is 2"),
        ({"signers": ["p1", "p2", "p3"]}, "threshold is 2"),
        ({"public_key": SECP256K1.public_key}, "public_key"),
        ({"message": b"another message"}, "does not verify"),
    ],
)
def test_a_signature_that_does_not_belong_to_the_key_is_refused(
    change: dict[str, Any], reason: str
) -> None:
    result = sign_result(sign_request(), ED25519, **change)
    with pytest.raises(ContractError, match=reason):
        check_signed(result, ED25519.certified(), None)


def test_a_signature_by_another_key_is_refused_even_if_it_verifies_under_its_own() -> None:
    other = SingleKey(Curve.ED25519, secret=b"\x11" * 32)
    with pytest.raises(ContractError, match="public_key"):
        check_signed(sign_result(sign_request(), other), ED25519.certified(), None)


@pytest.mark.parametrize("key", [ED25519, SECP256K1])
def test_a_key_that_all_its_parties_certified_is_believed(key: SingleKey) -> None:
    request = keygen_request(curve=key.curve)
    check_answer(request, keygen_result(request, key.certified()))
    check_key(key.certified(), pinned=PINNED, client_id="svcA", tenant=None)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"key_id": "other"}, "key_id"),
        ({"client_id": "svcB"}, "client_id"),
        ({"session_id": bytes(32)}, "session_id"),
        ({"curve": Curve.SECP256K1}, "curve"),
        ({"threshold": 3}, "threshold"),
    ],
)
def test_a_certified_key_that_was_not_asked_for_is_refused(
    change: dict[str, Any], name: str
) -> None:
    request = keygen_request()
    result = keygen_result(request, ED25519.certified(**change), session_id=bytes([5]) * 32)
    with pytest.raises(ContractError, match=name):
        check_answer(request, result)


def test_a_new_key_that_its_result_calls_otherwise_is_refused() -> None:
    request = keygen_request()
    with pytest.raises(ContractError, match="key_id"):
        check_answer(request, keygen_result(request, ED25519.certified(), key_id="other"))


def test_a_key_with_fewer_parties_than_asked_for_is_refused() -> None:
    request = keygen_request()
    holders = ED25519.facts().holders[:2]
    with pytest.raises(ContractError, match="party_count"):
        check_answer(request, keygen_result(request, ED25519.certified(holders=holders)))


def test_a_key_of_other_parties_than_those_named_is_refused() -> None:
    request = keygen_request(parties=["p1", "p2", "p4"])
    with pytest.raises(ContractError, match="parties"):
        check_answer(request, keygen_result(request, ED25519.certified()))


def test_a_completed_result_without_its_key_is_refused() -> None:
    request = keygen_request()
    with pytest.raises(ContractError, match="has no key"):
        check_answer(request, keygen_result(request, None))


def test_a_result_of_another_operation_is_refused() -> None:
    with pytest.raises(ContractError, match="result"):
        check_answer(keygen_request(), sign_result(sign_request(), ED25519))


def test_a_failure_only_has_to_answer_the_request() -> None:
    request = sign_request()
    failure = Failure.of(FailureCode.UNKNOWN_KEY, "no such key")
    given: dict[str, Any] = {
        "request_id": "r1",
        "client_id": "svcA",
        "request_digest": bytes(32),
        "finished_at": 1,
    }
    check_answer(request, failed_result("sign", failure, **given))
    with pytest.raises(ContractError, match="result"):
        check_answer(request, failed_result("keygen", failure, **given))


@pytest.mark.parametrize("missing", list(PARTIES))
def test_a_key_lacking_one_certificate_is_refused(missing: str) -> None:
    key = ED25519.certified()
    certificates = {name: value for name, value in key.certificates.items() if name != missing}
    with pytest.raises(ContractError, match=f"no certificate of party {missing}"):
        check_key(
            CertifiedKey(facts=key.facts, certificates=certificates),
            pinned=PINNED,
            client_id="svcA",
            tenant=None,
        )


def test_a_key_that_a_stranger_certified_is_refused() -> None:
    key = ED25519.certified()
    certificates = {**key.certificates, "p2": key.facts.certify(STRANGER)}
    with pytest.raises(ContractError, match="wrong signature"):
        check_key(
            CertifiedKey(facts=key.facts, certificates=certificates),
            pinned=PINNED,
            client_id="svcA",
            tenant=None,
        )


def test_a_key_of_an_unknown_party_is_refused() -> None:
    known = {name: identity for name, identity in PINNED.items() if name != "p3"}
    with pytest.raises(ContractError, match="p3 is not one that we know"):
        check_key(ED25519.certified(), pinned=known, client_id="svcA", tenant=None)


def test_a_key_of_a_party_with_another_identity_than_the_pinned_one_is_refused() -> None:
    pinned = {**PINNED, "p3": Identity.generate().public}
    with pytest.raises(ContractError, match="another identity"):
        check_key(ED25519.certified(), pinned=pinned, client_id="svcA", tenant=None)


def test_another_clients_key_is_refused() -> None:
    for client_id in ("svcB", None):
        with pytest.raises(ContractError, match="another client"):
            check_key(ED25519.certified(), pinned=PINNED, client_id=client_id, tenant=None)


def test_another_tenants_key_is_refused() -> None:
    alices = ED25519.certified(tenant="alice")
    check_key(alices, pinned=PINNED, client_id="svcA", tenant="alice")
    for key, tenant in ((alices, "mallory"), (alices, None), (ED25519.certified(), "alice")):
        with pytest.raises(ContractError, match="another tenant"):
            check_key(key, pinned=PINNED, client_id="svcA", tenant=tenant)


def test_a_key_of_before_tenants_were_certified_is_any_tenants() -> None:
    facts = ED25519.old_facts()
    old = CertifiedKey(
        facts=facts, certificates={name: facts.certify(party) for name, party in PARTIES.items()}
    )
    for tenant in (None, "alice"):
        check_key(old, pinned=PINNED, client_id="svcA", tenant=tenant)


def test_a_certificate_of_one_version_is_none_of_another() -> None:
    """The statement of one could be told as that of the other, were it not for the tags."""
    facts, old = ED25519.facts(), ED25519.old_facts()
    reshared = ED25519.facts(version=3, epoch=1, reshared=RESHARED)
    with pytest.raises(ContractError, match="wrong signature"):
        reshared.verify("p1", PARTIES["p1"].sign(CERTIFICATE_TAGS[2], reshared.statement()))
    with pytest.raises(ContractError, match="wrong signature"):
        facts.verify("p1", PARTIES["p1"].sign(CERTIFICATE_TAGS[1], facts.statement()))
    with pytest.raises(ContractError, match="wrong signature"):
        old.verify("p1", PARTIES["p1"].sign(CERTIFICATE_TAGS[2], old.statement()))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 4}, "version"),
        ({"version": 3}, "version 3, and no other"),
        ({"reshared": RESHARED}, "version 3, and no other"),
        ({"version": 3, "reshared": RESHARED}, "epoch 0 is not made by a reshare"),
        ({"version": True}, "must be a number"),
        ({"version": 1}, "come with version 2"),
        ({"request_digest": None}, "says request_digest and origin"),
        ({"origin": None}, "says request_digest and origin"),
        ({"schemes": []}, "at least one"),
        ({"schemes": [Scheme.ED25519, Scheme.ED25519]}, "each once"),
        ({"schemes": [Scheme.ECDSA]}, "schemes names ecdsa, and a key on ed25519"),
    ],
)
def test_facts_are_whole_and_written_in_one_way(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ED25519.facts(**changes)


@pytest.mark.parametrize(
    "more",
    [
        {"tenant": "alice"},
        {"request_digest": bytes(32)},
        {"schemes": [Scheme.ED25519]},
        {"origin": Origin.IMPORTED},
    ],
)
def test_facts_of_before_say_nothing_that_their_certificates_do_not_cover(
    more: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError, match="come with version 2"):
        ED25519.facts(**{**OLD, **more})


def test_schemes_stand_in_order() -> None:
    right = [Scheme.BIP340, Scheme.ECDSA]
    assert SECP256K1.facts(schemes=right).schemes == right
    with pytest.raises(ValidationError, match="in alphabetical order"):
        SECP256K1.facts(schemes=right[::-1])


def test_a_key_made_for_nothing_special_serves_all_of_its_curve() -> None:
    assert ED25519.facts().purposes == [Scheme.ED25519]
    assert SECP256K1.facts().purposes == [Scheme.BIP340, Scheme.ECDSA, Scheme.SECP256K1]
    assert SECP256K1.facts(schemes=[Scheme.ECDSA]).purposes == [Scheme.ECDSA]


def test_a_key_for_one_scheme_signs_in_no_other() -> None:
    bip340 = SECP256K1.certified(schemes=[Scheme.BIP340])
    result = sign_result(sign_request(scheme=Scheme.ECDSA, message=bytes(32)), SECP256K1)
    check_signed(result, SECP256K1.certified(), None)
    with pytest.raises(ContractError, match="made for bip340 only, and signs nothing in ecdsa"):
        check_signed(result, bip340, None)


def _holder(name: str, identity: str) -> Holder:
    return Holder(
        party_id=name,
        identity=PARTIES[identity].public.der,
        public_share=ED25519.public_key,
    )


def test_one_party_cannot_fill_two_places() -> None:
    for holders, reason in (
        ([_holder("p1", "p1"), _holder("p1", "p1")], "names a party twice"),
        ([_holder("p1", "p1"), _holder("p2", "p1")], "two parties of one identity"),
    ):
        with pytest.raises(ContractError, match=reason):
            check_key(
                ED25519.certified(holders=holders), pinned=PINNED, client_id="svcA", tenant=None
            )


def test_a_key_that_needs_more_parties_than_it_has_is_refused() -> None:
    with pytest.raises(ContractError, match="more parties than it has"):
        check_key(ED25519.certified(threshold=4), pinned=PINNED, client_id="svcA", tenant=None)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        bytes(31),
        b"\x01" + bytes(31),  # the identity
        bytes(32),  # of order 4
        bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        b"\xff" * 32,  # not canonical
    ],
)
def test_a_point_outside_ed25519s_prime_order_group_is_no_key(encoded: bytes) -> None:
    with pytest.raises(ContractError, match="prime-order"):
        check_point(Curve.ED25519, encoded)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x02" * 32,
        b"\x02" + b"\xff" * 32,
        b"\x04" + SECP256K1.public_key[1:],
        b"\x02" + (5).to_bytes(32),  # no such x
    ],
)
def test_what_is_no_point_of_secp256k1_is_no_key(encoded: bytes) -> None:
    with pytest.raises(ContractError):
        check_point(Curve.SECP256K1, encoded)


def test_a_certified_key_must_consist_of_points() -> None:
    spoiled = [
        *ED25519.facts().holders[:2],
        Holder(party_id="p3", identity=PARTIES["p3"].public.der, public_share=bytes(32)),
    ]
    for change in ({"public_key": bytes(32)}, {"holders": spoiled}):
        with pytest.raises(ContractError, match="prime-order"):
            check_key(ED25519.certified(**change), pinned=PINNED, client_id="svcA", tenant=None)


def test_a_key_query_is_answered_with_the_key_that_was_asked_for() -> None:
    request = QueryKeysRequest(**fields("query_keys", only="treasury"))
    answer: dict[str, Any] = {
        "request_id": "r1",
        "client_id": "svcA",
        "session_id": None,
        "request_digest": bytes(32),
        "status": Status.COMPLETED,
        "finished_at": 1,
    }
    check_answer(request, QueryKeysResult(**answer, keys=[ED25519.certified()]))
    with pytest.raises(ContractError, match="something else"):
        check_answer(request, QueryKeysResult(**answer, keys=[ED25519.certified(key_id="other")]))
    every = QueryKeysRequest(**fields("query_keys"))
    check_answer(every, QueryKeysResult(**answer, keys=[ED25519.certified()], more=True))
    with pytest.raises(ContractError, match="empty page"):
        check_answer(every, QueryKeysResult(**answer, more=True))
    with pytest.raises(ContractError, match="has no session"):
        check_answer(QuerySessionRequest(**fields("query_session")), QuerySessionResult(**answer))
