"""What a party refuses: one valid session, and one change in each case."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.admission import ClientPolicy
from contracts.identity import Identity
from contracts.keys import Holder, KeyFacts
from contracts.primitives import Scheme
from contracts.requests import CancelRequest
from contracts.sessions import NonceCommitment, PresignaturesUsed
from contracts.signing import sign_request
from contracts.terms import Member
from tests.protocols.simulate import coins
from tests.session.builders import (
    CLIENT,
    CLIENT_ID,
    COORDINATOR_IDENTITY,
    IDENTITIES,
    LIFETIME_MS,
    NOW,
    TOLERANCE_MS,
    accepted_by,
    created,
    facts,
    key_record,
    keygen_created,
    keygen_request,
    member,
    old_facts,
    party,
    signing_session,
    terms,
)
from tests.session.ecdsa_sessions import ecdsa_session, list_session
from workers.session.errors import RefusedError
from workers.session.party.acceptance import (
    accept,
    answer_of,
    check_signing_key,
    own_commitment,
    presignatures_used,
)
from workers.store.records import KeyShareRecord

STRANGER = Identity.generate()
UNKNOWN = Member(party_id="party-9", index=3, identity=STRANGER.public.der)


###
### Valid sessions
###


def test_a_valid_key_generation_is_accepted() -> None:
    made = keygen_created()
    accepted = accepted_by(made, 2, now=NOW)
    assert accepted.session_id == made.session_id
    assert accepted.own_index == 2
    assert [each.party_id for each in accepted.others()] == ["party-1", "party-3"]


def test_a_valid_signing_session_is_accepted() -> None:
    session = signing_session()
    accepted = accepted_by(session.created(), 3, now=NOW)
    assert accepted.own_index == 3
    assert own_commitment(accepted) == session.commitments[3]
    check_signing_key(accepted, held(facts()), party(1))


@pytest.mark.parametrize(
    "wishes", [{"parties": ["party-3", "party-1", "party-2"]}, {"threshold": 3}]
)
def test_what_the_client_wished_and_got_is_accepted(wishes: dict[str, Any]) -> None:
    request = keygen_request(**wishes)
    made = keygen_created(request, terms_changes={"threshold": request.threshold})
    assert accepted_by(made, 1, now=NOW).request == request


@pytest.mark.parametrize("commits", [True, False])
def test_a_request_counts_as_long_as_when_it_was_accepted(commits: bool) -> None:
    """It is asked once more, by another clock, when its answer is committed."""
    session = signing_session()
    told, us = session.created(), party(1)
    answers = answer_of(session.request, told, us, commits=commits)
    assert (answers.owner, answers.request_id) == (
        session.request.owner,
        session.request.request_id,
    )
    assert (answers.digest, answers.commits) == (told.terms.request_digest, commits)
    last = session.request.expires_at + us.clock_tolerance_ms
    assert answers.counts_until == last
    assert accepted_by(told, 1, now=last)
    with pytest.raises(RefusedError, match="expired"):
        accepted_by(told, 1, now=last + 1)


def test_named_signers_are_accepted_in_any_order() -> None:
    session = signing_session(signers=["party-3", "party-1"])
    assert accepted_by(session.created(), 1, now=NOW).request == session.request


def test_a_new_key_may_skip_parties_of_the_configuration() -> None:
    members = [member(1), member(3, index=2), member(4, index=3)]
    assert accepted_by(keygen_created(members=members), 4, now=NOW).own_index == 3


###
### Request and session
###


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session_id": coins("another")}, "not the one that its terms give"),
        ({"request_signature": b"nonsense"}, "wrong signature"),
        ({"request": sign_request(keygen_request(key_id="key-2"), CLIENT).body}, "wrong signature"),
        ({"request": b"{"}, "no JSON object that names its signer"),
        ({"terms_changes": {"request_digest": coins("another")}}, "name another request"),
        ({"terms_changes": {"protocol": "sign"}}, "asks to keygen, the terms to sign"),
    ],
)
def test_a_session_that_is_not_its_requests_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        accepted_by(keygen_created(**changes), 1, now=NOW)


@pytest.mark.parametrize(
    "policy",
    [
        ClientPolicy(identity=STRANGER.public, client_id=CLIENT_ID),
        ClientPolicy(identity=CLIENT.public, client_id="svcB"),
        ClientPolicy(identity=CLIENT.public, client_id=None),
        ClientPolicy(
            identity=CLIENT.public, client_id=CLIENT_ID, operations=frozenset({"sign", "cancel"})
        ),
    ],
)
def test_a_client_that_we_do_not_authorise_is_refused(policy: ClientPolicy) -> None:
    with pytest.raises(RefusedError, match="not authorised"):
        accept(
            keygen_created(),
            party(1, clients=(policy,)),
            coordinator=COORDINATOR_IDENTITY.public,
            now=NOW,
        )


def test_a_key_generation_is_no_answer_to_a_signing_request() -> None:
    session = signing_session()
    made = created(
        session.signed,
        terms(
            session.signed,
            [member(1), member(2), member(3)],
            threshold=2,
            protocol="keygen",
            key_session=None,
        ),
    )
    with pytest.raises(RefusedError, match="asks to sign, the terms to keygen"):
        accepted_by(made, 1, now=NOW)


def test_an_operation_without_sessions_is_refused() -> None:
    cancel = CancelRequest(
        request_id="request-1",
        client_id=CLIENT_ID,
        signer=CLIENT.public.der,
        issued_at=NOW,
        expires_at=NOW + LIFETIME_MS,
        reply_to=f"mpc.mpc_cancel_result.{CLIENT_ID}.request-1",
        target="request-0",
    )
    with pytest.raises(RefusedError, match="'cancel' makes no session"):
        accepted_by(keygen_created(cancel), 1, now=NOW)


def test_a_request_is_refused_after_its_time_and_the_tolerance_for_clocks() -> None:
    last = NOW + LIFETIME_MS + TOLERANCE_MS
    accepted_by(keygen_created(), 1, now=last)
    with pytest.raises(RefusedError, match="expired"):
        accepted_by(keygen_created(), 1, now=last + 1)


def test_a_request_is_refused_before_its_time_and_the_tolerance_for_clocks() -> None:
    first = NOW - TOLERANCE_MS
    accepted_by(keygen_created(), 1, now=first)
    with pytest.raises(RefusedError, match="in the future"):
        accepted_by(keygen_created(), 1, now=first - 1)


def test_an_authorised_request_that_fails_in_the_longest_words_is_refused_all_the_same() -> None:
    # The name of a field that does not exist is repeated in the reason.
    honest = sign_request(keygen_request(), CLIENT)
    body = honest.body[:-1] + b',"' + b"x" * 5_000 + b'":1}'
    changed = sign_request(keygen_request(), CLIENT)
    signature = CLIENT.sign(b"warren/request/v1", body)
    made = created(
        changed,
        terms(changed, [member(1), member(2), member(3)], threshold=2),
        request=body,
        request_signature=signature,
    )
    with pytest.raises(RefusedError, match="does not check out here") as refused:
        accepted_by(made, 1, now=NOW)
    assert len(refused.value.failure.message) == 2000


###
### Parties
###


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member(1), member(2), UNKNOWN], "party-9 is not in our configuration"),
        ([member(1), member(2), member(3, identity=STRANGER)], "party-3 has another identity"),
        ([member(1, identity=STRANGER), member(2), member(3)], "party-1 has another identity"),
        ([member(2, index=1), member(3, index=2), member(4, index=3)], "we are not among"),
        ([member(1), member(2), member(2, index=3)], "stands twice"),
        ([member(1), member(1, index=2), member(3)], "stands twice"),
        ([member(2), member(1), member(3)], "ascending order"),
        ([member(1), member(2, index=1), member(3)], "ascending order"),
    ],
)
def test_parties_that_cannot_be_are_refused(members: list[Member], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        accepted_by(keygen_created(members=members), 1, now=NOW)


###
### A new key
###


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"terms_changes": {"key_session": coins("old key")}}, "no earlier key"),
        ({"terms_changes": {"epoch": 1}}, "no earlier key"),
        (
            {"commitments": [NonceCommitment(nonce_id=bytes(32), commitment=b"")]},
            "no commitments or presignatures",
        ),
        (
            {"presignatures": [PresignaturesUsed(batch=bytes(32), positions=[0])]},
            "no commitments or presignatures",
        ),
        ({"terms_changes": {"threshold": 3}}, "asked for 2 of 3, the terms say 3 of 3"),
        ({"members": [member(1), member(2)]}, "asked for 2 of 3, the terms say 2 of 2"),
        ({"members": [member(1), member(2), member(3, index=4)]}, "indices are 1 to n"),
        (
            {"members": [member(1), member(3, index=2), member(2, index=3)]},
            "not in the configured order",
        ),
        (
            {"asked": keygen_request(parties=["party-1", "party-2", "party-4"])},
            "not those that the client named",
        ),
    ],
)
def test_a_key_generation_other_than_asked_for_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        accepted_by(keygen_created(**changes), 1, now=NOW)


###
### Signing
###


def test_signing_without_a_key_is_refused() -> None:
    session = signing_session(terms_changes={"key_session": None})
    with pytest.raises(RefusedError, match="the terms name no key"):
        accepted_by(session.created(), 1, now=NOW)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_another_number_of_commitments_than_signers_is_refused(kept: int) -> None:
    session = signing_session()
    three = [*session.commitments.values(), session.commitments[1]]
    with pytest.raises(RefusedError, match="not one nonce commitment for each signer"):
        accepted_by(session.created(commitments=three[:kept]), 1, now=NOW)


def test_other_signers_than_the_client_named_are_refused() -> None:
    session = signing_session(signers=["party-1", "party-2"])
    with pytest.raises(RefusedError, match="not those that the client named"):
        accepted_by(session.created(), 1, now=NOW)


def held(made: KeyFacts, **changes: Any) -> KeyShareRecord:
    return key_record(1, facts=made.model_dump_json(), **changes)


def _holders(**changes: Any) -> list[Holder]:
    """The key's holders, the third changed."""
    *others, third = facts().holders
    return [*others, third.model_copy(update=changes)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key_id": "key-2"}, "not the client's 'key-1'"),
        ({"client_id": "svcB"}, "another owner's key"),
        ({"client_id": None}, "another owner's key"),
        ({"tenant": "alice"}, "another owner's key"),
        ({"curve": facts("secp256k1").curve}, "is on secp256k1; ed25519 signs on ed25519"),
        ({"threshold": 3}, "the terms say threshold 2, the key 3"),
        ({"holders": _holders(party_id="party-4")}, "party-3 is not holder 3"),
        (
            {"holders": _holders(identity=IDENTITIES["party-4"].public.der)},
            "party-3 is not holder 3",
        ),
        ({"holders": facts().holders[:2]}, "party-3 is not holder 3"),
    ],
)
def test_a_key_that_is_not_the_requests_is_refused(changes: dict[str, Any], reason: str) -> None:
    accepted = signing_session().accepted(1)
    with pytest.raises(RefusedError, match=reason):
        check_signing_key(accepted, held(facts(**changes)), party(1))


