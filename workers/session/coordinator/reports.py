"""What each report of a party comes to, for the coordinator's side of a session.

Pure: the handlers in `workers.coordinator.request_sessions` load, call, commit and publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, assert_never

from contracts import sessions
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.identity import Identity, PublicIdentity
from contracts.keys import KeyFacts
from contracts.requests import KeygenRequest, SignRequest
from contracts.results import SignedItem, SignResult, Status
from contracts.sessions import NonceCommitment

from ...protocols.rounds import Blame, PartyFaultError, PartyIndex, ProtocolError
from ...store.records import CommitmentRecord, Received
from .. import sealed_shares
from ..errors import RefusedError
from ..failures import failure_of
from ..protocols import PROTOCOL_OF_REPORT
from .combining import combine_ecdsa, combine_frost, well_formed
from .conduct import Conduct, Progress
from .instructions import invitations
from .refusing import refusal_of
from .reported_failures import passed_on, payload, said_to_be_silent

RequestReport: TypeAlias = (
    sessions.PartyJoined
    | sessions.KeyCertified
    | sessions.EpochCertified
    | sessions.ShareSigned
    | sessions.NoncesMade
    | sessions.SessionFailed
)
"""What parties say in the session of a request."""


_DONE = {"key_certified", "epoch_certified", "share_signed"}


def check_report(conduct: Conduct, envelope: Envelope, report: sessions.Report) -> RequestReport:
    """The report, as one that this session has.

    Raises:
        ContractError: its sender may not say this in this session.
    """
    sender, protocol = envelope.sender, conduct.terms.protocol
    if sender not in {member.party_id for member in conduct.terms.members}:
        raise ContractError(f"{sender} takes no part in this session")
    match report:
        case sessions.PartyJoined() | sessions.SessionFailed():
            pass
        case sessions.ShareSigned():
            _check_epoch(conduct, envelope)
            _check_protocol(conduct, report)
        case sessions.NoncesMade():
            _check_epoch(conduct, envelope)
            _check_protocol(conduct, report)
            _check_nonces(conduct, sender, report)
        case sessions.KeyCertified() | sessions.EpochCertified():
            _check_protocol(conduct, report)
        case (
            sessions.PresignaturesMade()
            | sessions.CancelAnswered()
            | sessions.RehearsalAnswered()
            | sessions.VouchersWanted()
            | sessions.VoucherGiven()
            | sessions.EpochsRetired()
            | sessions.PartyAlive()
        ):
            raise ContractError(f"{report.report} in a session to {protocol}")
        case _:
            assert_never(report)
    return report


def nonces_made(
    conduct: Conduct,
    sender: str,
    report: sessions.NoncesMade,
    *,
    request: bytes,
    signature: bytes,
    now: int,
) -> Progress:
    """Use the first commitment for this session, keep the others for later ones."""
    if not well_formed(report.scheme, report.fresh):
        return _malformed(conduct, sender)
    first, *others = report.fresh
    if sender in conduct.commitments:
        others = report.fresh
    else:
        conduct = conduct.model_copy(update={"commitments": {**conduct.commitments, sender: first}})
    ready = not conduct.lacking()
    deadline = conduct.until(now)
    return Progress(
        conduct=conduct,
        deadline=deadline,
        status=Status.IN_PROGRESS if ready else Status.WAITING,
        outgoing=invitations(
            conduct, request=request, signature=signature, time_left_ms=deadline - now, now=now
        )
        if ready
        else (),
        commitments=_pooled(conduct, sender, others),
    )


def share_signed(
    conduct: Conduct,
    sender: str,
    report: sessions.ShareSigned,
    received: Iterable[Received],
    *,
    identities: Sequence[Identity],
    now: int,
) -> Progress:
    """Combine, if this was the last share.

    Arguments:
        identities: The coordinator's own, one of which the shares are sealed for.
    """
    request, facts = conduct.request, conduct.facts
    assert isinstance(request, SignRequest)
    assert facts is not None
    if report.fresh and (conduct.presigned or not well_formed(request.scheme, report.fresh)):
        return _malformed(conduct, sender)
    sealed = {
        row.sender: sessions.ShareSigned.model_validate_json(payload(row)).sealed
        for row in received
        if row.slot == report.report
    }
    sealed[sender] = report.sealed
    pooled = _pooled(conduct, sender, report.fresh)
    members = conduct.terms.members
    if len(sealed) < len(members):
        return Progress(
            conduct=conduct,
            status=Status.IN_PROGRESS,
            deadline=conduct.until(now),
            commitments=pooled,
        )

    try:
        signed = _combine(conduct, request, facts, _unsealed(conduct, sealed, identities))
    except PartyFaultError as error:
        culprits = [member.party_id for member in members if member.index in error.culprits]
        return Progress(
            conduct=conduct,
            status=Status.FAILED,
            commitments=pooled,
            failure=Failure.of(
                FailureCode.PARTY_FAULT,
                f"{', '.join(culprits)} sent a wrong signature share ({error.check})",
                culprits=culprits,
            ),
        )
    except (ProtocolError, RefusedError) as error:
        # FROST: not the signers' doing, for all parties together certified a key that contradicts
        # itself. ECDSA: somebody lied here or in presigning, and nothing shows who.
        return Progress(
            conduct=conduct,
            status=Status.FAILED,
            commitments=pooled,
            failure=failure_of(error, members, round_=0),
        )
    return Progress(
        conduct=conduct,
        status=Status.COMPLETED,
        commitments=pooled,
        result=_signed_result(conduct, request, signed, now),
    )


def session_failed(conduct: Conduct, sender: str, failure: Failure) -> Progress:
    """A party gives up. What it says of others is its word, and is passed on as such: whom it
    refuses is no culprit, and stands in its message only."""
    party_ids = [member.party_id for member in conduct.terms.members]
    known = {FailureCode.KEY_EXISTS} if isinstance(conduct.request, KeygenRequest) else ()
    believed = passed_on(failure, sender, party_ids, f"{sender} reports", known=known)
    refusal = refusal_of(believed, sender, party_ids)
    if refusal is not None:
        believed = believed.model_copy(update={"culprits": []})
    return Progress(conduct=conduct, status=Status.FAILED, failure=believed, refusal=refusal)


def _unsealed(
    conduct: Conduct, sealed: Mapping[str, bytes], identities: Sequence[Identity]
) -> dict[PartyIndex, list[bytes]]:
    """Raises PartyFaultError naming everyone whose shares do not open."""
    blame = Blame()
    shares = {}
    for member in conduct.terms.members:
        index = PartyIndex(member.index)
        try:
            shares[index] = sealed_shares.unseal(
                sealed[member.party_id],
                party_id=member.party_id,
                party=PublicIdentity(member.identity),
                identities=identities,
                session_id=conduct.session_id,
            )
        except ContractError:
            blame.add(index, "seal")
    blame.raise_if_any()
    return shares


def _combine(
    conduct: Conduct,
    request: SignRequest,
    facts: KeyFacts,
    shares: Mapping[PartyIndex, list[bytes]],
) -> list[SignedItem]:
    if not conduct.presigned:
        commitments = {
            PartyIndex(member.index): conduct.commitments[member.party_id].commitment
            for member in conduct.terms.members
        }
        return combine_frost(facts, request, commitments, shares)
    return combine_ecdsa(
        facts,
        request,
        conduct.presignatures,
        shares,
        session_id=conduct.session_id,
        request_digest=conduct.terms.request_digest,
    )


def _signed_result(
    conduct: Conduct, request: SignRequest, signed: list[SignedItem], now: int
) -> SignResult:
    return SignResult(
        request_id=request.request_id,
        client_id=request.client_id,
        session_id=conduct.public_id,
        request_digest=conduct.terms.request_digest,
        status=Status.COMPLETED,
        finished_at=now,
        key_id=request.key_id,
        scheme=request.scheme,
        taproot_merkle_root=request.taproot_merkle_root,
        **_signed_fields(request, signed),
        signers=[member.party_id for member in conduct.terms.members],
    )


def _signed_fields(request: SignRequest, signed: list[SignedItem]) -> dict[str, Any]:
    """Of a result, in the form that the request has."""
    if request.items is not None:
        return {"items": signed}
    (one,) = signed
    return {name: getattr(one, name) for name in SignedItem.model_fields}


def expired(conduct: Conduct, received: Iterable[Received]) -> Progress:
    """The deadline and the parties' grace have passed."""
    silent = silent_parties(conduct, received)
    if conduct.presigned and not conduct.presignatures:
        # Its own parties were not asked yet.
        why = "the deadline passed before presignatures were made"
    elif silent:
        why = f"the deadline passed; nothing was heard of {', '.join(silent)}"
    else:
        why = "the deadline passed before the parties were done"
    return Progress(
        conduct=conduct,
        status=Status.EXPIRED,
        failure=Failure.of(FailureCode.EXPIRED, why, silent=silent),
    )


