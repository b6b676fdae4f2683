"""What a party answers when a reshare is rehearsed: whether it would take part, and if not, why.

It is true for the moment in which it is said, and binds nobody. It is signed all the same: who is
ready is what an owner decides by, and the coordinator need not be believed in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from .encoding import pack
from .errors import ContractError
from .failures import FailureCode
from .identity import Identity, PublicIdentity
from .primitives import Base64, Contract, Hex32, Id, UnixMillis

READINESS_TAG = b"warren/reshare-readiness/v1"


class RoleAnswer(Contract):
    """Of one way in which a party could take part."""

    deals: bool
    receives: bool
    refused: FailureCode | None = None
    """Why it would not. None: it would."""
    message: str = Field(default="", max_length=2000)
    """The same for people; empty where it would."""

    @model_validator(mode="after")
    def _role(self) -> RoleAnswer:
        if not (self.deals or self.receives):
            raise ValueError("a member deals, receives, or both")
        if (self.refused is None) != (not self.message):
            raise ValueError("refused and message go together")
        return self


class Readiness(Contract):
    """What one party says to one request."""

    party_id: Id
    request_digest: Hex32
    """SHA-256 of the request's bytes as they were sent."""
    roles: list[RoleAnswer] = Field(min_length=1, max_length=2)
    """A holder that gets a share of the new epoch, too, may be asked twice: whether it would deal,
    and whether it would receive without dealing, as one does that has lost its share."""
    at: UnixMillis
    """By the party's clock."""
    signature: Base64

    @classmethod
    def signed(
        cls,
        identity: Identity,
        party_id: str,
        *,
        request_digest: bytes,
        roles: Sequence[RoleAnswer],
        at: int,
    ) -> Readiness:
        """By a party's identity."""
        unsigned = cls(
            party_id=party_id,
            request_digest=request_digest,
            roles=list(roles),
            at=at,
            signature=b"",
        )
        signature = identity.sign(READINESS_TAG, unsigned.content())
        return unsigned.model_copy(update={"signature": signature})

    def content(self) -> bytes:
        """The bytes that are signed."""
        roles = (
            pack(
                (
                    each.deals.to_bytes(1),
                    each.receives.to_bytes(1),
                    (each.refused or "").encode(),
                    each.message.encode(),
                )
            )
            for each in self.roles
        )
        return pack((self.party_id.encode(), self.request_digest, pack(roles), self.at.to_bytes(8)))

    def verify(self, identity: PublicIdentity, *, request_digest: bytes) -> None:
        """Raises ContractError unless that party's identity said it to this request."""
        if self.request_digest != request_digest:
            raise ContractError(f"{self.party_id} says it to another request")
        identity.verify(READINESS_TAG, self.content(), self.signature)

    @property
    def deals(self) -> bool:
        """Whether it would deal."""
        return any(each.deals for each in self.roles if each.refused is None)

    @property
    def receives(self) -> bool:
        """Whether it would take a share of the new epoch."""
        return any(each.receives for each in self.roles if each.refused is None)