def test_a_tenants_key_signs_for_that_tenant_alone() -> None:
    alices = held(facts(tenant="alice"), owner=f"{CLIENT_ID}/alice")
    check_signing_key(signing_session(tenant="alice").accepted(1), alices, party(1))
    for tenant in ("mallory", None):
        with pytest.raises(RefusedError, match="another owner's key"):
            check_signing_key(signing_session(tenant=tenant).accepted(1), alices, party(1))
    with pytest.raises(RefusedError, match="another owner's key"):
        check_signing_key(signing_session(tenant="alice").accepted(1), held(facts()), party(1))


def test_a_key_of_before_tenants_were_certified_signs_without_a_tenant_until_it_has_one() -> None:
    ours, alices = signing_session(), signing_session(tenant="alice")
    unknown = held(old_facts())
    check_signing_key(ours.accepted(1), unknown, party(1))
    with pytest.raises(RefusedError, match="no list of operators has said whose it is"):
        check_signing_key(alices.accepted(1), unknown, party(1))
    given = held(old_facts(), owner=f"{CLIENT_ID}/alice")
    check_signing_key(alices.accepted(1), given, party(1))
    for session in (ours, signing_session(tenant="mallory")):
        with pytest.raises(RefusedError, match="another owner's key"):
            check_signing_key(session.accepted(1), given, party(1))


