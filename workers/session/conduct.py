"""The coordinator's side of a session: what it remembers, and what each report comes to.

Pure: the handlers in `workers.consumers.reports` load, call, commit and publish.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import Field

from contracts import sessions
from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import Contract, Curve, Hex, Hex32, Id, Scheme, SessionId, UnixMillis
from contracts.requests import KeygenRequest, SignRequest
from contracts.results import KeygenResult, Result, SignedItem, SignResult, Status
from contracts.sessions import Member, NonceCommitment, SessionTerms
from contracts.verification import check_point

from ..protocols.rounds import PartyFaultError, PartyIndex, ProtocolError
from ..store.records import (
    CommitmentRecord,
    KeyRecord,
    Outgoing,
    PooledPresignature,
    Received,
    WaiterRecord,
)
from .batches import batch_id
from .combining import combine_ecdsa, combine_frost, well_formed
from .errors import RefusedError
from .sending import cancellation, instruction
from .step import failure_of, passed_on

MAX_TRIES = 3
"""Sessions for one request. Each may use up presignatures."""
SHORTEST_TRY_MS = 300

_OTHERS_MAY_DO_BETTER = {
    FailureCode.EXPIRED,
    FailureCode.PARTY_FAULT,
    FailureCode.PARTY_REFUSED,
    FailureCode.SPOILT,
}


class Presigned(Contract):
    """The public half of a presignature."""

    batch: Hex32
    position: int
    point: Hex

    @classmethod
    def of(cls, pooled: PooledPresignature) -> Presigned:
        return cls(batch=pooled.batch, position=pooled.position, point=pooled.point)


class First(Contract):
    """The first session of a request. Its owner knows all of them by it, and was told of these
    parties."""

    session_id: SessionId
    parties: list[Id]


class Conduct(Contract):
    """The coordinator's state of a session.

    Attributes:
        join_secret: All join tokens are derived from it; all sessions of a request have the same.
            Secret.
        deadline: The request's, by the coordinator's clock.
        try_ms: How long these signers may make no progress before others are tried; None if there
            are no others.
        tries: Sessions that this request has had, this one included.
        avoided: Parties that were silent, lied or refused in those before.
        facts: Of the key that signs; None for key generation.
        commitments: FROST: party id -> the nonce commitment that this session uses up.
        presignatures: ECDSA: those that this session uses up, one for each message; none as long
            as it waits for them.
        among: Whom the signers are chosen from; None: from all that hold the key.
        succeeded: The first session of the request, in those that follow it.
        joined: Parties whose callers have shown a token.
        begins_at: It waits for callers, until all parties were joined but no longer than this. None
            as soon as its first messages have gone out to the parties.
    """

    request: KeygenRequest | SignRequest
    terms: SessionTerms
    join_secret: Hex32 = Field(repr=False)
    deadline: UnixMillis
    try_ms: int | None = None
    tries: int = 1
    avoided: list[str] = Field(default_factory=list)
    facts: KeyFacts | None = None
    commitments: dict[str, NonceCommitment] = Field(default_factory=dict)
    presignatures: list[Presigned] = Field(default_factory=list)
    among: list[Id] | None = None
    succeeded: First | None = None
    joined: list[Id] = Field(default_factory=list)
    begins_at: UnixMillis | None = None

    @property
    def session_id(self) -> bytes:
        return self.terms.session_id()

    @property
    def first(self) -> First:
        return self.succeeded or First(
            session_id=self.session_id,
            parties=[member.party_id for member in self.terms.members],
        )

    @property
    def public_id(self) -> bytes:
        """The session id that the result has: the one that was announced, if one was."""
        return self.first.session_id if self.request.announce else self.session_id

    @property
    def curve(self) -> Curve:
        request = self.request
        return request.curve if isinstance(request, KeygenRequest) else request.scheme.curve

    @property
    def party_count(self) -> int:
        """All that hold the key, or shall."""
        return len(self.terms.members) if self.facts is None else self.facts.party_count

    def join_token(self, party_id: str) -> bytes:
        message = self.session_id + party_id.encode()
        return hmac.digest(self.join_secret, message, hashlib.sha256)

    def until(self, now: int) -> int:
        """When to give these signers up, if nothing comes from now on."""
        return self.deadline if self.try_ms is None else min(self.deadline, now + self.try_ms)

    def may_go_on(self, failure: Failure, now: int) -> bool:
        """Whether other signers should be tried after this failure."""
        return (
            self.try_ms is not None
            and failure.code in _OTHERS_MAY_DO_BETTER
            and self.tries < MAX_TRIES
            and self.deadline - now >= SHORTEST_TRY_MS
        )

    @property
    def presigned(self) -> bool:
        """Whether this session takes presignatures, and no nonce commitments."""
        return isinstance(self.request, SignRequest) and self.request.scheme is Scheme.ECDSA

    def lacking(self) -> list[Member]:
        """Signers whose nonce commitment is still to come."""
        if self.facts is None or self.presigned:
            return []
        return [member for member in self.terms.members if member.party_id not in self.commitments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a report comes to.

    Attributes:
        deadline: The session's from now on, if it is another one.
        accused: Whom the failure speaks against: the silent, the guilty, those who refused.
        result: Set when the session is over.
        failure: Set when it failed.
        waiter: Set when the session is to wait for presignatures from now on.
    """

    conduct: Conduct
    status: Status
    outgoing: tuple[Outgoing, ...] = ()
    commitments: tuple[CommitmentRecord, ...] = ()
    key: KeyRecord | None = None
    deadline: int | None = None
    accused: frozenset[str] = frozenset()
    result: Result | None = None
    failure: Failure | None = None
    waiter: WaiterRecord | None = None


