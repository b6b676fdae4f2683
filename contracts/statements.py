"""What a party says of a request that it has not answered: that it never will.

A client believes no coordinator that a request came to nothing. It counts the parties that have
signed this, each in the transaction after which its store refuses the request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydantic import Field, model_validator

from .encoding import optional, pack
from .identity import Identity, PublicIdentity
from .keys import EpochName
from .primitives import Base64, Contract, Id, Owner, SessionId, UnixMillis

STATEMENT_TAG = b"warren/never-signed/v1"
EPOCHS_TAG = b"warren/never-signed/v2"
"""Of a statement that names a key: one of either kind never counts as one of the other."""

MAX_EPOCHS_STATED = 128
"""Whoever would have to name more of one key states nothing of it."""


def in_order(names: Iterable[EpochName]) -> list[EpochName]:
    """As a statement lists them."""
    return sorted(names, key=EpochName.encoded)


class Statement(Contract):
    """For an owner's request id, whatever the request's bytes, issued from `issued_from` up to
    `issued_until`: this party has committed no signature share and no key certificate, in any
    session with any key, and never will.

    One that names a key says more: which epochs of it the party has had a hand in or has proof of,
    beside the first one and those that a named one comes from, and that until the request is too
    old to be answered by anybody it has a hand in no other. So whoever knows all epochs that are
    named knows all that can answer.

    Owner and request id do not stand here: whoever verifies it says whose request it is to be of.
    """

    party_id: Id
    issued_from: UnixMillis
    """Of what was issued earlier, the party may have forgotten that it answered."""
    issued_until: UnixMillis
    key_session: SessionId | None = Field(default=None, exclude_if=lambda key: key is None)
    """Which key, by `KeyFacts.session_id`, if the cancel names one. Not written where it is None:
    those who cancel as before may not know it."""
    epochs: list[EpochName] | None = Field(
        default=None, max_length=MAX_EPOCHS_STATED, exclude_if=lambda epochs: epochs is None
    )
    """In ascending order, of their number, then of their session. An epoch that was tried in vain
    is there if this party's word for it may be out."""
    signature: Base64

    @model_validator(mode="after")
    def _of_a_key(self) -> Statement:
        if (self.key_session is None) != (self.epochs is None):
            raise ValueError("key_session and epochs go together")
        if self.epochs is not None and self.epochs != in_order(set(self.epochs)):
            raise ValueError("epochs must be in ascending order, each once")
        return self

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
        key_session: bytes | None = None,
        epochs: Collection[EpochName] | None = None,
    ) -> Statement:
        """By a party's identity. Not before what it says is in the party's store."""
        unsigned = cls(
            party_id=party_id,
            issued_from=issued_from,
            issued_until=issued_until,
            key_session=key_session,
            epochs=None if epochs is None else in_order(epochs),
            signature=b"",
        )
        signature = identity.sign(unsigned.tag, unsigned.content(owner, request_id))
        return unsigned.model_copy(update={"signature": signature})

    @property
    def tag(self) -> bytes:
        """Under which it is signed."""
        return STATEMENT_TAG if self.key_session is None else EPOCHS_TAG

    def content(self, owner: Owner, request_id: str) -> bytes:
        """The bytes that are signed."""
        key: tuple[bytes, ...] = ()
        if self.key_session is not None and self.epochs is not None:
            key = self.key_session, pack(epoch.encoded() for epoch in self.epochs)
        return pack(
            (
                optional(owner.client_id),
                optional(owner.tenant),
                request_id.encode(),
                self.party_id.encode(),
                self.issued_from.to_bytes(8),
                self.issued_until.to_bytes(8),
                *key,
            )
        )

    def covers(self, issued_at: int) -> bool:
        """Whether it is about a request that was issued then."""
        return self.issued_from <= issued_at <= self.issued_until

    def verify(self, owner: Owner, request_id: str, identity: PublicIdentity) -> None:
        """Raises ContractError unless that party's identity said it of this owner's request. Of
        which of that id, `covers` tells."""
        identity.verify(self.tag, self.content(owner, request_id), self.signature)
