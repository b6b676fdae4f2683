"""What the parties' reports come to: progress, a result, or somebody's fault."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import sessions
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.primitives import Scheme
from contracts.results import SignResult, Status
from contracts.sessions import NonceCommitment, SessionCreated
from tests.session.builders import (
    LIFETIME_MS,
    NOW,
    contradicting_facts,
    contradicting_share,
    facts,
    nonce,
    nonces_made,
    received_report,
    sealed,
    signing_session,
)
from tests.session.conducts import (
    certified,
    hear,
    heard_share,
    keygen_conduct,
    new_facts,
    share_signed,
    waiting,
)
from workers.protocols import frost
from workers.protocols.groups import group_by_name
from workers.session.coordinator import reports as reporting
from workers.session.coordinator.conduct import Conduct, Progress


def _nonces_made(conduct: Conduct, i: int, fresh: list[NonceCommitment]) -> Progress:
    return reporting.nonces_made(
        conduct,
        f"party-{i}",
        nonces_made(fresh),
        request=b"{}",
        signature=b"",
        now=NOW,
    )


###
### Who may say what
###


def test_reports_that_fit_their_session_are_heard() -> None:
    session, conduct = signing_session(), keygen_conduct()
    failed = sessions.SessionFailed(failure=Failure.of(FailureCode.SPOILT, "why"))
    hear(conduct, "party-2", certified(new_facts(conduct)))
    hear(conduct, "party-2", sessions.PartyJoined())
    hear(conduct, "party-2", failed)
    hear(conduct, "party-2", failed, epoch=9)
    hear(session.conduct(), "party-3", session.share(3))
    hear(session.conduct(), "party-3", nonces_made([session.commitments[3]]))


@pytest.mark.parametrize("changes", [{"key_session": b"k" * 32}, {"scheme": Scheme.SECP256K1}])
def test_nonces_for_another_key_or_scheme_are_not_heard(changes: dict[str, Any]) -> None:
    session = signing_session()
    with pytest.raises(ContractError, match="another key or scheme"):
        hear(session.conduct(), "party-3", nonces_made([session.commitments[3]], **changes))


def test_a_party_that_takes_no_part_is_not_heard() -> None:
    session = signing_session()
    with pytest.raises(ContractError, match="party-2 takes no part"):
        hear(session.conduct(), "party-2", session.share(3))


@pytest.mark.parametrize("kind", ["share_signed", "nonces_made"])
def test_a_report_of_another_epoch_is_not_heard(kind: str) -> None:
    session = signing_session()
    reports: dict[str, sessions.Report] = {
        "share_signed": session.share(3),
        "nonces_made": nonces_made([session.commitments[3]]),
    }
    with pytest.raises(ContractError, match="epoch 1 in a session of epoch 0"):
        hear(session.conduct(), "party-3", reports[kind], epoch=1)


def test_reports_of_the_other_protocol_are_not_heard() -> None:
    session, conduct = signing_session(), keygen_conduct()
    for report in (
        session.share(3),
        nonces_made([session.commitments[3]]),
    ):
        with pytest.raises(ContractError, match="in a session to keygen"):
            hear(conduct, "party-3", report)
    with pytest.raises(ContractError, match="key_certified in a session to sign"):
        hear(session.conduct(), "party-3", certified(facts()))


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


def test_only_who_makes_a_key_can_know_that_its_name_is_taken() -> None:
    told = Failure.of(FailureCode.KEY_EXISTS, "another key-1 was certified before")
    progress = reporting.session_failed(keygen_conduct(), "party-3", told)
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.KEY_EXISTS
    assert not progress.failure.retryable


###
### Nonces
###


def test_nobody_is_invited_before_all_commitments_are_in() -> None:
    session, conduct = waiting()
    first = _nonces_made(conduct, 3, [session.commitments[3]])
    assert (first.status, first.outgoing) == (Status.WAITING, ())
    assert [each.party_id for each in first.conduct.lacking()] == ["party-1"]
    second = _nonces_made(first.conduct, 1, [session.commitments[1]])
    assert second.status is Status.IN_PROGRESS
    invited = [SessionCreated.model_validate_json(each.body) for each in second.outgoing]
    assert [each.commitments for each in invited] == [list(session.commitments.values())] * 2
    assert {(each.issued_at, each.time_left_ms) for each in invited} == {(NOW, LIFETIME_MS)}


def test_the_first_nonce_is_used_and_the_others_are_kept() -> None:
    session, conduct = waiting(1)
    scheme = session.request.scheme
    more = [nonce(3, scheme, label)[1] for label in ("second", "third")]
    progress = _nonces_made(conduct, 3, [session.commitments[3], *more])
    assert progress.conduct.commitments["party-3"] == session.commitments[3]
    assert [each.nonce_id for each in progress.commitments] == [each.nonce_id for each in more]
    assert {(each.party_id, each.scheme, each.epoch) for each in progress.commitments} == {
        ("party-3", "ed25519", 0)
    }


def test_nonces_of_a_party_that_lacked_none_are_all_kept() -> None:
    session, conduct = waiting(1)
    more = nonce(1, session.request.scheme, "second")[1]
    progress = _nonces_made(conduct, 1, [more])
    assert progress.conduct == conduct
    assert [each.nonce_id for each in progress.commitments] == [more.nonce_id]


def test_a_commitment_that_is_none_names_its_sender_when_it_comes() -> None:
    rubbish = NonceCommitment(nonce_id=bytes(32), commitment=b"\xff" * 64)
    session, conduct = waiting(1)
    asked = _nonces_made(conduct, 3, [rubbish])
    report = session.share(3).model_copy(update={"fresh": [rubbish]})
    shared = heard_share(session.conduct(), "party-3", report, ())
    for progress in (asked, shared):
        assert progress.status is Status.FAILED
        assert progress.failure is not None
        assert progress.failure.culprits == ["party-3"]
        assert progress.commitments == ()


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


def test_what_else_was_reported_is_no_share() -> None:
    session = signing_session()
    joined = [received_report(i, sessions.PartyJoined()) for i in (1, 3)]
    for others, status in (
        (joined, Status.IN_PROGRESS),
        ([*joined, received_report(3, session.share(3))], Status.COMPLETED),
    ):
        progress = heard_share(session.conduct(), "party-1", session.share(1), others)
        assert progress.status is status


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


def test_shares_that_the_coordinator_cannot_open_name_their_sender() -> None:
    session = signing_session()
    of_another_session = sealed(session.own_shares(1), 1, signing_session(message=b"other").terms)
    for wrong in (b"", bytes(100), of_another_session, session.share(3).sealed):
        progress = share_signed(session, 1, 3, sealed=wrong)
        assert progress.status is Status.FAILED
        assert progress.failure is not None
        assert progress.failure.code is FailureCode.PARTY_FAULT
        assert progress.failure.culprits == ["party-1"]


def test_a_key_that_contradicts_itself_fails_the_session_and_blames_nobody() -> None:
    session = signing_session()
    conduct = session.conduct().model_copy(update={"facts": contradicting_facts()})
    progress = heard_share(
        conduct,
        "party-1",
        contradicting_share(session, 1),
        [received_report(3, contradicting_share(session, 3))],
    )
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.INTERNAL
    assert progress.failure.culprits == []


###
### Who is silent
###

JOINED = sessions.PartyJoined()


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


def test_a_session_without_an_end_by_its_deadline_has_expired_and_names_the_silent() -> None:
    conduct = keygen_conduct()
    progress = reporting.expired(conduct, [received_report(1, JOINED)])
    assert (progress.conduct, progress.status) == (conduct, Status.EXPIRED)
    assert progress.failure == Failure.of(
        FailureCode.EXPIRED,
        "the deadline passed; nothing was heard of party-2, party-3",
        silent=["party-2", "party-3"],
    )


def test_a_session_of_which_everybody_did_something_has_expired_and_names_nobody() -> None:
    session = signing_session()
    rows = [received_report(i, session.share(i)) for i in (1, 3)]
    assert reporting.expired(session.conduct(), rows).failure == Failure.of(
        FailureCode.EXPIRED, "the deadline passed before the parties were done"
    )


def test_a_session_that_waits_for_nonces_waits_only_for_who_lacks_them() -> None:
    _, conduct = waiting(1)
    assert reporting.silent_parties(conduct, []) == ["party-3"]