###
### Beginning
###


def invitations(
    conduct: Conduct, *, request: bytes, signature: bytes, time_left_ms: int
) -> tuple[Outgoing, ...]:
    """`session_created` for every member. Only when nobody lacks a commitment, and there is a
    presignature for each message."""
    commitments = (
        []
        if conduct.facts is None or conduct.presigned
        else [conduct.commitments[member.party_id] for member in conduct.terms.members]
    )
    session_id = conduct.session_id
    return tuple(
        instruction(
            sessions.SessionCreated(
                session_id=session_id,
                terms=conduct.terms,
                commitments=commitments,
                presignatures=_used(conduct.presignatures),
                request=request,
                request_signature=signature,
                join_token=conduct.join_token(member.party_id),
                time_left_ms=max(1, time_left_ms),
            ),
            member.party_id,
            session_id,
        )
        for member in conduct.terms.members
    )


def nonce_wishes(conduct: Conduct, count: int, *, now: int) -> tuple[Outgoing, ...]:
    """`nonces_wanted` for every signer that lacks a commitment."""
    assert conduct.facts is not None
    assert isinstance(conduct.request, SignRequest)
    session_id = conduct.session_id
    return tuple(
        instruction(
            sessions.NoncesWanted(
                batch_id=batch_id(session_id, member.party_id),
                session_id=session_id,
                key_session=conduct.facts.session_id,
                epoch=conduct.facts.epoch,
                scheme=conduct.request.scheme,
                count=count,
                issued_at=now,
            ),
            member.party_id,
            session_id,
        )
        for member in conduct.lacking()
    )


###
### Reports
###

_PROTOCOLS = {
    "share_signed": "sign",
    "nonces_made": "sign",
    "key_certified": "keygen",
    "presignatures_made": "presign",
}
"""Report -> the only protocol that has it."""


def check_report(conduct: Conduct, envelope: Envelope, report: sessions.Report) -> None:
    """Raises ContractError unless the report's sender may say this in this session."""
    if envelope.sender not in {member.party_id for member in conduct.terms.members}:
        raise ContractError(f"{envelope.sender} takes no part in this session")
    if envelope.epoch != conduct.terms.epoch and envelope.kind in {"share_signed", "nonces_made"}:
        raise ContractError(f"epoch {envelope.epoch} in a session of epoch {conduct.terms.epoch}")
    if isinstance(report, sessions.PartyJoined | sessions.ShareSigned) and not hmac.compare_digest(
        report.join_token, conduct.join_token(envelope.sender)
    ):
        raise ContractError(f"{envelope.sender} showed another join token than it was given")
    expected = _PROTOCOLS.get(report.report)
    if expected is not None and conduct.terms.protocol != expected:
        raise ContractError(f"{report.report} in a session to {conduct.terms.protocol}")
    if isinstance(report, sessions.NoncesMade) and (
        report.key_session != conduct.terms.key_session
        or not isinstance(conduct.request, SignRequest)
        or report.scheme is not conduct.request.scheme
    ):
        raise ContractError(f"{envelope.sender} made nonces for another key or scheme")


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
            conduct, request=request, signature=signature, time_left_ms=deadline - now
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
    now: int,
) -> Progress:
    """Combine, if this was the last share."""
    request, facts = conduct.request, conduct.facts
    assert isinstance(request, SignRequest)
    assert facts is not None
    if report.fresh and (conduct.presigned or not well_formed(request.scheme, report.fresh)):
        return _malformed(conduct, sender)
    shares = {
        row.sender: sessions.ShareSigned.model_validate_json(_payload(row)).signature_shares
        for row in received
        if row.slot == report.report
    }
    shares[sender] = report.signature_shares
    pooled = _pooled(conduct, sender, report.fresh)
    members = conduct.terms.members
    if len(shares) < len(members):
        return Progress(
            conduct=conduct,
            status=Status.IN_PROGRESS,
            deadline=conduct.until(now),
            commitments=pooled,
        )

    try:
        signed = _combine(
            conduct,
            request,
            facts,
            {PartyIndex(member.index): shares[member.party_id] for member in members},
        )
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
        result=SignResult(
            request_id=request.request_id,
            client_id=request.client_id,
            session_id=conduct.public_id,
            status=Status.COMPLETED,
            finished_at=now,
            key_id=request.key_id,
            scheme=request.scheme,
            taproot_merkle_root=request.taproot_merkle_root,
            **_signed_fields(request, signed),
            signers=[member.party_id for member in members],
        ),
    )


