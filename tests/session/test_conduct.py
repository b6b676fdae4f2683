"""What the coordinator makes of reports: progress, a result, or somebody's fault."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from contracts import addresses, sessions
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.keys import Holder, KeyFacts
from contracts.primitives import Scheme
from contracts.results import KeygenResult, SignedItem, SignResult, Status
from contracts.sessions import INSTRUCTION, KeyCertified, NonceCommitment, SessionCreated
from contracts.signing import sign_request
from contracts.verification import check_signature, child
from tests.protocols.simulate import coins
from tests.session.builders import (
    CLIENT,
    IDENTITIES,
    LIFETIME_MS,
    NOW,
    PEERS,
    Signing,
    contradicting_facts,
    contradicting_share,
    facts,
    keygen_request,
    member,
    nonce,
    nonces_made,
    received_report,
    report_envelope,
    signing_session,
    terms,
)
from tests.session.ecdsa_sessions import (
    CURVE,
    DIGEST,
    ITEMS,
    LIST_PLACES,
    EcdsaSigning,
    batch,
    ecdsa_session,
    list_session,
)
from workers.protocols import frost
from workers.protocols.groups import group_by_name
from workers.session import instructions, key_reports, tasks
from workers.session import reports as reporting
from workers.session.batches import batch_id
from workers.session.conduct import Conduct, Presigned, Progress
from workers.store.records import PooledPresignature, Received


def keygen_conduct(**fields: Any) -> Conduct:
    request = keygen_request(**fields)
    signed = sign_request(request, CLIENT)
    members = [member(1), member(2), member(3)]
    return Conduct(
        request=request,
        terms=terms(signed, members, threshold=2),
        join_secret=coins("join secret"),
        deadline=NOW + LIFETIME_MS,
    )


def certified(made: KeyFacts) -> KeyCertified:
    return KeyCertified(
        facts=made,
        certificates={f"party-{i}": made.certify(IDENTITIES[f"party-{i}"]) for i in (1, 2, 3)},
    )


def new_facts(conduct: Conduct, **changes: Any) -> KeyFacts:
    return facts(**({"session_id": conduct.session_id} | changes))


def key_certified(
    conduct: Conduct, i: int, report: KeyCertified, received: tuple[Received, ...] = ()
) -> Progress:
    return key_reports.key_certified(conduct, f"party-{i}", report, received, now=NOW)


def share_signed(session: Signing, i: int, *others: int, **changes: Any) -> Progress:
    """Party i's report after those of the others, changed as given."""
    rows = [received_report(j, session.share(j)) for j in others]
    report = session.share(i).model_copy(update=changes)
    return reporting.share_signed(session.conduct(), f"party-{i}", report, rows, now=NOW)


###
### Invitations
###


def test_everybody_is_invited_with_all_commitments_and_a_token_of_its_own() -> None:
    session = signing_session()
    invited = instructions.invitations(
        session.conduct(),
        request=session.signed.body,
        signature=session.signed.signature,
        time_left_ms=5_000,
    )
    contents = [INSTRUCTION.validate_json(each.body) for each in invited]
    assert [each.routing_key for each in invited] == ["party-1", "party-3"]
    assert {each.exchange for each in invited} == {addresses.SESSIONS}
    tokens = set()
    for content in contents:
        assert isinstance(content, SessionCreated)
        assert content.commitments == list(session.commitments.values())
        assert content.session_id == content.terms.session_id()
        assert (content.request, content.time_left_ms) == (session.signed.body, 5_000)
        tokens.add(content.join_token)
    assert len(tokens) == 2


def test_an_invitation_of_the_last_moment_still_has_time_left() -> None:
    session = signing_session()
    (first, _) = instructions.invitations(
        session.conduct(), request=b"{}", signature=b"", time_left_ms=-5
    )
    assert SessionCreated.model_validate_json(first.body).time_left_ms == 1


def test_a_new_key_needs_no_commitments() -> None:
    conduct = keygen_conduct()
    assert conduct.lacking() == []
    invited = instructions.invitations(conduct, request=b"{}", signature=b"", time_left_ms=1)
    assert len(invited) == 3
    assert SessionCreated.model_validate_json(invited[0].body).commitments == []


