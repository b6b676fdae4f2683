"""What a member keeps between the rounds of a reshare: one type for each gap.

A state is passed to one call of the next step and then deleted; ``Finished`` alone is read by two.
``to_bytes`` holds secrets: seal it. ``from_bytes`` reads only what we stored ourselves, so its
points are not checked again. Rows go by the parameters' order and carry no names: what does not
fit the session does not parse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import tags
from ..encoding import (
    cut,
    pack,
    require_size,
    unpack,
    unpack_tagged,
)
from ..groups import Scalar
from ..key_share import KeyShare, KeyView
from ..polynomial import Vector
from ..rounds import PartyIndex
from .messages import DIGEST_SIZE, Opening
from .parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealing:
    """What a dealer has beside the others until it has dealt.

    Attributes:
        coefficients: Of its polynomial; a_0 is its weighted old share. Secret.
        opening: What round 2 will broadcast. Its salt is secret until then.
    """

    coefficients: tuple[Scalar, ...]
    opening: Opening

    def to_bytes(self) -> bytes:
        coefficients = b"".join(a_k.to_bytes() for a_k in self.coefficients)
        return pack(coefficients, self.opening.to_bytes())

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Dealing:
        group = parameters.group
        coefficients, opening = unpack(data)
        widths = [group.scalar_size] * parameters.threshold
        require_size(coefficients, sum(widths), "a polynomial")
        return cls(
            coefficients=tuple(
                group.scalar_from_bytes_checked(part) for part in cut(coefficients, widths)
            ),
            opening=Opening.from_bytes(parameters, opening),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """After round 1.

    Attributes:
        dealing: None at a member that does not deal.
    """

    parameters: Parameters
    dealing: Dealing | None

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_RESHARE_COMMITTED,
            self.parameters.to_bytes(),
            _dealing_to_bytes(self.dealing),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Committed:
        packed, dealing = unpack_tagged(tags.STATE_RESHARE_COMMITTED, 2, data)
        parameters = Parameters.from_bytes(packed)
        return cls(parameters=parameters, dealing=_dealing_from_bytes(parameters, dealing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """After round 2: the same, and what the other dealers committed to, by place."""

    parameters: Parameters
    dealing: Dealing | None
    commitments: Mapping[PartyIndex, bytes]

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_RESHARE_OPENED,
            self.parameters.to_bytes(),
            _dealing_to_bytes(self.dealing),
            b"".join(self.commitments[m] for m in self.parameters.other_dealers),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Opened:
        packed, dealing, rows = unpack_tagged(tags.STATE_RESHARE_OPENED, 3, data)
        parameters = Parameters.from_bytes(packed)
        widths = [DIGEST_SIZE] * len(parameters.other_dealers)
        require_size(rows, sum(widths), "what the other dealers committed to")
        return cls(
            parameters=parameters,
            dealing=_dealing_from_bytes(parameters, dealing),
            commitments=dict(zip(parameters.other_dealers, cut(rows, widths), strict=True)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoed:
    """After round 3. Our polynomial is gone; of its values those that we may still have to send.

    Attributes:
        values: f_i(j) for every receiver, by place; empty if we do not deal. Secret.
        vectors: The Feldman commitments of all dealers, by place.
        transcript_digest: Of all broadcasts of rounds 1 and 2, 32 bytes.
    """

    parameters: Parameters
    values: Mapping[PartyIndex, Scalar]
    vectors: Mapping[PartyIndex, Vector]
    transcript_digest: bytes

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_RESHARE_ECHOED,
            self.parameters.to_bytes(),
            b"".join(self.values[m].to_bytes() for m in _dealt_to(self.parameters)),
            _vectors_to_bytes(self.parameters, self.vectors),
            self.transcript_digest,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Echoed:
        packed, values, points, transcript_digest = unpack_tagged(
            tags.STATE_RESHARE_ECHOED, 4, data
        )
        parameters = Parameters.from_bytes(packed)
        group, places = parameters.group, _dealt_to(parameters)
        widths = [group.scalar_size] * len(places)
        require_size(values, sum(widths), "what we deal")
        read = map(group.scalar_from_bytes_checked, cut(values, widths))
        return cls(
            parameters=parameters,
            values=dict(zip(places, read, strict=True)),
            vectors=_vectors_from_bytes(parameters, points),
            transcript_digest=require_size(transcript_digest, DIGEST_SIZE, "a digest"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """After round 4: of what we dealt, only the value for ourselves is left.

    Attributes:
        own_value: f_i(j) from us to us, zero unless we both deal and receive. Secret.
        vectors: As before.
        transcript_digest: As before, and the same at all members.
    """

    parameters: Parameters
    own_value: Scalar
    vectors: Mapping[PartyIndex, Vector]
    transcript_digest: bytes

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_RESHARE_DEALT,
            self.parameters.to_bytes(),
            self.own_value.to_bytes(),
            _vectors_to_bytes(self.parameters, self.vectors),
            self.transcript_digest,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Dealt:
        packed, own_value, points, transcript_digest = unpack_tagged(
            tags.STATE_RESHARE_DEALT, 4, data
        )
        parameters = Parameters.from_bytes(packed)
        return cls(
            parameters=parameters,
            own_value=parameters.group.scalar_from_bytes_checked(own_value),
            vectors=_vectors_from_bytes(parameters, points),
            transcript_digest=require_size(transcript_digest, DIGEST_SIZE, "a digest"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """After ``finish``. The share is unusable until the epoch's whole bundle is in.

    Attributes:
        key: The public half of the key in the new epoch.
        key_share: None at a member that does not receive. To be stored before round 5 says so.
        transcript_digest: 32 bytes, the same at all honest members: what a certificate covers.
    """

    parameters: Parameters
    key: KeyView
    key_share: KeyShare | None
    transcript_digest: bytes

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_RESHARE_FINISHED,
            self.parameters.to_bytes(),
            self.key.to_bytes(),
            b"" if self.key_share is None else self.key_share.to_bytes(),
            self.transcript_digest,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Finished:
        packed, key, key_share, transcript_digest = unpack_tagged(
            tags.STATE_RESHARE_FINISHED, 4, data
        )
        parameters = Parameters.from_bytes(packed)
        if parameters.own.receives_as is None:
            require_size(key_share, 0, "the share of a member that does not receive")
        return cls(
            parameters=parameters,
            key=KeyView.from_bytes(key),
            key_share=KeyShare.from_bytes(key_share) if parameters.own.receives_as else None,
            transcript_digest=require_size(transcript_digest, DIGEST_SIZE, "a digest"),
        )


def _dealing_to_bytes(dealing: Dealing | None) -> bytes:
    return b"" if dealing is None else dealing.to_bytes()


def _dealing_from_bytes(parameters: Parameters, data: bytes) -> Dealing | None:
    """ValueError unless a dealer has something, and anybody else nothing."""
    if parameters.own.deals_as is None:
        require_size(data, 0, "what a member that does not deal has dealt")
        return None
    return Dealing.from_bytes(parameters, data)


def _dealt_to(parameters: Parameters) -> tuple[PartyIndex, ...]:
    """Places of the receivers, if we deal."""
    return () if parameters.own.deals_as is None else tuple(parameters.receivers)


def _vectors_to_bytes(parameters: Parameters, vectors: Mapping[PartyIndex, Vector]) -> bytes:
    return b"".join(a_k.to_bytes() for m in parameters.dealers for a_k in vectors[m])


def _vectors_from_bytes(parameters: Parameters, data: bytes) -> dict[PartyIndex, Vector]:
    group, t = parameters.group, parameters.threshold
    widths = [group.point_size] * t * len(parameters.dealers)
    require_size(data, sum(widths), "all dealers' vectors")
    read = [group.point_from_bytes_stored(part) for part in cut(data, widths)]
    return {m: tuple(read[at * t :][:t]) for at, m in enumerate(parameters.dealers)}