def test_what_stands_beside_certified_facts_gives_their_key_to_nobody() -> None:
    mallorys = signing_session(tenant="mallory").accepted(1)
    for made in (facts(tenant="alice"), old_facts(client_id="svcB")):
        stolen = held(made, owner=f"{CLIENT_ID}/mallory")
        with pytest.raises(RefusedError, match="another owner's key"):
            check_signing_key(mallorys, stolen, party(1))


def test_a_list_gives_no_key_to_another_client() -> None:
    given = held(old_facts(client_id="svcB"), owner=CLIENT_ID)
    with pytest.raises(RefusedError, match="another owner's key"):
        check_signing_key(signing_session().accepted(1), given, party(1))


def test_a_key_for_one_scheme_serves_no_other() -> None:
    bip340 = held(facts("secp256k1", schemes=[Scheme.BIP340]))
    accepted = accept(
        list_session().created(presignatures=[_used(0, 1, 2, 3)]),
        party(1),
        coordinator=COORDINATOR_IDENTITY.public,
        now=NOW,
    )
    with pytest.raises(RefusedError, match="made for bip340 only"):
        check_signing_key(accepted, bip340, party(1))


def test_terms_with_another_threshold_than_the_keys_are_refused() -> None:
    accepted = signing_session(terms_changes={"threshold": 3}).accepted(1)
    with pytest.raises(RefusedError, match="the terms say threshold 3, the key 2"):
        check_signing_key(accepted, held(facts()), party(1))