def test_join_tokens_differ_by_session_party_and_secret() -> None:
    conduct = keygen_conduct()
    other = conduct.model_copy(update={"join_secret": coins("other")})
    salted = conduct.terms.model_copy(update={"salt": coins("other")})
    later = conduct.model_copy(update={"terms": salted})
    tokens = {
        each.join_token(name)
        for each, name in itertools.product((conduct, other, later), ("party-1", "party-2"))
    }
    assert len(tokens) == 6


def test_the_join_secret_hides_in_its_repr() -> None:
    assert "join_secret" not in repr(keygen_conduct())


###
### Nonces
###


def _waiting(*present: int) -> tuple[Signing, Conduct]:
    session = signing_session()
    kept = {f"party-{i}": session.commitments[i] for i in present}
    return session, session.conduct().model_copy(update={"commitments": kept})


def _nonces_made(conduct: Conduct, i: int, fresh: list[NonceCommitment]) -> Progress:
    return reporting.nonces_made(
        conduct,
        f"party-{i}",
        nonces_made(fresh),
        request=b"{}",
        signature=b"",
        now=NOW,
    )


def test_only_who_lacks_a_commitment_is_asked_for_nonces() -> None:
    _, conduct = _waiting(1)
    (wish,) = instructions.nonce_wishes(conduct, 4, now=NOW)
    assert wish.routing_key == "party-3"
    wanted = INSTRUCTION.validate_json(wish.body)
    assert isinstance(wanted, sessions.NoncesWanted)
    assert wanted.batch_id == batch_id(conduct.session_id, "party-3")
    assert (wanted.session_id, wanted.count) == (conduct.session_id, 4)
    assert wanted.issued_at == NOW
    assert wanted.key_session == facts().session_id


def test_nobody_is_invited_before_all_commitments_are_in() -> None:
    session, conduct = _waiting()
    first = _nonces_made(conduct, 3, [session.commitments[3]])
    assert (first.status, first.outgoing) == (Status.WAITING, ())
    assert [each.party_id for each in first.conduct.lacking()] == ["party-1"]
    second = _nonces_made(first.conduct, 1, [session.commitments[1]])
    assert second.status is Status.IN_PROGRESS
    invited = [SessionCreated.model_validate_json(each.body) for each in second.outgoing]
    assert [each.commitments for each in invited] == [list(session.commitments.values())] * 2


def test_the_first_nonce_is_used_and_the_others_are_kept() -> None:
    session, conduct = _waiting(1)
    scheme = session.request.scheme
    more = [nonce(3, scheme, label)[1] for label in ("second", "third")]
    progress = _nonces_made(conduct, 3, [session.commitments[3], *more])
    assert progress.conduct.commitments["party-3"] == session.commitments[3]
    assert [each.nonce_id for each in progress.commitments] == [each.nonce_id for each in more]
    assert {(each.party_id, each.scheme, each.epoch) for each in progress.commitments} == {
        ("party-3", "ed25519", 0)
    }


def test_nonces_of_a_party_that_lacked_none_are_all_kept() -> None:
    session, conduct = _waiting(1)
    more = nonce(1, session.request.scheme, "second")[1]
    progress = _nonces_made(conduct, 1, [more])
    assert progress.conduct == conduct
    assert [each.nonce_id for each in progress.commitments] == [more.nonce_id]


###
### Who may say what
###


def _check(conduct: Conduct, sender: str, report: sessions.Report, **changes: Any) -> None:
    envelope = report_envelope(sender, report, session_id=conduct.session_id)
    reporting.check_report(conduct, replace(envelope, **changes), report)


def test_reports_that_fit_their_session_are_heard() -> None:
    session, conduct = signing_session(), keygen_conduct()
    failed = sessions.SessionFailed(failure=Failure.of(FailureCode.SPOILT, "why"))
    _check(conduct, "party-2", certified(new_facts(conduct)))
    _check(conduct, "party-2", sessions.PartyJoined(join_token=conduct.join_token("party-2")))
    _check(conduct, "party-2", failed)
    _check(conduct, "party-2", failed, epoch=9)
    _check(session.conduct(), "party-3", session.share(3))
    _check(session.conduct(), "party-3", nonces_made([session.commitments[3]]))


