"""What a party says of a key's earlier epochs: that it has deleted all that it had of them.

Nobody can see from outside whether it did. What it says is signed, so that it cannot be said for
it, and can be held against it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .encoding import pack
from .errors import ContractError
from .identity import Identity, PublicIdentity
from .primitives import Base64, Contract, Id, SessionId, UnixMillis

RETIREMENT_TAG = b"warren/epochs-retired/v1"

Moment = Annotated[UnixMillis, Field(lt=253_402_300_800_000)]
"""Before the year 10,000, which no calendar here knows."""


class Retirement(Contract):
    """Of the key that this session made, this party has deleted every share of an epoch lower than
    `below`, with all that was made with it, and refuses them from now on, wherever they come from.
    Backups of before are not in its hands."""

    party_id: Id
    key_session: SessionId
    below: int = Field(ge=1, lt=2**32)
    retired_at: Moment
    """By the party's clock."""
    backed_up_at: Moment | None = None
    """When the last backup was made in which such shares are, as far as the party knows. Until it
    is destroyed, it is as good as a share."""
    signature: Base64

    @classmethod
    def signed(
        cls,
        identity: Identity,
        party_id: str,
        key_session: bytes,
        below: int,
        *,
        retired_at: int,
        backed_up_at: int | None,
    ) -> Retirement:
        """By a party's identity. It must not leave before what it says has happened."""
        unsigned = cls(
            party_id=party_id,
            key_session=key_session,
            below=below,
            retired_at=retired_at,
            backed_up_at=backed_up_at,
            signature=b"",
        )
        signature = identity.sign(RETIREMENT_TAG, unsigned.content())
        return unsigned.model_copy(update={"signature": signature})

    def content(self) -> bytes:
        """The bytes that are signed."""
        backed_up_at = b"" if self.backed_up_at is None else self.backed_up_at.to_bytes(8)
        return pack(
            (
                self.party_id.encode(),
                self.key_session,
                self.below.to_bytes(4),
                self.retired_at.to_bytes(8),
                backed_up_at,
            )
        )

    def verify(
        self, identity: PublicIdentity, *, party_id: str, key_session: bytes, epoch: int
    ) -> None:
        """Raises ContractError unless that party says it of all epochs of that key below `epoch`.

        Arguments:
            identity: The party's, as the caller trusts it.
        """
        if self.party_id != party_id:
            raise ContractError(f"{self.party_id} says it, and not {party_id}")
        if self.key_session != key_session:
            raise ContractError(f"{party_id} says it of another key")
        if self.below < epoch:
            raise ContractError(f"{party_id} says it of epochs below {self.below}, not {epoch}")
        identity.verify(RETIREMENT_TAG, self.content(), self.signature)
