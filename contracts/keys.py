"""A key as its producer sees it: public data and every party's certificate over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from .encoding import digest, optional, pack
from .errors import ContractError
from .identity import Identity, PublicIdentity
from .peers import Pinned, identities
from .primitives import (
    MAX_PARTIES,
    Base64,
    Contract,
    Curve,
    Hex,
    Hex32,
    Id,
    Owner,
    Scheme,
    SessionId,
)

CERTIFICATE_TAGS = {
    1: b"warren/key-certificate/v1",
    2: b"warren/key-certificate/v2",
    3: b"warren/key-certificate/v3",
}
"""By version: a certificate of one version never counts as one of another."""


class Holder(Contract):
    """One party of a key. Its place in `CertifiedKey.holders` is its index, from 1."""

    party_id: Id
    identity: Base64
    """The party's public identity, DER SubjectPublicKeyInfo."""
    public_share: Hex
    """secret_share * G, compressed."""


class Origin(StrEnum):
    """Where a key's secret comes from."""

    GENERATED = "generated"
    """From its parties' key generation: it never was in one place."""
    IMPORTED = "imported"
    """From outside: whoever brought it may still have it."""


class Resharing(Contract):
    """How an epoch's shares came from those of an earlier one."""

    session_id: SessionId
    """The reshare's session; every try is another one."""
    predecessor: Hex32
    """`KeyFacts.digest` of the epoch that was dealt from."""
    dealers: list[Id] = Field(min_length=2, max_length=MAX_PARTIES)
    """Who dealt, in the order of their places among the predecessor's holders."""

    def encoded(self) -> bytes:
        dealers = pack(dealer.encode() for dealer in self.dealers)
        return pack((self.session_id, self.predecessor, dealers))


class EpochName(Contract):
    """An epoch of a key beside its first, or a try for one. By the number alone two could be meant:
    whoever asks for two reshares at once may have both made, by other parties each."""

    epoch: int = Field(ge=1, lt=2**32)
    session_id: SessionId
    """The reshare's session, as `Resharing.session_id`."""

    def encoded(self) -> bytes:
        return self.epoch.to_bytes(4) + self.session_id


def check_schemes(curve: Curve, schemes: list[Scheme] | None) -> None:
    """What a key may serve is written in one way. Raises ValueError."""
    if schemes is None:
        return
    if not schemes or schemes != sorted(set(schemes)):
        raise ValueError("schemes must be at least one, each once, in alphabetical order")
    for scheme in schemes:
        if scheme.curve is not curve:
            raise ValueError(f"schemes names {scheme}, and a key on {curve} does not sign in it")


def _a_version(value: Any) -> Any:
    # In Python 1 == True == 1.0, and a literal compares.
    if type(value) is not int:
        raise ValueError("must be a number")
    return value


