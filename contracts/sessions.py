"""What coordinator and parties say to each other about a session.

Instructions go out unsigned: they carry the producer's signed request, and a party believes
nothing else in them that it cannot check. Reports come back as payloads of signed envelopes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from .encoding import digest, pack
from .failures import Failure
from .keys import KeyFacts
from .primitives import (
    MAX_ITEMS,
    MAX_PARTIES,
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

SESSION_TAG = b"warren/session/v1"
PRESIGN_TAG = b"warren/presign-session/v1"
MAX_NONCE_BATCH = 64
MAX_PRESIGN_BATCH = 64


class Member(Contract):
    """A party of a session with its index in the key (1..n) and its public identity."""

    party_id: Id
    index: int = Field(ge=1, le=MAX_PARTIES)
    identity: Base64


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


class SessionTerms(Contract):
    """What makes a session this one and no other; `session_id` is a hash over it."""

    protocol: Literal["keygen", "sign"]
    request_digest: Hex32
    key_session: SessionId | None
    """The key's own `KeyFacts.session_id`; None for key generation."""
    epoch: int = Field(ge=0, lt=2**32)
    threshold: int = Field(ge=2, le=MAX_PARTIES)
    members: list[Member] = Field(min_length=2, max_length=MAX_PARTIES)
    """In ascending order of index: all parties of a new key, or the signers."""
    salt: Hex32
    """The coordinator's fresh randomness: a second try is another session."""

    def session_id(self) -> bytes:
        """The id that these terms and no others have."""
        return digest(
            SESSION_TAG,
            VERSION.to_bytes(1),
            self.protocol.encode(),
            self.request_digest,
            self.key_session or b"",
            self.epoch.to_bytes(4),
            self.threshold.to_bytes(1),
            _roster(self.members),
            self.salt,
        )


class PresignTerms(Contract):
    """What makes a batch of presignatures this one. It serves no request: whatever is signed with
    it one day, its signers verify then."""

    key_session: SessionId
    epoch: int = Field(ge=0, lt=2**32)
    members: list[Member] = Field(min_length=2, max_length=MAX_PARTIES)
    """The signers, in ascending order of index: as many as the key's threshold."""
    count: int = Field(ge=1, le=MAX_PRESIGN_BATCH)
    issued_at: UnixMillis
    """By the coordinator's clock. A party that has forgotten a batch must not begin it again."""
    salt: Hex32

    def session_id(self) -> bytes:
        """The id that these terms and no others have."""
        return digest(
            PRESIGN_TAG,
            VERSION.to_bytes(1),
            self.key_session,
            self.epoch.to_bytes(4),
            _roster(self.members),
            self.count.to_bytes(1),
            self.issued_at.to_bytes(8),
            self.salt,
        )


class SessionCreated(Versioned):
    """Goes to each party of a session. The request's bytes are the producer's own."""

    instruction: Literal["session_created"] = "session_created"
    version: Version = 1
    session_id: SessionId
    terms: SessionTerms
    commitments: list[NonceCommitment]
    """For signing one for each member, in their order; empty otherwise. The terms lack them, as
    they may come when the session has its id; FROST itself binds every share to all of them."""
    presignatures: list[PresignaturesUsed] = Field(default_factory=list, max_length=MAX_ITEMS)
    """For ecdsa one presignature for each message, in their order; empty otherwise. Not in the
    terms either: each signs once, and its part of the signature covers what it signs."""
    request: Base64
    request_signature: Base64
    join_token: Hex32 = Field(repr=False)
    time_left_ms: int = Field(gt=0)
    """Until the deadline, from when this was sent: clocks need not agree."""


class NoncesWanted(Versioned):
    """Goes to a party whose commitments ran out while a session waits. The party answers a nonce
    batch once."""

    instruction: Literal["nonces_wanted"] = "nonces_wanted"
    version: Version = 1
    batch_id: SessionId
    session_id: SessionId
    """The session that waits for them; the answer is a report in it."""
    key_session: SessionId
    epoch: int = Field(ge=0, lt=2**32)
    scheme: Scheme
    count: int = Field(ge=1, le=MAX_NONCE_BATCH)
    issued_at: UnixMillis | None = None
    """By the coordinator's clock: a party that forgot what it did then cannot tell whether it
    answered before. None from a coordinator that does not say."""


class PresignBatch(Versioned):
    """Goes to each signer of a batch of presignatures, which is a session of its own."""

    instruction: Literal["presign_batch"] = "presign_batch"
    version: Version = 1
    session_id: SessionId
    terms: PresignTerms
    time_left_ms: int = Field(gt=0)


class SessionCancelled(Versioned):
    """Goes to every party of a session, and by broadcast to every worker.

    It carries no request, and parties believe it unsigned: a session that ends early may waste
    work, and cannot touch a key that exists.
    """

    instruction: Literal["session_cancelled"] = "session_cancelled"
    version: Version = 1
    session_id: SessionId


Instruction = Annotated[
    SessionCreated | NoncesWanted | PresignBatch | SessionCancelled,
    Field(discriminator="instruction"),
]
INSTRUCTION: TypeAdapter[Instruction] = TypeAdapter(Instruction)


class PartyJoined(Contract):
    """This party has accepted the session that it was told of."""

    report: Literal["party_joined"] = "party_joined"
    join_token: Hex32 = Field(repr=False)


class KeyCertified(Contract):
    """This party has its share and everyone's certificate."""

    report: Literal["key_certified"] = "key_certified"
    facts: KeyFacts
    certificates: dict[Id, Base64]


class ShareSigned(Contract):
    """This party's signature share of each message, in their order, and a fresh nonce commitment
    for the one it used up, where the scheme has them."""

    report: Literal["share_signed"] = "share_signed"
    join_token: Hex32 = Field(repr=False)
    signature_shares: list[Hex] = Field(min_length=1, max_length=MAX_ITEMS)
    """As the protocol encodes them: 32 bytes for FROST, 64 for ecdsa."""
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


class SessionFailed(Contract):
    """This party gave the session up; `failure` says why and whom it blames."""

    report: Literal["session_failed"] = "session_failed"
    failure: Failure


class PartyAlive(Contract):
    """A sign of life, which a party gives every few seconds."""

    report: Literal["party_alive"] = "party_alive"
    at: int


Report = Annotated[
    PartyJoined
    | KeyCertified
    | ShareSigned
    | NoncesMade
    | PresignaturesMade
    | SessionFailed
    | PartyAlive,
    Field(discriminator="report"),
]
REPORT: TypeAdapter[Report] = TypeAdapter(Report)


def _roster(members: Iterable[Member]) -> bytes:
    return pack(
        part
        for member in members
        for part in (member.party_id.encode(), member.index.to_bytes(1), member.identity)
    )
