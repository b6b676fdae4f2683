"""Every field of everything that is signed or hashed counts, and every encoding is pinned."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from pydantic import BaseModel

from contracts.addresses import REQUEST_KEYS
from contracts.admission import open_request
from contracts.encoding import digest, pack, unpack
from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.keys import Holder, KeyFacts, Origin, Resharing
from contracts.primitives import Curve, Scheme
from contracts.requests import ADAPTER
from contracts.signing import REQUEST_TAG, sign_request
from contracts.terms import Member, SessionTerms

from .samples import CLIENT, PARTIES, all_fields, policies

HOLDERS = [
    Holder(party_id="p1", identity=b"identity-1", public_share=b"\x01" * 32),
    Holder(party_id="p2", identity=b"identity-2", public_share=b"\x02" * 32),
]
FACTS = KeyFacts(
    version=2,
    client_id="svcA",
    key_id="treasury",
    session_id=b"\x05" * 32,
    epoch=1,
    curve=Curve.ED25519,
    threshold=2,
    public_key=b"\x07" * 32,
    chain_code=b"\x08" * 32,
    holders=HOLDERS,
    transcript_digest=b"\x09" * 32,
    tenant="alice",
    request_digest=b"\x0a" * 32,
    schemes=[Scheme.ED25519],
    origin=Origin.GENERATED,
)
OLD_FACTS = FACTS.model_copy(
    update={"version": 1, "tenant": None, "request_digest": None, "schemes": None, "origin": None}
)
"""As they were certified before there were owners."""
RESHARED_FACTS = FACTS.model_copy(
    update={
        "version": 3,
        "reshared": Resharing(
            session_id=b"\x0b" * 32, predecessor=b"\x0c" * 32, dealers=["p1", "p3"]
        ),
    }
)

MEMBERS = [
    Member(party_id="p1", index=1, identity=b"identity-1"),
    Member(party_id="p3", index=3, identity=b"identity-3"),
]
TERMS = SessionTerms(
    protocol="sign",
    request_digest=b"\x01" * 32,
    key_session=b"\x05" * 32,
    epoch=1,
    threshold=2,
    members=MEMBERS,
    salt=b"\x02" * 32,
)
ENVELOPE = Envelope(
    session_id=b"\x05" * 32,
    epoch=1,
    kind="keygen",
    round=2,
    sender="p1",
    recipient="p2",
    payload=b"payload",
)


def others(value: Any) -> list[Any]:
    """Values of the same kind that differ from this one."""
    match value:
        case bool():
            return [not value]
        case Curve():
            return [curve for curve in Curve if curve is not value]
        case Scheme():
            return [scheme for scheme in Scheme if scheme is not value]
        case Origin():
            return [origin for origin in Origin if origin is not value]
        case int():
            return [value + 1]
        case str():
            return [value + "x"]
        case bytes():
            return [value[:-1] + bytes([value[-1] ^ 1])] if value else [b"\x00" * 32]
        case None:
            return []
        case [*items]:
            changed = [
                [*items[:at], other, *items[at + 1 :]]
                for at, item in enumerate(items)
                for other in others(item)
            ]
            return [*changed, items[::-1], items[:-1], [*items, items[0]]]
        case dict():
            return [
                {**value, name: other} for name, item in value.items() for other in others(item)
            ]
        case BaseModel():
            return [
                value.model_copy(update={name: other})
                for name in type(value).model_fields
                for other in others(getattr(value, name))
            ]
    raise TypeError(
        f"no other value is known for a {type(value).__name__}: say here what to change"
    )


def changed_fields(model: BaseModel, **by_hand: list[Any]) -> list[tuple[str, Any]]:
    """(field, model with that field changed) for every field; those that `others` cannot vary
    have to be given."""
    found = []
    for name in type(model).model_fields:
        values = by_hand.get(name) or others(getattr(model, name))
        assert values, f"field {name} is not covered"
        found += [(name, model.model_copy(update={name: value})) for value in values]
    return found


@pytest.mark.parametrize(
    ("name", "changed"),
    changed_fields(
        RESHARED_FACTS,
        version=[1, 2],
        client_id=["svcB", None, ""],
        tenant=["bob", None, ""],
        schemes=[None, [], [Scheme.ECDSA], [Scheme.ED25519, Scheme.ED25519]],
    ),
)
def test_a_certificate_covers_every_field_of_a_key(name: str, changed: KeyFacts) -> None:
    certificate = RESHARED_FACTS.certify(PARTIES["p1"])
    facts = changed.model_copy(
        update={
            "holders": [
                *changed.holders,
                Holder(party_id="witness", identity=PARTIES["p1"].public.der, public_share=b"\x01"),
            ]
        }
    )
    assert changed.statement() != RESHARED_FACTS.statement()
    assert changed.digest() != RESHARED_FACTS.digest()
    with pytest.raises(ContractError, match="wrong signature"):
        facts.verify("witness", certificate)


@pytest.mark.parametrize(
    ("name", "changed"),
    changed_fields(TERMS, protocol=["keygen"], key_session=[None, b"\x06" * 32]),
)
def test_a_session_id_depends_on_every_field_of_its_terms(name: str, changed: SessionTerms) -> None:
    assert changed.session_id() != TERMS.session_id()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Envelope)])
def test_an_envelopes_signature_covers_every_field(name: str) -> None:
    (value,) = others(getattr(ENVELOPE, name))
    changed = dataclasses.replace(ENVELOPE, **{name: value})
    _, signature = unpack(ENVELOPE.seal(PARTIES["p1"]), 2)
    forged = UnverifiedEnvelope.from_bytes(pack((changed.content(), signature)))
    assert forged.claimed == changed
    assert changed.digest() != ENVELOPE.digest()
    with pytest.raises(ContractError, match="wrong signature"):
        forged.verify(PARTIES["p1"].public)


@pytest.mark.parametrize("operation", sorted(REQUEST_KEYS))
def test_a_requests_signature_covers_every_field(operation: str) -> None:
    signed = sign_request(ADAPTER.validate_python(all_fields(operation)), CLIENT)
    request = signed.request
    fields_as_sent = json.loads(signed.body)
    assert set(fields_as_sent) == set(type(request).model_fields)
    for name, value in fields_as_sent.items():
        for other in others(value) or ["00" * 32]:
            changed = json.dumps({**fields_as_sent, name: other}, separators=(",", ":")).encode()
            assert changed != signed.body
            with pytest.raises(ContractError):
                open_request(changed, signed.signature, policies())
            # The signature is what fails, not only the checks around it.
            with pytest.raises(ContractError, match="wrong signature"):
                CLIENT.public.verify(REQUEST_TAG, changed, signed.signature)


def test_the_bytes_that_a_certificate_signs() -> None:
    holders = pack((b"p1", b"identity-1", b"\x01" * 32, b"p2", b"identity-2", b"\x02" * 32))
    old = (
        b"\x01svcA",
        b"treasury",
        b"\x05" * 32,
        b"\x00\x00\x00\x01",
        b"ed25519",
        b"\x02",
        b"\x07" * 32,
        b"\x08" * 32,
        holders,
        b"\x09" * 32,
    )
    assert OLD_FACTS.statement() == pack(old)
    schemes = pack((b"ed25519",))
    new = (b"\x02", *old, b"\x01alice", b"\x0a" * 32, schemes, b"generated")
    assert FACTS.statement() == pack(new)
    reshared = pack((b"\x0b" * 32, b"\x0c" * 32, pack((b"p1", b"p3"))))
    assert RESHARED_FACTS.statement() == pack((b"\x03", *new[1:], reshared))
    anyones = FACTS.model_copy(update={"tenant": None, "schemes": None})
    assert anyones.statement() == pack((b"\x02", *old, b"", b"\x0a" * 32, b"", b"generated"))


def test_no_client_and_a_client_are_never_the_same_statement() -> None:
    anonymous = OLD_FACTS.model_copy(update={"client_id": None})
    assert anonymous.statement().startswith(b"\x00\x00\x00\x00\x00\x00\x00\x08treasury")


@pytest.mark.parametrize(
    ("found", "pinned"),
    [
        (
            digest(b"statement", FACTS.statement()),
            "dd5a438aac61bcca361dcf47cb38be94407b862fbdd59900e3da5f0fa832d73a",
        ),
        (
            digest(b"statement", OLD_FACTS.statement()),
            "6b6f26d8e08a54a6186481ab05824cb9b897b974693ff699928fd94ab751d74c",
        ),
        (
            digest(b"envelope", ENVELOPE.content()),
            "dee8a3f48a448ce13601d9666917a62542b6dba4ff59dd7f2c40ee677c674500",
        ),
        (
            ENVELOPE.digest(),
            "f125146aba317a6f92187bc2fe8bcb55937351d2b71cf20b476c4ba8778f5be0",
        ),
        (
            TERMS.session_id(),
            "a706ac15decb2e93d7ceba9ca909ac79f53af90614685b2b5e1390cfd87cbbc0",
        ),
        (
            digest(b"tag", b"part", b""),
            "3a4231e6a36c8c5032cd0fa103a02a607031521d541920f0dbf9260eaab77144",
        ),
    ],
    ids=[
        "certificate",
        "of before",
        "envelope",
        "envelope digest",
        "session id",
        "digest",
    ],
)
def test_the_signed_and_hashed_encodings_are_pinned(found: bytes, pinned: str) -> None:
    """A change here breaks every signature and session that exists."""
    assert found.hex() == pinned
