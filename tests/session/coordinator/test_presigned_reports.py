"""What shares made with presignatures come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts import sessions
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.primitives import Scheme
from contracts.results import SignedItem, SignResult, Status
from contracts.verification import check_signature, child
from tests.session.builders import NOW, facts, nonces_made, received_report, signing_session
from tests.session.conducts import hear, heard_share, replaceable, share_signed
from tests.session.ecdsa_sessions import (
    CURVE,
    DIGEST,
    ITEMS,
    LIST_PLACES,
    ecdsa_session,
    list_session,
)
from workers.protocols import dkls23
from workers.session import tasks
from workers.session.coordinator import reports as reporting
from workers.session.coordinator.refusing import Refusal


def _verified(made: SignedItem, asked: dict[str, Any]) -> None:
    path = asked["derivation_path"]
    key = facts(CURVE).public_key if path is None else child(facts(CURVE), path).public_key
    assert (made.message, made.derivation_path) == (asked["message"], path)
    assert made.public_key == key
    check_signature(Scheme.ECDSA, key, made.message, made.signature)
    assert made.ecdsa is not None


###
### Results
###


def test_the_last_share_makes_the_result_of_one_message() -> None:
    session = ecdsa_session(derivation_path="m/5")
    first = share_signed(session, 3)
    assert (first.status, first.result, first.failure) == (Status.IN_PROGRESS, None, None)
    last = share_signed(session, 1, 3)
    assert (last.status, last.commitments) == (Status.COMPLETED, ())
    assert isinstance(last.result, SignResult)
    assert last.result.items is None
    assert last.result.signers == ["party-1", "party-3"]
    (one,) = last.result.signed
    _verified(one, {"message": DIGEST, "derivation_path": "m/5"})


def test_the_last_share_makes_the_result_of_a_list_in_its_order() -> None:
    session = list_session()
    assert len(LIST_PLACES) == len(ITEMS)
    last = share_signed(session, 3, 1)
    assert isinstance(last.result, SignResult)
    assert (last.result.message, last.result.signature, last.result.ecdsa) == (None, None, None)
    assert last.result.items is not None
    assert len(last.result.items) == len(ITEMS)
    for made, asked in zip(last.result.items, ITEMS, strict=True):
        _verified(made, asked)


def test_a_list_of_one_has_a_result_in_the_form_of_a_list() -> None:
    session = ecdsa_session(message=None, items=ITEMS[:1])
    last = share_signed(session, 3, 1)
    assert isinstance(last.result, SignResult)
    assert last.result.items is not None
    (one,) = last.result.items
    _verified(one, ITEMS[0])


###
### Faults
###


def test_a_fresh_commitment_beside_ecdsa_names_its_sender() -> None:
    fresh = list(signing_session().share(1).fresh)
    progress = share_signed(ecdsa_session(), 1, 3, fresh=fresh)
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.culprits == ["party-1"]


@pytest.mark.parametrize("shares", [[b""], [bytes(64)] * 2])
def test_shares_that_are_none_name_their_sender(shares: list[bytes]) -> None:
    progress = share_signed(ecdsa_session(), 1, 3, signature_shares=shares)
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.PARTY_FAULT
    assert progress.failure.culprits == ["party-1"]


def test_a_wrong_share_of_ecdsa_spoils_the_session_and_names_nobody() -> None:
    session = list_session()
    shares = list(session.own_shares(1))
    shares[2] = shares[1]
    progress = share_signed(session, 1, 3, signature_shares=shares)
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.SPOILT
    assert progress.failure.culprits == []
    assert progress.failure.retryable


def test_a_signer_who_negates_s_spoils_the_session_and_others_may_sign() -> None:
    """It has seen the other's shares. r and s verify; the recovery id leads to a foreign key."""
    session = list_session()
    seen, own = (
        [dkls23.SignatureShare.from_bytes(each) for each in session.own_shares(i)] for i in (3, 1)
    )
    turned = replace(own[1], w=-(own[1].w + seen[1].w) - seen[1].w)
    shares = [each.to_bytes() for each in (own[0], turned, *own[2:])]
    progress = share_signed(session, 1, 3, signature_shares=shares)
    assert progress.status is Status.FAILED
    assert progress.result is None
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.SPOILT
    assert "recovery id" in progress.failure.message
    assert progress.failure.culprits == []
    assert progress.failure.retryable


def test_a_path_that_leads_to_no_key_fails_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody knows one (2^-127); the parties would refuse it first.
    session = ecdsa_session(derivation_path="m/5")
    row, report = received_report(3, session.share(3)), session.share(1)

    def no_child(*_: object) -> None:
        raise ContractError("use the next index")

    monkeypatch.setattr(tasks, "child", no_child)
    progress = heard_share(session.conduct(), "party-1", report, [row])
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.PARTY_REFUSED
    assert progress.failure.message == "path m/5: use the next index"


###
### Who may say what, and who is silent
###


def test_nonces_are_not_heard_where_there_are_presignatures() -> None:
    conduct = ecdsa_session().conduct()
    report = nonces_made([signing_session().commitments[3]], scheme=Scheme.SECP256K1)
    with pytest.raises(ContractError, match="another key or scheme"):
        hear(conduct, "party-3", report)


def test_a_presigned_share_is_heard_with_its_token_and_epoch() -> None:
    session = ecdsa_session()
    hear(session.conduct(), "party-3", session.share(3))
    with pytest.raises(ContractError, match="epoch 1 in a session of epoch 0"):
        hear(session.conduct(), "party-3", session.share(3), epoch=1)
    with pytest.raises(ContractError, match="presignatures_made in a session to sign"):
        hear(session.conduct(), "party-3", sessions.PresignaturesMade(points=[b""]))


def test_nobody_is_silent_while_a_session_waits_for_presignatures() -> None:
    session = ecdsa_session()
    waiting = session.conduct().model_copy(update={"presignatures": []})
    assert reporting.silent_parties(waiting, []) == []
    assert reporting.expired(waiting, []).failure == Failure.of(
        FailureCode.EXPIRED, "the deadline passed before presignatures were made"
    )
    assert reporting.silent_parties(session.conduct(), []) == ["party-1", "party-3"]


###
### Other signers
###


def test_progress_gives_the_signers_their_time_anew() -> None:
    session = ecdsa_session()
    progress = heard_share(replaceable(), "party-1", session.share(1), (), now=NOW + 1_000)
    assert (progress.status, progress.deadline) == (Status.IN_PROGRESS, NOW + 6_000)


def test_whom_a_party_refuses_is_remembered_and_is_no_culprit() -> None:
    for code, culprits in (
        (FailureCode.PARTY_REFUSED, []),
        (FailureCode.SPOILT, ["party-3"]),
    ):
        failure = Failure.of(code, "because", culprits=["party-3", "party-1", "ghost"])
        progress = reporting.session_failed(replaceable(), "party-1", failure)
        assert progress.failure is not None
        assert progress.failure.culprits == culprits
        refusal = Refusal(party_id="party-1", because=["party-3"], signers=["party-1", "party-3"])
        assert progress.refusal == (None if culprits else refusal)