@pytest.mark.parametrize("changes", [{"key_session": b"k" * 32}, {"scheme": Scheme.SECP256K1}])
def test_nonces_for_another_key_or_scheme_are_not_heard(changes: dict[str, Any]) -> None:
    session = signing_session()
    with pytest.raises(ContractError, match="another key or scheme"):
        _check(session.conduct(), "party-3", nonces_made([session.commitments[3]], **changes))


def test_a_commitment_that_is_none_names_its_sender_when_it_comes() -> None:
    rubbish = NonceCommitment(nonce_id=bytes(32), commitment=b"\xff" * 64)
    session, conduct = _waiting(1)
    asked = _nonces_made(conduct, 3, [rubbish])
    shared = reporting.share_signed(
        session.conduct(),
        "party-3",
        session.share(3).model_copy(update={"fresh": [rubbish]}),
        (),
        now=NOW,
    )
    for progress in (asked, shared):
        assert progress.status is Status.FAILED
        assert progress.failure is not None
        assert progress.failure.culprits == ["party-3"]
        assert progress.commitments == ()


def test_a_party_that_gives_up_can_only_speak_of_others_in_its_session() -> None:
    conduct = signing_session().conduct()
    told = Failure(
        code=FailureCode.KEY_EXISTS,
        message="x" * 2000,
        culprits=["nobody", "party-1", "party-3"],
        silent=["ghost", "party-3"],
        retryable=False,
    )
    progress = reporting.session_failed(conduct, "party-3", told)
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.INTERNAL
    assert progress.failure.retryable
    assert progress.failure.culprits == ["party-1"]
    assert progress.failure.silent == []
    assert progress.failure.message.startswith("party-3 reports: ")


def test_a_party_that_takes_no_part_is_not_heard() -> None:
    session = signing_session()
    with pytest.raises(ContractError, match="party-2 takes no part"):
        _check(session.conduct(), "party-2", session.share(3))


@pytest.mark.parametrize("kind", ["share_signed", "nonces_made"])
def test_a_report_of_another_epoch_is_not_heard(kind: str) -> None:
    session = signing_session()
    reports: dict[str, sessions.Report] = {
        "share_signed": session.share(3),
        "nonces_made": nonces_made([session.commitments[3]]),
    }
    with pytest.raises(ContractError, match="epoch 1 in a session of epoch 0"):
        _check(session.conduct(), "party-3", reports[kind], epoch=1)


@pytest.mark.parametrize("whose", ["party-1", None])
def test_a_join_token_is_good_for_the_party_that_was_given_it(whose: str | None) -> None:
    session, conduct = signing_session(), signing_session().conduct()
    token = bytes(32) if whose is None else conduct.join_token(whose)
    for report in (
        sessions.PartyJoined(join_token=token),
        session.share(3).model_copy(update={"join_token": token}),
    ):
        with pytest.raises(ContractError, match="another join token"):
            _check(conduct, "party-3", report)


def test_reports_of_the_other_protocol_are_not_heard() -> None:
    session, conduct = signing_session(), keygen_conduct()
    token = conduct.join_token("party-3")
    for report in (
        session.share(3).model_copy(update={"join_token": token}),
        nonces_made([session.commitments[3]]),
    ):
        with pytest.raises(ContractError, match="in a session to keygen"):
            _check(conduct, "party-3", report)
    with pytest.raises(ContractError, match="key_certified in a session to sign"):
        _check(session.conduct(), "party-3", certified(facts()))


###
### Signature shares
###


def test_the_last_share_makes_the_result() -> None:
    session = signing_session()
    first = share_signed(session, 3)
    assert (first.status, first.result, first.failure) == (Status.IN_PROGRESS, None, None)
    last = share_signed(session, 1, 3)
    assert last.status is Status.COMPLETED
    assert isinstance(last.result, SignResult)
    assert last.result.signers == ["party-1", "party-3"]
    assert last.result.message == session.request.message
    assert last.result.session_id == session.terms.session_id()
    assert last.result.message is not None
    assert last.result.signature is not None
    public_key = group_by_name("ed25519").point_from_bytes_checked(facts().public_key)
    assert frost.verify(
        frost.ciphersuite("ed25519"), public_key, last.result.message, last.result.signature
    )


