"""A party's card: what it wants to be known by, signed by the key that it names.

It is made on the party's machine and handed to an operator. Nobody else believes it.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field, ValidationError

from . import strict_json
from .errors import ContractError
from .identity import Identity, PublicIdentity
from .party_list import MAX_INDEX, MAX_LABELS, Label, LabelText
from .peers import Role
from .primitives import Base64, Contract, Id, UnixMillis
from .signing import explain

CARD_TAG: Final = b"warren/party-card/v1"
MAX_CARD_BYTES: Final = 8192


class PartyCard(Contract):
    """What a party says of itself."""

    party_id: Id
    index: int = Field(ge=1, le=MAX_INDEX)
    role: Role
    labels: dict[Label, LabelText] = Field(default_factory=dict, max_length=MAX_LABELS)
    public_key: Base64
    """DER SubjectPublicKeyInfo, P-256."""
    made_at: UnixMillis

    @property
    def identity(self) -> PublicIdentity:
        return PublicIdentity(self.public_key)


class SignedCard(Contract):
    """A card as it is handed over."""

    body: Base64 = Field(max_length=MAX_CARD_BYTES)
    """JSON of a `PartyCard`."""
    signature: Base64 = Field(max_length=256)
    """By the key in it, over the tag ``warren/party-card/v1`` and the body."""

    @classmethod
    def of(cls, card: PartyCard, identity: Identity) -> SignedCard:
        """Raises ValueError if the card names another key."""
        if card.public_key != identity.public.der:
            raise ValueError("the card names another key")
        body = card.model_dump_json().encode()
        return cls(body=body, signature=identity.sign(CARD_TAG, body))

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode() + b"\n"


def read_card(data: bytes) -> PartyCard:
    """Raises ContractError unless whoever made it has the key that it names."""
    try:
        signed = SignedCard.model_validate_json(strict_json.checked(data))
        card = PartyCard.model_validate_json(strict_json.checked(signed.body))
    except ValidationError as error:
        raise ContractError(f"not a party's card: {explain(error)}") from None
    card.identity.verify(CARD_TAG, signed.body, signed.signature)
    return card
