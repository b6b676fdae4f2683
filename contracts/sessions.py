"""What coordinator and parties say to each other about a session.

Both are payloads of signed envelopes. Instructions carry the producer's signed request too, and of
the rest a party believes only what it can check: the coordinator's signature keeps others from
giving instructions, it makes none of them true.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from .encoding import digest
from .failures import Failure
from .keys import CertifiedKey, EpochBundle, KeyFacts
from .primitives import (
    MAX_ITEMS,
    VERSION,
    Base64,
    Contract,
    Hex,
    Hex32,
    Id,
    Scheme,
    SessionId,
    UnixMillis,
    Version,
    Versioned,
)
from .readiness import Readiness
from .retirements import Retirement
from .statements import Statement
from .terms import MAX_PRESIGN_BATCH, PresignTerms, ReshareTerms, SessionTerms
from .vouchers import Voucher

CANCEL_TAG = b"warren/cancel-session/v1"
REHEARSAL_TAG = b"warren/rehearsal-session/v1"
MAX_NONCE_BATCH = 64


class NonceCommitment(Contract):
    """A FROST nonce pair that its party has made ahead; to be used once."""

    nonce_id: Hex32
    commitment: Hex
    """The two public nonces, as the protocol encodes them."""


class PresignaturesUsed(Contract):
    """Presignatures of one batch that a signing session uses up."""

    batch: SessionId
    positions: list[Annotated[int, Field(ge=0, lt=MAX_PRESIGN_BATCH)]] = Field(
        min_length=1, max_length=MAX_PRESIGN_BATCH
    )


class InstructionBase(Versioned):
    """What all instructions have."""

    version: Version = 1
    session_id: SessionId
    """Of the session or batch that it is about; its envelope's too."""
    issued_at: UnixMillis
    """By the coordinator's clock, when it was made: sent again later, it says the same."""


class SessionCreated(InstructionBase):
    """Goes to each party of a session. The request's bytes are the producer's own."""

    instruction: Literal["session_created"] = "session_created"
    terms: SessionTerms
    commitments: list[NonceCommitment]
    """For signing one for each member, in their order; empty otherwise. The terms lack them, as
    they may come when the session has its id; FROST itself binds every share to all of them."""
    presignatures: list[PresignaturesUsed] = Field(default_factory=list, max_length=MAX_ITEMS)
    """For ecdsa one presignature for each message, in their order; empty otherwise. Not in the
    terms either: each signs once, and its part of the signature covers what it signs."""
    request: Base64
    request_signature: Base64
    time_left_ms: int = Field(gt=0)
    """Until the deadline, from when this was sent: clocks need not agree."""


class NoncesWanted(InstructionBase):
    """Goes to a party whose commitments ran out while a session waits: `session_id`, in which the
    answer is a report. The party answers a nonce batch once, and not if it forgot what it did when
    this was issued."""

    instruction: Literal["nonces_wanted"] = "nonces_wanted"
    batch_id: SessionId
    key_session: SessionId
    epoch: int = Field(ge=0, lt=2**32)
    scheme: Scheme
    count: int = Field(ge=1, le=MAX_NONCE_BATCH)


class PresignBatch(InstructionBase):
    """Goes to each signer of a batch of presignatures, which is a session of its own."""

    instruction: Literal["presign_batch"] = "presign_batch"
    terms: PresignTerms
    time_left_ms: int = Field(gt=0)


class ReshareCreated(InstructionBase):
    """Goes to each dealer and receiver of a key's next epoch. The request's bytes are the owner's
    own."""

    instruction: Literal["reshare_created"] = "reshare_created"
    terms: ReshareTerms
    predecessor: CertifiedKey
    """The epoch that is dealt from, for those who have no share of it."""
    request: Base64
    request_signature: Base64
    time_left_ms: int = Field(gt=0)


class RehearsalAsked(InstructionBase):
    """Goes to each party that could deal or would receive, when a key's owner asks whether they
    would. Its session, in which the answer is a report, is the one that `rehearsal_session_id`
    gives; the parties keep nothing of it."""

    instruction: Literal["rehearsal_asked"] = "rehearsal_asked"
    terms: list[ReshareTerms] = Field(min_length=1, max_length=2)
    """As those of a first try could be; each has another role for the party that is asked."""
    predecessor: CertifiedKey
    """As in `ReshareCreated`."""
    request: Base64
    """Of a `RehearseRequest`."""
    request_signature: Base64


class EpochProven(InstructionBase):
    """Goes to each former and each new holder of a key whose session has made an epoch of it, again
    until it has told that the lower ones are deleted; and to who seems not to know of it. Its
    bundle convinces, whoever shows it."""

    instruction: Literal["epoch_proven"] = "epoch_proven"
    bundle: EpochBundle
    before: list[EpochBundle] = Field(default_factory=list)
    """Those that lead to it, one from the other, for a party that may have missed several."""


class VoucherAsked(InstructionBase):
    """Goes to the other holders of a key when one of them has restored its share from a backup, and
    asked for `Voucher`s. `session_id` is the number that it asked with."""

    instruction: Literal["voucher_asked"] = "voucher_asked"
    asked_by: Id
    key_session: SessionId
    epoch: int = Field(ge=0, lt=2**32)


class VoucherShown(InstructionBase):
    """Goes to who asked for a voucher. It convinces, whoever shows it."""

    instruction: Literal["voucher_shown"] = "voucher_shown"
    voucher: Voucher


class SessionCancelled(InstructionBase):
    """Goes to every party of a session, and by broadcast to every worker.

    It carries no request: a session that ends early may waste work, and cannot touch a key that
    exists.
    """

    instruction: Literal["session_cancelled"] = "session_cancelled"