def test_the_fresh_commitment_is_kept_whatever_becomes_of_the_share() -> None:
    session = signing_session()
    (fresh,) = session.share(1).fresh
    for progress in (
        share_signed(session, 1),
        share_signed(session, 1, 3),
        share_signed(session, 1, 3, signature_shares=[bytes(32)]),
    ):
        assert [each.nonce_id for each in progress.commitments] == [fresh.nonce_id]
        assert progress.commitments[0].party_id == "party-1"


def test_a_wrong_share_fails_the_session_and_names_its_sender() -> None:
    progress = share_signed(signing_session(), 1, 3, signature_shares=[b"\x01" + bytes(31)])
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.PARTY_FAULT
    assert progress.failure.culprits == ["party-1"]


def test_a_key_that_contradicts_itself_fails_the_session_and_blames_nobody() -> None:
    session = signing_session()
    conduct = session.conduct().model_copy(update={"facts": contradicting_facts()})
    progress = reporting.share_signed(
        conduct,
        "party-1",
        contradicting_share(session, 1),
        [received_report(3, contradicting_share(session, 3))],
        now=NOW,
    )
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.INTERNAL
    assert progress.failure.culprits == []


###
### Certified keys
###


def test_a_key_is_believed_when_every_party_has_certified_it() -> None:
    conduct = keygen_conduct()
    report = certified(new_facts(conduct))
    rows = tuple(received_report(i, report) for i in (1, 3))
    for some in ((), rows[:1]):
        progress = key_certified(conduct, 2, report, some)
        assert (progress.status, progress.key) == (Status.IN_PROGRESS, None)
    progress = key_certified(conduct, 2, report, rows)
    assert progress.status is Status.COMPLETED
    assert isinstance(progress.result, KeygenResult)
    assert progress.result.key is not None
    progress.result.key.verify({name: peer.identity for name, peer in PEERS.items()})
    assert progress.key is not None
    assert (progress.key.owner, progress.key.key_id) == ("svcA", "key-1")
    assert progress.key.key_session == conduct.session_id


def test_a_key_of_a_client_without_an_id_has_no_owner() -> None:
    conduct = keygen_conduct(client_id=None)
    report = certified(new_facts(conduct, client_id=None))
    progress = key_certified(conduct, 3, report, tuple(received_report(i, report) for i in (1, 2)))
    assert progress.key is not None
    assert progress.key.owner == ""


def test_only_the_parties_certificates_are_handed_on() -> None:
    conduct = keygen_conduct()
    honest = certified(new_facts(conduct))
    padded = honest.model_copy(
        update={"certificates": {**honest.certificates, "party-4": bytes(9_000)}}
    )
    rows = tuple(received_report(i, honest) for i in (1, 2))
    progress = key_certified(conduct, 3, padded, rows)
    assert isinstance(progress.result, KeygenResult)
    assert progress.result.key is not None
    assert progress.result.key.certificates.keys() == {"party-1", "party-2", "party-3"}


def _holder(**changes: Any) -> list[Holder]:
    *others, third = facts().holders
    return [*others, third.model_copy(update=changes)]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "svcB"},
        {"client_id": None},
        {"key_id": "key-2"},
        {"session_id": coins("another")},
        {"epoch": 1},
        {"curve": facts("secp256k1").curve},
        {"threshold": 3},
        {"holders": facts().holders[:2]},
        {"holders": facts().holders[::-1]},
        {"holders": _holder(party_id="party-4")},
        {"holders": _holder(identity=IDENTITIES["party-4"].public.der)},
        {"holders": _holder(public_share=b"\xff" * 32)},
        {"holders": _holder(public_share=b"")},
        {"public_key": b"\xff" * 32},
        {"public_key": facts("secp256k1").public_key},
    ],
)
def test_other_facts_than_the_sessions_name_their_reporter(changes: dict[str, Any]) -> None:
    conduct = keygen_conduct()
    progress = key_certified(conduct, 2, certified(new_facts(conduct, **changes)))
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.PARTY_FAULT
    assert progress.failure.culprits == ["party-2"]


def _without(report: KeyCertified) -> dict[str, bytes]:
    return {name: each for name, each in report.certificates.items() if name != "party-3"}


def _swapped(report: KeyCertified) -> dict[str, bytes]:
    return report.certificates | {"party-3": report.certificates["party-1"]}


