"""What a holder of a key says to another one whose share came from a backup: that it knows of no
later epoch.

A backup of an epoch that is over signs as that epoch did, for parties that were shown out since. So
who restores one asks the other holders, over a number that is used once, before the share is used.
"""

from __future__ import annotations

from pydantic import Field

from .encoding import pack
from .identity import Identity, PublicIdentity
from .primitives import Base64, Contract, Hex32, Id, SessionId, UnixMillis

VOUCHER_TAG = b"warren/no-later-epoch/v1"


class Voucher(Contract):
    """The highest epoch of a key that this party knows of, made or only begun."""

    party_id: Id
    asked_by: Id
    key_session: SessionId
    epoch: int = Field(ge=0, lt=2**32)
    """Of the share that was restored."""
    nonce: Hex32
    """Of who asked."""
    newest: int = Field(ge=0, lt=2**32)
    at: UnixMillis
    """By the clock of who says it."""
    signature: Base64

    @classmethod
    def signed(
        cls,
        identity: Identity,
        party_id: str,
        *,
        asked_by: str,
        key_session: bytes,
        epoch: int,
        nonce: bytes,
        newest: int,
        at: int,
    ) -> Voucher:
        """By a party's identity."""
        unsigned = cls(
            party_id=party_id,
            asked_by=asked_by,
            key_session=key_session,
            epoch=epoch,
            nonce=nonce,
            newest=newest,
            at=at,
            signature=b"",
        )
        signature = identity.sign(VOUCHER_TAG, unsigned.content())
        return unsigned.model_copy(update={"signature": signature})

    def content(self) -> bytes:
        """The bytes that are signed."""
        return pack(
            (
                self.party_id.encode(),
                self.asked_by.encode(),
                self.key_session,
                self.epoch.to_bytes(4),
                self.nonce,
                self.newest.to_bytes(4),
                self.at.to_bytes(8),
            )
        )

    def verify(self, identity: PublicIdentity) -> None:
        """Raises ContractError unless that party's identity said it."""
        identity.verify(VOUCHER_TAG, self.content(), self.signature)
