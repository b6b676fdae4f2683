"""What the coordinator remembers of a session, and what happens to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import Contract, Curve, Hex, Hex32, Id, Scheme, SessionId, UnixMillis
from contracts.requests import MAX_TRIES, KeygenRequest, ReshareRequest, SignRequest
from contracts.results import Result, Status
from contracts.sessions import NonceCommitment
from contracts.terms import Member, ReshareTerms, SessionTerms

from ...store.records import (
    CommitmentRecord,
    KeyEpoch,
    KeyRecord,
    Outgoing,
    PooledPresignature,
    RetirementRecord,
    WaiterRecord,
)
from .refusing import Refusal

SHORTEST_TRY_MS = 300

_OTHERS_MAY_DO_BETTER = {
    FailureCode.EXPIRED,
    FailureCode.PARTY_FAULT,
    FailureCode.PARTY_REFUSED,
    FailureCode.SPOILT,
    FailureCode.STALE_EPOCH,
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
    terms: SessionTerms | ReshareTerms | None = None
    """None only in what was stored before announcements had terms."""


class Conduct(Contract):
    """The coordinator's state of a session.

    Attributes:
        join_secret: Callers' tokens are derived from it; all sessions of a request have the same.
            Secret.
        deadline: The request's, by the coordinator's clock.
        try_ms: How long these signers may make no progress before others are tried; None if there
            are no others.
        tries: Sessions that this request has had, this one included.
        avoided: Parties that were silent or lied in those before.
        refusals: What parties refused in those before.
        facts: Of the key that signs, or whose shares are made anew; None for key generation.
        predecessor: Of a reshare, the epoch with these facts.
        begun_at: Of a reshare, when this try began, by the coordinator's clock.
        commitments: FROST: party id -> the nonce commitment that this session uses up.
        presignatures: ECDSA: those that this session uses up, one for each message; none as long
            as it waits for them.
        among: Whom the signers are chosen from; None: from all that hold the key.
        succeeded: The first session of the request, in those that follow it.
        joined: Parties whose callers have shown a token.
        begins_at: It waits for callers, until all parties were joined but no longer than this. None
            as soon as its first messages have gone out to the parties.
    """

    request: KeygenRequest | ReshareRequest | SignRequest = Field(discriminator="operation")
    terms: SessionTerms | ReshareTerms
    join_secret: Hex32 = Field(repr=False)
    deadline: UnixMillis
    try_ms: int | None = None
    tries: int = 1
    avoided: list[str] = Field(default_factory=list)
    refusals: list[Refusal] = Field(default_factory=list)
    facts: KeyFacts | None = None
    predecessor: CertifiedKey | None = None
    begun_at: UnixMillis | None = None
    commitments: dict[str, NonceCommitment] = Field(default_factory=dict)
    presignatures: list[Presigned] = Field(default_factory=list)
    among: list[Id] | None = None
    succeeded: First | None = None
    joined: list[Id] = Field(default_factory=list)
    begins_at: UnixMillis | None = None

    @model_serializer(mode="wrap")
    def _readable_by_the_version_before(self, stored: SerializerFunctionWrapHandler) -> Any:
        """It knows of no refusals and no reshares, and works beside this one during an upgrade."""
        fields = stored(self)
        for name in ("refusals", "predecessor", "begun_at"):
            if not getattr(self, name):
                del fields[name]
        return fields

    @property
    def session_id(self) -> bytes:
        return self.terms.session_id()

    @property
    def first(self) -> First:
        return self.succeeded or First(
            session_id=self.session_id,
            parties=[member.party_id for member in self.terms.members],
            terms=self.terms,
        )

    @property
    def announces(self) -> bool:
        """Whether its owner is told of it before it has a result."""
        return self.request.announce

    @property
    def public_id(self) -> bytes:
        """The session id that the result has: the one that was announced, if one was."""
        return self.first.session_id if self.announces else self.session_id

    @property
    def curve(self) -> Curve:
        match self.request:
            case KeygenRequest(curve=curve):
                return curve
            case SignRequest(scheme=scheme):
                return scheme.curve
            case ReshareRequest():
                assert self.facts is not None
                return self.facts.curve
            case _:
                assert_never(self.request)

    @property
    def party_count(self) -> int:
        """All that hold the key, or shall."""
        if isinstance(self.request, ReshareRequest):
            return len(self.request.parties)
        return len(self.terms.members) if self.facts is None else self.facts.party_count

    def until(self, now: int) -> int:
        """When to give these signers up, if nothing comes from now on."""
        return self.deadline if self.try_ms is None else min(self.deadline, now + self.try_ms)

    def may_go_on(self, failure: Failure, now: int) -> bool:
        """Whether others should be tried after this failure, or the same by another epoch."""
        most = self.request.tries if isinstance(self.request, ReshareRequest) else MAX_TRIES
        return (
            (self.try_ms is not None or failure.code is FailureCode.STALE_EPOCH)
            and failure.code in _OTHERS_MAY_DO_BETTER
            and self.tries < most
            and self.deadline - now >= SHORTEST_TRY_MS
        )

    @property
    def presigned(self) -> bool:
        """Whether this session takes presignatures, and no nonce commitments."""
        return isinstance(self.request, SignRequest) and self.request.scheme is Scheme.ECDSA

    def lacking(self) -> list[Member]:
        """Signers whose nonce commitment is still to come."""
        if self.facts is None or self.presigned or self.predecessor is not None:
            return []
        return [member for member in self.terms.members if member.party_id not in self.commitments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a report comes to.

    Attributes:
        epoch, made, retirements: As `CoordinatorChange` has them.
        deadline: The session's from now on, if it is another one.
        refusal: Set when it failed because a party refused.
        result: Set when the session is over.
        failure: Set when it failed.
        waiter: Set when the session is to wait for presignatures from now on.
    """

    conduct: Conduct
    status: Status
    outgoing: tuple[Outgoing, ...] = ()
    commitments: tuple[CommitmentRecord, ...] = ()
    key: KeyRecord | None = None
    epoch: KeyEpoch | None = None
    made: str | None = None
    retirements: tuple[RetirementRecord, ...] = ()
    deadline: int | None = None
    refusal: Refusal | None = None
    result: Result | None = None
    failure: Failure | None = None
    waiter: WaiterRecord | None = None
