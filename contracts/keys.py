"""A key as its producer sees it: public data and every party's certificate over it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from .encoding import pack
from .errors import ContractError
from .identity import Identity, PublicIdentity
from .primitives import MAX_PARTIES, Base64, Contract, Curve, Hex, Hex32, Id, SessionId

CERTIFICATE_TAG = b"warren/key-certificate/v1"


class Holder(Contract):
    """One party of a key. Its place in `CertifiedKey.holders` is its index, from 1."""

    party_id: Id
    identity: Base64
    """The party's public identity, DER SubjectPublicKeyInfo."""
    public_share: Hex
    """secret_share * G, compressed."""


class KeyFacts(Contract):
    """What the parties of a key agree on and each of them signs."""

    client_id: Id | None
    key_id: Id
    session_id: SessionId
    """The key generation's session; no two keys share it, whatever they are called."""
    epoch: int = Field(ge=0, lt=2**32)
    curve: Curve
    threshold: int = Field(ge=2, le=MAX_PARTIES)
    public_key: Hex
    """Compressed: 33 bytes for secp256k1, 32 for ed25519."""
    chain_code: Hex32
    holders: list[Holder] = Field(min_length=2, max_length=MAX_PARTIES)
    transcript_digest: Hex32

    @property
    def party_count(self) -> int:
        """n: how many parties hold a share."""
        return len(self.holders)

    def statement(self) -> bytes:
        """The bytes that a certificate signs."""
        return pack(
            (
                b"" if self.client_id is None else b"\x01" + self.client_id.encode(),
                self.key_id.encode(),
                self.session_id,
                self.epoch.to_bytes(4),
                self.curve.encode(),
                self.threshold.to_bytes(1),
                self.public_key,
                self.chain_code,
                pack(
                    part
                    for holder in self.holders
                    for part in (holder.party_id.encode(), holder.identity, holder.public_share)
                ),
                self.transcript_digest,
            )
        )

    def certify(self, identity: Identity) -> bytes:
        """A party's certificate: its signature over `statement`."""
        return identity.sign(CERTIFICATE_TAG, self.statement())

    def verify(self, party_id: str, certificate: bytes) -> None:
        """Raises ContractError unless the certificate is this holder's over these facts."""
        for holder in self.holders:
            if holder.party_id == party_id:
                identity = PublicIdentity(holder.identity)
                return identity.verify(CERTIFICATE_TAG, self.statement(), certificate)
        raise ContractError(f"party {party_id} holds no share of key {self.key_id}")


class CertifiedKey(Contract):
    """A key's facts, and the signature of each of its parties over them."""

    facts: KeyFacts
    certificates: dict[Id, Base64]
    """Party id -> signature over `KeyFacts.statement`."""

    def verify(self, pinned: Mapping[str, PublicIdentity]) -> None:
        """Check all certificates against the party identities that the caller trusts.

        Raises:
            ContractError: a holder is unknown, has another identity, or did not sign.
        """
        for holder in self.facts.holders:
            trusted = pinned.get(holder.party_id)
            if trusted is None:
                raise ContractError(f"party {holder.party_id} is not one that we know")
            if trusted.der != holder.identity:
                raise ContractError(f"party {holder.party_id} has another identity than we know")
            certificate = self.certificates.get(holder.party_id)
            if certificate is None:
                raise ContractError(f"no certificate of party {holder.party_id}")
            self.facts.verify(holder.party_id, certificate)