def _garbled(report: KeyCertified) -> dict[str, bytes]:
    return report.certificates | {"party-3": b"\x30"}


def _of_other_facts(report: KeyCertified) -> dict[str, bytes]:
    other = report.facts.model_copy(update={"chain_code": coins("other")})
    return report.certificates | {"party-3": other.certify(IDENTITIES["party-3"])}


@pytest.mark.parametrize("change", [_without, _swapped, _garbled, _of_other_facts])
def test_missing_and_wrong_certificates_name_their_reporter(change: Any) -> None:
    conduct = keygen_conduct()
    report = certified(new_facts(conduct))
    wrong = report.model_copy(update={"certificates": change(report)})
    progress = key_certified(conduct, 2, wrong)
    assert progress.failure is not None
    assert progress.failure.culprits == ["party-2"]


@pytest.mark.parametrize(
    "changes", [{"chain_code": coins("other")}, {"transcript_digest": coins("other")}]
)
def test_two_keys_certified_by_all_spoil_the_session(changes: dict[str, Any]) -> None:
    conduct = keygen_conduct()
    rows = (received_report(1, certified(new_facts(conduct))),)
    progress = key_certified(conduct, 2, certified(new_facts(conduct, **changes)), rows)
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.SPOILT
    assert progress.failure.culprits == []


###
### Endings
###

JOINED = sessions.PartyJoined(join_token=bytes(32))


def _expired(*silent: str) -> sessions.SessionFailed:
    failure = Failure.of(FailureCode.EXPIRED, "waited", silent=list(silent))
    return sessions.SessionFailed(failure=failure)


def test_silent_is_first_of_all_who_was_never_heard_of() -> None:
    rows = [received_report(1, JOINED), received_report(1, _expired("party-2"))]
    assert reporting.silent_parties(keygen_conduct(), rows) == ["party-2", "party-3"]
    assert reporting.silent_parties(keygen_conduct(), []) == ["party-1", "party-2", "party-3"]


def test_silent_is_then_whom_the_others_name() -> None:
    rows = [received_report(i, JOINED) for i in (1, 2, 3)]
    rows += [received_report(1, _expired("party-3")), received_report(2, _expired("party-3"))]
    assert reporting.silent_parties(keygen_conduct(), rows) == ["party-3"]


@pytest.mark.parametrize("named", ["party-2", "party-4", "nobody"])
def test_nobody_names_itself_or_a_stranger_silent(named: str) -> None:
    rows = [received_report(i, JOINED) for i in (1, 2, 3)]
    rows.append(received_report(2, _expired(named)))
    report = certified(new_facts(keygen_conduct()))
    rows += [received_report(i, report) for i in (1, 2)]
    assert reporting.silent_parties(keygen_conduct(), rows) == ["party-3"]


def test_silent_is_at_last_who_did_not_get_to_the_end() -> None:
    session = signing_session()
    rows = [received_report(i, JOINED) for i in (1, 3)]
    rows.append(received_report(1, session.share(1)))
    assert reporting.silent_parties(session.conduct(), rows) == ["party-3"]


def test_a_session_that_waits_for_nonces_waits_only_for_who_lacks_them() -> None:
    _, conduct = _waiting(1)
    assert reporting.silent_parties(conduct, []) == ["party-3"]


def test_farewells_go_to_every_party_and_to_all_who_listen() -> None:
    conduct = keygen_conduct()
    first, *others = instructions.farewells(conduct)
    assert (first.exchange, first.routing_key) == (addresses.CANCEL, "")
    assert [(each.exchange, each.routing_key) for each in others] == [
        (addresses.SESSIONS, f"party-{i}") for i in (1, 2, 3)
    ]
    for each in (first, *others):
        over = sessions.SessionCancelled.model_validate_json(each.body)
        assert over.session_id == conduct.session_id


def test_a_conduct_is_stored_and_read_back() -> None:
    for conduct in (keygen_conduct(), signing_session().conduct()):
        assert Conduct.model_validate_json(conduct.model_dump_json()) == conduct


###
### Sessions with presignatures
###


