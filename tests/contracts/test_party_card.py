"""A card proves that who made it has the key that it names."""

from __future__ import annotations

import base64
import json

import pytest

from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import Identity
from contracts.party_card import CARD_TAG, PartyCard, SignedCard, read_card
from contracts.peers import Role

OWN, OTHER = Identity.generate(), Identity.generate()
CARD = PartyCard(
    party_id="p4",
    index=4,
    role=Role.RECOVERY,
    labels={"zone": "b"},
    public_key=OWN.public.der,
    made_at=1,
)


def test_a_card_is_read_as_it_was_made() -> None:
    assert read_card(SignedCard.of(CARD, OWN).to_bytes()) == CARD
    assert CARD.identity == OWN.public


def test_who_does_not_have_the_key_makes_no_card_of_it() -> None:
    with pytest.raises(ValueError, match="names another key"):
        SignedCard.of(CARD, OTHER)
    body = CARD.model_dump_json().encode()
    forged = SignedCard(body=body, signature=OTHER.sign(CARD_TAG, body))
    with pytest.raises(UnauthenticatedError, match="wrong signature"):
        read_card(forged.to_bytes())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("party_id", "p5"),
        ("index", 5),
        ("role", "persistent"),
        ("labels", {"zone": "c"}),
        ("made_at", 2),
    ],
)
def test_each_of_its_fields_is_signed(field: str, value: object) -> None:
    signed = SignedCard.of(CARD, OWN)
    changed = json.dumps(json.loads(signed.body) | {field: value}).encode()
    with pytest.raises(UnauthenticatedError):
        read_card(signed.model_copy(update={"body": changed}).to_bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"body": "e30=", "signature": ""}',
        json.dumps({"body": base64.b64encode(b"[]").decode(), "signature": ""}).encode(),
    ],
)
def test_what_is_no_card_is_none(data: bytes) -> None:
    with pytest.raises(ContractError):
        read_card(data)
