"""What makes a session the one that it is: its id is a hash over its terms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .encoding import digest, pack
from .primitives import (
    MAX_PARTIES,
    VERSION,
    Base64,
    Contract,
    Hex32,
    Id,
    SessionId,
    UnixMillis,
)

SESSION_TAG = b"warren/session/v1"
PRESIGN_TAG = b"warren/presign-session/v1"
RESHARE_TAG = b"warren/reshare-session/v1"
MAX_PRESIGN_BATCH = 64
MAX_RESHARE_MEMBERS = 2 * MAX_PARTIES
"""Nobody need be in both committees."""


class Member(Contract):
    """A party of a session with its index in the key (1..n) and its public identity."""

    party_id: Id
    index: int = Field(ge=1, le=MAX_PARTIES)
    identity: Base64


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


class ReshareMember(Member):
    """A party of a reshare. It deals, receives, or both, and has an index for each."""

    index: int = Field(ge=1, le=MAX_RESHARE_MEMBERS)
    """Its place among the members, from 1. It has nothing to do with the other two."""
    deals_as: int | None = Field(default=None, ge=1, le=MAX_PARTIES)
    """Its index in the epoch that is dealt from, if it deals."""
    receives_as: int | None = Field(default=None, ge=1, le=MAX_PARTIES)
    """Its index in the epoch that is made, if it is to hold a share of that."""


class ReshareTerms(Contract):
    """What makes a reshare this one. Every try has its own epoch, whatever became of the others."""

    request_digest: Hex32
    key_session: SessionId
    predecessor: Hex32
    """`KeyFacts.digest` of the epoch that is dealt from."""
    epoch: int = Field(ge=1, lt=2**32)
    """The one that is made."""
    threshold: int = Field(ge=2, le=MAX_PARTIES)
    """Signers that the new epoch needs."""
    members: list[ReshareMember] = Field(min_length=2, max_length=MAX_RESHARE_MEMBERS)
    """In ascending order of their places."""
    salt: Hex32

    @property
    def protocol(self) -> str:
        """As in `SessionTerms`."""
        return "reshare"

    def session_id(self) -> bytes:
        """The id that these terms and no others have."""
        roles = ((member.deals_as or 0, member.receives_as or 0) for member in self.members)
        return digest(
            RESHARE_TAG,
            VERSION.to_bytes(1),
            self.request_digest,
            self.key_session,
            self.predecessor,
            self.epoch.to_bytes(4),
            self.threshold.to_bytes(1),
            _roster(self.members),
            pack(map(bytes, roles)),
            self.salt,
        )


def _roster(members: Iterable[Member]) -> bytes:
    return pack(
        part
        for member in members
        for part in (member.party_id.encode(), member.index.to_bytes(1), member.identity)
    )