class RequestCancelled(InstructionBase):
    """Goes to every party that holds the key of a request which is to come to nothing, or to all
    where nobody knows the request. The cancel's bytes are the canceller's own; its session, in
    which the answer is a report, is the one that `cancel_session_id` gives."""

    instruction: Literal["request_cancelled"] = "request_cancelled"
    request: Base64
    """Of a `CancelRequest`."""
    request_signature: Base64


Instruction = Annotated[
    SessionCreated
    | NoncesWanted
    | PresignBatch
    | ReshareCreated
    | RehearsalAsked
    | EpochProven
    | VoucherAsked
    | VoucherShown
    | SessionCancelled
    | RequestCancelled,
    Field(discriminator="instruction"),
]
INSTRUCTION: TypeAdapter[Instruction] = TypeAdapter(Instruction)


class PartyJoined(Contract):
    """This party has accepted the session that it was told of."""

    report: Literal["party_joined"] = "party_joined"


class KeyCertified(Contract):
    """This party has its share and everyone's certificate."""

    report: Literal["key_certified"] = "key_certified"
    facts: KeyFacts
    certificates: dict[Id, Base64]


class ShareSigned(Contract):
    """This party's signature share of each message, in their order, and a fresh nonce commitment
    for the one it used up, where the scheme has them."""

    report: Literal["share_signed"] = "share_signed"
    sealed: Base64
    """The shares, as the protocol encodes them: 32 bytes each for FROST, 64 for ecdsa. For the
    coordinator alone, or a signer could choose its own by the others'."""
    fresh: list[NonceCommitment] = Field(max_length=1)


class NoncesMade(Contract):
    """The answer to `NoncesWanted`, in the session that waits."""

    report: Literal["nonces_made"] = "nonces_made"
    key_session: SessionId
    scheme: Scheme
    fresh: list[NonceCommitment] = Field(min_length=1, max_length=MAX_NONCE_BATCH)


class PresignaturesMade(Contract):
    """This party has its part of every presignature of a batch. The coordinator counts them in
    when all signers have reported the same points."""

    report: Literal["presignatures_made"] = "presignatures_made"
    points: list[Hex] = Field(min_length=1, max_length=MAX_PRESIGN_BATCH)
    """The public nonce of each presignature, compressed."""


class EpochCertified(Contract):
    """This party has seen all that proves a new epoch, but for what the coordinator has itself: see
    `keys.EpochBundle`."""

    report: Literal["epoch_certified"] = "epoch_certified"
    key: CertifiedKey
    possessions: dict[Id, Hex]
    dealt: dict[Id, Base64]


class RehearsalAnswered(Contract):
    """Whether this party would take part in a reshare."""

    report: Literal["rehearsal_answered"] = "rehearsal_answered"
    readiness: Readiness


class CancelRefusal(StrEnum):
    """Why a party states nothing of a request that it was to refuse."""

    ALREADY_SIGNED = "already_signed"
    """It has committed a signature share or a certificate, sent or not."""
    FORGOTTEN = "forgotten"
    """It may have, and remembers no more: too long ago, or before it lost its memory."""
    OVERLOADED = "overloaded"
    """It remembers as many cancellations of this owner as it may."""
    NOT_AUTHORISED = "not_authorised"
    """The cancel does not check out here, or is of another time."""


class CancelAnswered(Contract):
    """This party refuses the request from now on, whatever else it refuses, and has a statement or
    says why not. Unless it is `not_authorised` or `overloaded`: then nothing has changed."""

    report: Literal["cancel_answered"] = "cancel_answered"
    statement: Statement | None = None
    refused: CancelRefusal | None = None

    @model_validator(mode="after")
    def _one(self) -> CancelAnswered:
        if (self.statement is None) == (self.refused is None):
            raise ValueError("give either statement or refused")
        return self


class SessionFailed(Contract):
    """This party gave the session up; `failure` says why and whom it blames."""

    report: Literal["session_failed"] = "session_failed"
    failure: Failure


class VouchersWanted(Contract):
    """This party has restored a share from a backup, and does not use it before enough of the other
    holders say that they know of no later epoch. The envelope's session is the number that it asks
    with."""

    report: Literal["vouchers_wanted"] = "vouchers_wanted"
    key_session: SessionId
    epoch: int = Field(ge=0, lt=2**32)


class VoucherGiven(Contract):
    """For the party that asked for it."""

    report: Literal["voucher_given"] = "voucher_given"
    voucher: Voucher


class EpochsRetired(Contract):
    """This party has deleted what it had of a key's earlier epochs. Told when it has, and again
    whenever it is shown what proves the later epoch."""

    report: Literal["epochs_retired"] = "epochs_retired"
    retirement: Retirement


class PartyAlive(Contract):
    """A sign of life, which a party gives every few seconds."""

    report: Literal["party_alive"] = "party_alive"
    at: int


Report = Annotated[
    PartyJoined
    | KeyCertified
    | EpochCertified
    | ShareSigned
    | NoncesMade
    | PresignaturesMade
    | RehearsalAnswered
    | CancelAnswered
    | SessionFailed
    | VouchersWanted
    | VoucherGiven
    | EpochsRetired
    | PartyAlive,
    Field(discriminator="report"),
]
REPORT: TypeAdapter[Report] = TypeAdapter(Report)


def cancel_session_id(request_digest: bytes) -> bytes:
    """Of the session that gathers what parties say to a cancel: the cancel's bytes give it."""
    return digest(CANCEL_TAG, VERSION.to_bytes(1), request_digest)


def rehearsal_session_id(request_digest: bytes) -> bytes:
    """Of the session that gathers what parties say to a rehearsal: the request's bytes give it."""
    return digest(REHEARSAL_TAG, VERSION.to_bytes(1), request_digest)