class KeyFacts(Contract):
    """What the parties of a key agree on and each of them signs.

    Version 1 says of its owner only which client it is, and of its use nothing but the curve. It is
    read and verified for the keys that have it; no party certifies it any more. Version 2 is of a
    key as it was made, version 3 of one whose shares were made anew; what it says of an earlier
    epoch is to be believed with an `EpochBundle` only.
    """

    version: Annotated[Literal[1, 2, 3], BeforeValidator(_a_version)] = 1
    client_id: Id | None
    key_id: Id
    session_id: SessionId
    """The key generation's session; no two keys share it, whatever they are called. The same in
    every epoch."""
    epoch: int = Field(ge=0, lt=2**32)
    curve: Curve
    threshold: int = Field(ge=2, le=MAX_PARTIES)
    public_key: Hex
    """Compressed: 33 bytes for secp256k1, 32 for ed25519."""
    chain_code: Hex32
    holders: list[Holder] = Field(min_length=2, max_length=MAX_PARTIES)
    transcript_digest: Hex32
    tenant: Id | None = None
    """With `client_id` whose key it is. Version 2, like all that follows."""
    request_digest: Hex32 | None = None
    """SHA-256 of the body of the request that made the key, or this epoch of it."""
    schemes: list[Scheme] | None = None
    """What the key may serve, in alphabetical order; None is all that its curve has."""
    origin: Origin | None = None
    reshared: Resharing | None = Field(default=None, exclude_if=lambda reshared: reshared is None)
    """Version 3: where this epoch comes from. Not written where it is None: those who read facts of
    earlier versions may not know it."""

    @model_validator(mode="after")
    def _of_its_version(self) -> KeyFacts:
        if self.version == 1:
            if any((self.tenant, self.request_digest, self.schemes, self.origin)):
                raise ValueError("tenant, request_digest, schemes and origin come with version 2")
        elif self.request_digest is None or self.origin is None:
            raise ValueError("version 2 says request_digest and origin")
        if (self.reshared is not None) != (self.version == 3):
            raise ValueError("version 3, and no other, says how the epoch was reshared")
        if self.reshared is not None and self.epoch == 0:
            raise ValueError("epoch 0 is not made by a reshare")
        check_schemes(self.curve, self.schemes)
        return self

    @property
    def owner(self) -> str:
        """As `RequestBase.owner`. Of version 1 it is the client alone, whichever tenant asked."""
        return Owner(client_id=self.client_id, tenant=self.tenant).name

    @property
    def purposes(self) -> list[Scheme]:
        """The schemes that the key may serve."""
        return self.schemes or sorted(scheme for scheme in Scheme if scheme.curve is self.curve)

    def check_scheme(self, scheme: Scheme) -> None:
        """Raises ContractError unless the key may serve the scheme."""
        if scheme.curve is not self.curve:
            raise ContractError(
                f"key {self.key_id} is on {self.curve}; {scheme} signs on {scheme.curve}"
            )
        if scheme not in self.purposes:
            raise ContractError(
                f"key {self.key_id} was made for {', '.join(self.purposes)} only, and signs "
                f"nothing in {scheme}; use a key that was made for it"
            )

    @property
    def name(self) -> EpochName | None:
        """By which statements tell of this epoch; None of the first one, of which they need not."""
        if self.reshared is None:
            return None
        return EpochName(epoch=self.epoch, session_id=self.reshared.session_id)

    @property
    def party_count(self) -> int:
        """n: how many parties hold a share."""
        return len(self.holders)

    def statement(self) -> bytes:
        """The bytes that a certificate signs."""
        parts = (
            optional(self.client_id),
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
        if self.version == 1:
            return pack(parts)
        assert self.request_digest is not None  # by `_of_its_version`
        assert self.origin is not None
        return pack(
            (
                self.version.to_bytes(1),
                *parts,
                optional(self.tenant),
                self.request_digest,
                _listed(self.schemes),
                self.origin.encode(),
                *(() if self.reshared is None else (self.reshared.encoded(),)),
            )
        )

    def digest(self) -> bytes:
        """By which a later epoch names this one. 32 bytes."""
        return digest(CERTIFICATE_TAGS[self.version], self.statement())

    def certify(self, identity: Identity) -> bytes:
        """A party's certificate: its signature over `statement`."""
        return identity.sign(CERTIFICATE_TAGS[self.version], self.statement())

    def verify(self, party_id: str, certificate: bytes) -> None:
        """Raises ContractError unless the certificate is this holder's over these facts."""
        for holder in self.holders:
            if holder.party_id == party_id:
                identity = PublicIdentity(holder.identity)
                tag = CERTIFICATE_TAGS[self.version]
                return identity.verify(tag, self.statement(), certificate)
        raise ContractError(f"party {party_id} holds no share of key {self.key_id}")


def _listed(schemes: Iterable[Scheme] | None) -> bytes:
    return b"" if schemes is None else pack(scheme.encode() for scheme in schemes)


class CertifiedKey(Contract):
    """A key's facts, and the signature of each of its parties over them."""

    facts: KeyFacts
    certificates: dict[Id, Base64]
    """Party id -> signature over `KeyFacts.statement`."""

    def verify(self, pinned: Mapping[str, Pinned]) -> None:
        """Check all certificates against the party identities that the caller trusts.

        Raises:
            ContractError: a holder is unknown, has another identity, or did not sign.
        """
        for holder in self.facts.holders:
            trusted = pinned.get(holder.party_id)
            if trusted is None:
                raise ContractError(f"party {holder.party_id} is not one that we know")
            if holder.identity not in {each.der for each in identities(trusted)}:
                raise ContractError(f"party {holder.party_id} has another identity than we know")
            certificate = self.certificates.get(holder.party_id)
            if certificate is None:
                raise ContractError(f"no certificate of party {holder.party_id}")
            self.facts.verify(holder.party_id, certificate)


class EpochBundle(Contract):
    """A new epoch of a key with everything that proves it, see `epochs.check`. Nothing in it is
    secret."""

    request: Base64
    """The body of the owner's `ReshareRequest`, as it was signed."""
    request_signature: Base64
    predecessor: CertifiedKey
    """The epoch that was dealt from."""
    key: CertifiedKey
    """The new one, certified by all of its holders."""
    possessions: dict[Id, Hex]
    """Party id -> proof that it knows its new share, for these facts."""
    dealt: dict[Id, Base64]
    """Dealer -> its signature, as of `epochs.sign_dealt`."""