def test_more_signers_than_the_threshold_are_refused() -> None:
    session = signing_session(members=[member(1), member(2), member(3)])
    another = session.commitments[1].model_copy(update={"nonce_id": coins("another nonce")})
    three = [*session.commitments.values(), another]
    accepted = accepted_by(session.created(commitments=three), 1, now=NOW)
    with pytest.raises(RefusedError, match="3 signers; this key takes exactly 2"):
        check_signing_key(accepted, held(facts()), party(1))


def test_a_signer_under_another_holders_index_is_refused() -> None:
    accepted = signing_session(members=[member(1), member(3, index=2)]).accepted(1)
    with pytest.raises(RefusedError, match="party-3 is not holder 2"):
        check_signing_key(accepted, held(facts()), party(1))


###
### Presignatures
###

BATCH = coins("a batch")


def _used(*positions: int, batch: bytes = BATCH) -> PresignaturesUsed:
    return PresignaturesUsed(batch=batch, positions=list(positions))


@pytest.mark.parametrize(
    "used",
    [
        [_used(0, 1, 2, 3)],
        [_used(63, 0), _used(0, 63, batch=coins("another"))],
        [_used(0), _used(1), _used(2), _used(3)],
    ],
)
def test_a_list_with_a_presignature_for_each_message_is_accepted(
    used: list[PresignaturesUsed],
) -> None:
    created_ = list_session().created(presignatures=used)
    accepted = accepted_by(created_, 1, now=NOW)
    assert len(presignatures_used(accepted.created)) == 4
    check_signing_key(accepted, held(facts("secp256k1")), party(1))


def test_presignatures_are_used_in_the_order_in_which_they_are_named() -> None:
    other = coins("another")
    used = [_used(3, 1), _used(0, batch=other), _used(2)]
    assert presignatures_used(list_session().created(presignatures=used)) == (
        (BATCH, 3),
        (BATCH, 1),
        (other, 0),
        (BATCH, 2),
    )


@pytest.mark.parametrize(
    ("used", "reason"),
    [
        ([], "not one presignature for each message"),
        ([_used(0, 1, 2)], "not one presignature for each message"),
        ([_used(0, 1, 2, 3, 4)], "not one presignature for each message"),
        ([_used(0, 1, 2, 2)], "signs once"),
        ([_used(0, 1), _used(2, 0)], "signs once"),
    ],
)
def test_other_presignatures_than_one_for_each_message_are_refused(
    used: list[PresignaturesUsed], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        accepted_by(list_session().created(presignatures=used), 1, now=NOW)


def test_commitments_for_what_takes_presignatures_are_refused() -> None:
    commitments = list(signing_session().commitments.values())
    with pytest.raises(RefusedError, match="not one nonce commitment"):
        accepted_by(ecdsa_session().created(commitments=commitments), 1, now=NOW)


def test_presignatures_for_what_takes_commitments_are_refused() -> None:
    made = signing_session().created(presignatures=[_used(0)])
    with pytest.raises(RefusedError, match="not one presignature for each message"):
        accepted_by(made, 1, now=NOW)


def test_named_signers_count_for_presignatures_too() -> None:
    accepted_by(ecdsa_session(signers=["party-3", "party-1"]).created(), 1, now=NOW)
    with pytest.raises(RefusedError, match="not those that the client named"):
        accepted_by(ecdsa_session(signers=["party-1", "party-2"]).created(), 1, now=NOW)