def silent_parties(conduct: Conduct, received: Iterable[Received]) -> list[str]:
    """Who kept a session from finishing, as far as anyone can say: those of whom nothing was
    heard at all; else those whom the others name; else those who did not get to their end. None
    while it waits for callers or presignatures: then nobody was asked."""
    if conduct.begins_at is not None or (conduct.presigned and not conduct.presignatures):
        return []
    rows = tuple(received)
    expected = [member.party_id for member in conduct.lacking() or conduct.terms.members]
    heard = {row.sender for row in rows}
    if unheard := [party_id for party_id in expected if party_id not in heard]:
        return unheard
    if named := said_to_be_silent(rows, expected):
        return named
    done = {row.sender for row in rows if row.slot in _DONE}
    return [party_id for party_id in expected if party_id not in done]


###
### Helpers
###


def _check_epoch(conduct: Conduct, envelope: Envelope) -> None:
    if envelope.epoch != conduct.terms.epoch:
        raise ContractError(f"epoch {envelope.epoch} in a session of epoch {conduct.terms.epoch}")


def _check_protocol(conduct: Conduct, report: RequestReport) -> None:
    if conduct.terms.protocol != PROTOCOL_OF_REPORT[report.report]:
        raise ContractError(f"{report.report} in a session to {conduct.terms.protocol}")


def _check_nonces(conduct: Conduct, sender: str, report: sessions.NoncesMade) -> None:
    request = conduct.request
    assert isinstance(request, SignRequest)
    if report.key_session != conduct.terms.key_session or report.scheme is not request.scheme:
        raise ContractError(f"{sender} made nonces for another key or scheme")


def _malformed(conduct: Conduct, sender: str) -> Progress:
    return Progress(
        conduct=conduct,
        status=Status.FAILED,
        failure=Failure.of(
            FailureCode.PARTY_FAULT,
            f"{sender} announced a nonce commitment that is none",
            culprits=[sender],
        ),
    )


def _pooled(
    conduct: Conduct, sender: str, fresh: Iterable[NonceCommitment]
) -> tuple[CommitmentRecord, ...]:
    assert conduct.facts is not None
    assert isinstance(conduct.request, SignRequest)
    return tuple(
        CommitmentRecord(
            nonce_id=each.nonce_id,
            key_session=conduct.facts.session_id,
            epoch=conduct.facts.epoch,
            scheme=conduct.request.scheme.value,
            party_id=sender,
            commitment=each.commitment,
        )
        for each in fresh
    )
