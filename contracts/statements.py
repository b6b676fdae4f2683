"""What a party says of a request that it has not answered: that it never will.

A client believes no coordinator that a request came to nothing. It counts the parties that have
signed this, each in the transaction after which its store refuses the request.
"""

from __future__ import annotations

from .encoding import optional, pack
from .identity import Identity, PublicIdentity
from .primitives import Base64, Contract, Id, Owner, UnixMillis

STATEMENT_TAG = b"warren/never-signed/v1"


class Statement(Contract):
    """For an owner's request id, whatever the request's bytes, issued from `issued_from` up to
    `issued_until`: this party has committed no signature share and no key certificate, in any
    session with any key, and never will.

    Owner and request id do not stand here: whoever verifies it says whose request it is to be of.
    """

    party_id: Id
    issued_from: UnixMillis
    """Of what was issued earlier, the party may have forgotten that it answered."""
    issued_until: UnixMillis
    signature: Base64

    @classmethod
    def signed(
        cls,
        identity: Identity,
        party_id: str,
        owner: Owner,
        request_id: str,
        *,
        issued_from: int,
        issued_until: int,
    ) -> Statement:
        """By a party's identity. Not before what it says is in the party's store."""
        unsigned = cls(
            party_id=party_id, issued_from=issued_from, issued_until=issued_until, signature=b""
        )
        signature = identity.sign(STATEMENT_TAG, unsigned.content(owner, request_id))
        return unsigned.model_copy(update={"signature": signature})

    def content(self, owner: Owner, request_id: str) -> bytes:
        """The bytes that are signed."""
        return pack(
            (
                optional(owner.client_id),
                optional(owner.tenant),
                request_id.encode(),
                self.party_id.encode(),
                self.issued_from.to_bytes(8),
                self.issued_until.to_bytes(8),
            )
        )

    def covers(self, issued_at: int) -> bool:
        """Whether it is about a request that was issued then."""
        return self.issued_from <= issued_at <= self.issued_until

    def verify(self, owner: Owner, request_id: str, identity: PublicIdentity) -> None:
        """Raises ContractError unless that party's identity said it of this owner's request. Of
        which of that id, `covers` tells."""
        identity.verify(STATEMENT_TAG, self.content(owner, request_id), self.signature)
