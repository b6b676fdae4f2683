"""What a party keeps between the rounds of a key generation: one type for each gap.

A state is passed to one call of the next step and then deleted. ``to_bytes`` holds secrets: seal
it. ``from_bytes`` reads only what we stored ourselves, so its points are not checked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import tags
from ..encoding import index_from_bytes, index_to_bytes, pack, unpack, unpack_tagged
from ..groups import Scalar
from ..key_share import KeyShare
from ..polynomial import Vector
from ..rounds import PartyIndex
from .messages import Commitment, Opening
from .parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """After round 1.

    Attributes:
        coefficients: a_0 .. a_(t-1) of this party's polynomial. Secret.
        opening: What round 2 will broadcast. Its salt is secret until then.
    """

    parameters: Parameters
    coefficients: tuple[Scalar, ...]
    opening: Opening

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_KEYGEN_COMMITTED,
            self.parameters.to_bytes(),
            pack(*(a_k.to_bytes() for a_k in self.coefficients)),
            self.opening.to_bytes(),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Committed:
        packed, coefficients, opening = unpack_tagged(tags.STATE_KEYGEN_COMMITTED, 3, data)
        parameters = Parameters.from_bytes(packed)
        return cls(
            parameters=parameters,
            coefficients=_scalars(parameters, coefficients),
            opening=Opening.from_bytes(parameters, opening),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """After round 2: the same, and what the others committed to. Their views equal ours."""

    parameters: Parameters
    coefficients: tuple[Scalar, ...]
    opening: Opening
    commitments: Mapping[PartyIndex, Commitment]

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_KEYGEN_OPENED,
            self.parameters.to_bytes(),
            pack(*(a_k.to_bytes() for a_k in self.coefficients)),
            self.opening.to_bytes(),
            pack(*(index_to_bytes(i) + c.digest for i, c in sorted(self.commitments.items()))),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Opened:
        packed, coefficients, opening, rows = unpack_tagged(tags.STATE_KEYGEN_OPENED, 4, data)
        parameters = Parameters.from_bytes(packed)
        return cls(
            parameters=parameters,
            coefficients=_scalars(parameters, coefficients),
            opening=Opening.from_bytes(parameters, opening),
            commitments={
                index_from_bytes(row[:1]): Commitment(parameters.view, row[1:])
                for row in unpack(rows)
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """After round 3. The polynomial is gone; only its value for ourselves is left.

    Attributes:
        own_value: f_i(i). Secret.
        vectors: The Feldman commitments of all parties, our own included.
        chain_code: 32 bytes.
        transcript_digest: Digest of all round-1 and round-2 broadcasts, 32 bytes.
    """

    parameters: Parameters
    own_value: Scalar
    vectors: Mapping[PartyIndex, Vector]
    chain_code: bytes = field(repr=False)
    transcript_digest: bytes

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_KEYGEN_DEALT,
            self.parameters.to_bytes(),
            self.own_value.to_bytes(),
            pack(
                *(
                    index_to_bytes(i) + b"".join(a_k.to_bytes() for a_k in vector)
                    for i, vector in sorted(self.vectors.items())
                )
            ),
            self.chain_code,
            self.transcript_digest,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Dealt:
        packed, own_value, rows, chain_code, transcript_digest = unpack_tagged(
            tags.STATE_KEYGEN_DEALT, 5, data
        )
        parameters = Parameters.from_bytes(packed)
        group = parameters.group
        return cls(
            parameters=parameters,
            own_value=group.scalar_from_bytes_checked(own_value),
            vectors={
                index_from_bytes(row[:1]): tuple(
                    group.point_from_bytes_stored(row[at : at + group.point_size])
                    for at in range(1, len(row), group.point_size)
                )
                for row in unpack(rows)
            },
            chain_code=chain_code,
            transcript_digest=transcript_digest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """After ``finish``. The share is unusable until the certificates of all parties are in.

    Attributes:
        transcript_digest: 32 bytes, the same at all honest parties: what a certificate covers.
    """

    key_share: KeyShare
    transcript_digest: bytes

    def to_bytes(self) -> bytes:
        return pack(tags.STATE_KEYGEN_FINISHED, self.key_share.to_bytes(), self.transcript_digest)

    @classmethod
    def from_bytes(cls, data: bytes) -> Finished:
        key_share, transcript_digest = unpack_tagged(tags.STATE_KEYGEN_FINISHED, 2, data)
        return cls(
            key_share=KeyShare.from_bytes(key_share),
            transcript_digest=transcript_digest,
        )


def _scalars(parameters: Parameters, data: bytes) -> tuple[Scalar, ...]:
    return tuple(parameters.group.scalar_from_bytes_checked(part) for part in unpack(data))