def key_certified(
    conduct: Conduct,
    sender: str,
    report: sessions.KeyCertified,
    received: Iterable[Received],
    *,
    now: int,
) -> Progress:
    """Believe the key when every party has reported the same facts with all certificates."""
    try:
        _check_facts(conduct, report.facts)
        for member in conduct.terms.members:
            report.facts.verify(member.party_id, report.certificates.get(member.party_id, b""))
    except ContractError as error:
        return Progress(
            conduct=conduct,
            status=Status.FAILED,
            failure=Failure.of(
                FailureCode.PARTY_FAULT,
                f"{sender} reported a key that does not check out: {error}",
                culprits=[sender],
            ),
        )
    reports = {
        row.sender: sessions.KeyCertified.model_validate_json(_payload(row))
        for row in received
        if row.slot == report.report
    }
    reports[sender] = report
    if any(each.facts != report.facts for each in reports.values()):
        return Progress(
            conduct=conduct,
            status=Status.FAILED,
            failure=Failure.of(FailureCode.SPOILT, "the parties certified different keys"),
        )
    if len(reports) < len(conduct.terms.members):
        return Progress(conduct=conduct, status=Status.IN_PROGRESS)

    request, facts = conduct.request, report.facts
    assert isinstance(request, KeygenRequest)
    names = [member.party_id for member in conduct.terms.members]
    certified = CertifiedKey(
        facts=facts, certificates={name: report.certificates[name] for name in names}
    )
    return Progress(
        conduct=conduct,
        status=Status.COMPLETED,
        key=KeyRecord(
            owner=request.owner,
            key_id=request.key_id,
            key_session=facts.session_id,
            epoch=facts.epoch,
            curve=facts.curve.value,
            certified=certified.model_dump_json(),
        ),
        result=KeygenResult(
            request_id=request.request_id,
            client_id=request.client_id,
            session_id=facts.session_id,
            status=Status.COMPLETED,
            finished_at=now,
            key_id=request.key_id,
            curve=request.curve,
            key=certified,
        ),
    )


def session_failed(conduct: Conduct, sender: str, failure: Failure) -> Progress:
    """A party gives up. What it says of others is its word, and is passed on as such."""
    party_ids = [member.party_id for member in conduct.terms.members]
    return Progress(
        conduct=conduct,
        status=Status.FAILED,
        failure=passed_on(failure, sender, party_ids, f"{sender} reports"),
        accused=frozenset({sender} if failure.code is FailureCode.PARTY_REFUSED else ()),
    )


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


def _signed_fields(request: SignRequest, signed: list[SignedItem]) -> dict[str, Any]:
    """Of a result, in the form that the request has."""
    if request.items is not None:
        return {"items": signed}
    (one,) = signed
    return {name: getattr(one, name) for name in SignedItem.model_fields}


###
### Ending
###


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
    named = {
        party_id
        for row in rows
        if row.slot == "session_failed"
        for party_id in sessions.SessionFailed.model_validate_json(_payload(row)).failure.silent
        if party_id in expected and party_id != row.sender
    }
    if named:
        return sorted(named)
    done = {row.sender for row in rows if row.slot in {"key_certified", "share_signed"}}
    return [party_id for party_id in expected if party_id not in done]


def farewells(conduct: Conduct) -> tuple[Outgoing, ...]:
    """Tell every party, and every worker that listens, that the session is over."""
    session_id = conduct.session_id
    over = sessions.SessionCancelled(session_id=session_id)
    return (
        cancellation(session_id),
        *(instruction(over, member.party_id, session_id) for member in conduct.terms.members),
    )


###
### Helpers
###


def _check_facts(conduct: Conduct, facts: KeyFacts) -> None:
    request, terms = conduct.request, conduct.terms
    assert isinstance(request, KeygenRequest)
    wanted: Mapping[str, tuple[object, object]] = {
        "client id": (facts.client_id, request.client_id),
        "key id": (facts.key_id, request.key_id),
        "session": (facts.session_id, conduct.session_id),
        "epoch": (facts.epoch, terms.epoch),
        "curve": (facts.curve, request.curve),
        "threshold": (facts.threshold, request.threshold),
        "holders": (
            [(holder.party_id, holder.identity) for holder in facts.holders],
            [(member.party_id, member.identity) for member in terms.members],
        ),
    }
    for name, (found, expected) in wanted.items():
        if found != expected:
            raise ContractError(f"another {name} than the session's")
    # Combining takes them for points, unchecked.
    for point in (facts.public_key, *(holder.public_share for holder in facts.holders)):
        check_point(facts.curve, point)


def _used(presignatures: Iterable[Presigned]) -> list[sessions.PresignaturesUsed]:
    """Runs of one batch together, in order: a list of 256 names few batches."""
    return [
        sessions.PresignaturesUsed(batch=batch, positions=[each.position for each in run])
        for batch, run in groupby(presignatures, key=lambda each: each.batch)
    ]


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


def _payload(row: Received) -> bytes:
    return UnverifiedEnvelope.from_bytes(row.body).claimed.payload