def _presigned(session: EcdsaSigning, i: int, *others: int, **changes: Any) -> Progress:
    """Party i's report after those of the others, changed as given."""
    rows = [received_report(j, session.share(j)) for j in others]
    report = session.share(i).model_copy(update=changes)
    return reporting.share_signed(session.conduct(), f"party-{i}", report, rows, now=NOW)


def _verified(made: SignedItem, asked: dict[str, Any]) -> None:
    path = asked["derivation_path"]
    key = facts(CURVE).public_key if path is None else child(facts(CURVE), path).public_key
    assert (made.message, made.derivation_path) == (asked["message"], path)
    assert made.public_key == key
    check_signature(Scheme.ECDSA, key, made.message, made.signature)
    assert made.ecdsa is not None


def test_nobody_lacks_a_commitment_where_there_are_presignatures() -> None:
    session = ecdsa_session()
    assert session.conduct().presigned
    assert session.conduct().lacking() == []
    assert not signing_session().conduct().presigned
    assert not signing_session(scheme="secp256k1").conduct().presigned
    assert not keygen_conduct(curve="secp256k1").presigned


def test_everybody_is_invited_with_the_presignatures_runs_of_a_batch_together() -> None:
    session = list_session()
    invited = instructions.invitations(
        session.conduct(),
        request=session.signed.body,
        signature=session.signed.signature,
        time_left_ms=5_000,
    )
    assert [each.routing_key for each in invited] == ["party-1", "party-3"]
    first, second = (batch(seed).batch.session_id for seed in ("run", "second"))
    for each in invited:
        content = SessionCreated.model_validate_json(each.body)
        assert content.commitments == []
        assert [(used.batch, used.positions) for used in content.presignatures] == [
            (first, [2, 0]),
            (second, [1]),
            (first, [1]),
        ]


def test_the_last_share_makes_the_result_of_one_message() -> None:
    session = ecdsa_session(derivation_path="m/5")
    first = _presigned(session, 3)
    assert (first.status, first.result, first.failure) == (Status.IN_PROGRESS, None, None)
    last = _presigned(session, 1, 3)
    assert (last.status, last.commitments) == (Status.COMPLETED, ())
    assert isinstance(last.result, SignResult)
    assert last.result.items is None
    assert last.result.signers == ["party-1", "party-3"]
    (one,) = last.result.signed
    _verified(one, {"message": DIGEST, "derivation_path": "m/5"})


def test_the_last_share_makes_the_result_of_a_list_in_its_order() -> None:
    session = list_session()
    assert len(LIST_PLACES) == len(ITEMS)
    last = _presigned(session, 3, 1)
    assert isinstance(last.result, SignResult)
    assert (last.result.message, last.result.signature, last.result.ecdsa) == (None, None, None)
    assert last.result.items is not None
    assert len(last.result.items) == len(ITEMS)
    for made, asked in zip(last.result.items, ITEMS, strict=True):
        _verified(made, asked)


def test_a_list_of_one_has_a_result_in_the_form_of_a_list() -> None:
    session = ecdsa_session(message=None, items=ITEMS[:1])
    last = _presigned(session, 3, 1)
    assert isinstance(last.result, SignResult)
    assert last.result.items is not None
    (one,) = last.result.items
    _verified(one, ITEMS[0])


def test_a_fresh_commitment_beside_ecdsa_names_its_sender() -> None:
    fresh = list(signing_session().share(1).fresh)
    progress = _presigned(ecdsa_session(), 1, 3, fresh=fresh)
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.culprits == ["party-1"]


###
### Other signers
###


def _replaceable(**changes: Any) -> Conduct:
    given = {"try_ms": 5_000, **changes}
    return ecdsa_session().conduct().model_copy(update=given)


def test_signers_have_so_long_and_never_longer_than_the_request() -> None:
    assert _replaceable().until(NOW) == NOW + 5_000
    assert _replaceable().until(NOW + LIFETIME_MS - 1) == NOW + LIFETIME_MS
    assert _replaceable(try_ms=None).until(NOW) == NOW + LIFETIME_MS


@pytest.mark.parametrize("code", FailureCode)
def test_other_signers_are_tried_where_they_may_do_better(code: FailureCode) -> None:
    signers_fault = {"expired", "party_fault", "party_refused", "spoilt"}
    failure = Failure.of(code, "because")
    assert _replaceable().may_go_on(failure, NOW) == (code.value in signers_fault)


def test_other_signers_are_not_tried_for_ever() -> None:
    failure = Failure.of(FailureCode.EXPIRED, "because")
    assert _replaceable(tries=2).may_go_on(failure, NOW)
    assert not _replaceable(tries=3).may_go_on(failure, NOW)
    assert not _replaceable(try_ms=None).may_go_on(failure, NOW)
    assert not _replaceable().may_go_on(failure, NOW + LIFETIME_MS - 299)


def test_progress_gives_the_signers_their_time_anew() -> None:
    session = ecdsa_session()
    progress = reporting.share_signed(
        _replaceable(), "party-1", session.share(1), (), now=NOW + 1_000
    )
    assert (progress.status, progress.deadline) == (Status.IN_PROGRESS, NOW + 6_000)


def test_whoever_refuses_is_accused_and_whoever_only_complains_is_not() -> None:
    for code, accused in ((FailureCode.PARTY_REFUSED, {"party-1"}), (FailureCode.SPOILT, set())):
        progress = reporting.session_failed(_replaceable(), "party-1", Failure.of(code, "because"))
        assert progress.accused == accused


@pytest.mark.parametrize("shares", [[b""], [bytes(64)] * 2])
def test_shares_that_are_none_name_their_sender(shares: list[bytes]) -> None:
    progress = _presigned(ecdsa_session(), 1, 3, signature_shares=shares)
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.PARTY_FAULT
    assert progress.failure.culprits == ["party-1"]


def test_a_wrong_share_of_ecdsa_spoils_the_session_and_names_nobody() -> None:
    session = list_session()
    shares = list(session.share(1).signature_shares)
    shares[2] = shares[1]
    progress = _presigned(session, 1, 3, signature_shares=shares)
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.SPOILT
    assert progress.failure.culprits == []
    assert progress.failure.retryable


def test_a_path_that_leads_to_no_key_fails_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody knows one (2^-127); the parties would refuse it first.
    session = ecdsa_session(derivation_path="m/5")
    row, report = received_report(3, session.share(3)), session.share(1)

    def no_child(*_: object) -> None:
        raise ContractError("use the next index")

    monkeypatch.setattr(tasks, "child", no_child)
    progress = reporting.share_signed(session.conduct(), "party-1", report, [row], now=NOW)
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.PARTY_REFUSED
    assert progress.failure.message == "path m/5: use the next index"


def test_nobody_is_silent_while_a_session_waits_for_presignatures() -> None:
    session = ecdsa_session()
    waiting = session.conduct().model_copy(update={"presignatures": []})
    assert reporting.silent_parties(waiting, []) == []
    assert reporting.silent_parties(session.conduct(), []) == ["party-1", "party-3"]


def test_nonces_are_not_heard_where_there_are_presignatures() -> None:
    conduct = ecdsa_session().conduct()
    report = nonces_made([signing_session().commitments[3]], scheme=Scheme.SECP256K1)
    with pytest.raises(ContractError, match="another key or scheme"):
        _check(conduct, "party-3", report)


def test_a_presigned_share_is_heard_with_its_token_and_epoch() -> None:
    session = ecdsa_session()
    _check(session.conduct(), "party-3", session.share(3))
    with pytest.raises(ContractError, match="epoch 1 in a session of epoch 0"):
        _check(session.conduct(), "party-3", session.share(3), epoch=1)
    with pytest.raises(ContractError, match="presignatures_made in a session to sign"):
        _check(session.conduct(), "party-3", sessions.PresignaturesMade(points=[b""]))


def test_a_conduct_with_presignatures_is_stored_and_read_back() -> None:
    for session in (ecdsa_session(), list_session()):
        conduct = session.conduct()
        assert Conduct.model_validate_json(conduct.model_dump_json()) == conduct


def test_the_public_half_of_a_pooled_presignature_is_what_a_session_keeps() -> None:
    pooled = PooledPresignature(
        batch=coins("b"),
        position=7,
        key_session=coins("k"),
        epoch=0,
        signers="1,3",
        point=facts(CURVE).public_key,
    )
    kept = Presigned.of(pooled)
    assert (kept.batch, kept.position, kept.point) == (pooled.batch, 7, pooled.point)
