"""What a signer keeps between the rounds of a batch: one type for each gap.

A state is passed to one call of the next step and then deleted. ``to_bytes`` holds secrets: seal
it. ``from_bytes`` reads only what we stored ourselves, so its points are not checked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .. import tags
from ..encoding import index_from_bytes, index_to_bytes, pack, unpack, unpack_tagged
from ..groups import SECP256K1, Scalar
from ..ot.base import Chosen
from ..rounds import PartyIndex
from .messages import Commitment
from .parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """After round 0.

    Attributes:
        seed: Of round 0's coins. Secret.
        sent: Digest of what we sent each other signer.
    """

    parameters: Parameters
    seed: bytes = field(repr=False)
    sent: Mapping[PartyIndex, bytes]

    def to_bytes(self) -> bytes:
        """Holds secrets: seal it."""
        return pack(
            tags.STATE_PRESIGN_OFFERED, self.parameters.to_bytes(), self.seed, _rows(self.sent)
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Offered:
        """From our own store, once opened."""
        parameters, seed, sent = unpack_tagged(tags.STATE_PRESIGN_OFFERED, 3, data)
        return cls(parameters=Parameters.from_bytes(parameters), seed=seed, sent=_unrows(sent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """One direction, in which the other side sends and we receive: we choose chi.

    Attributes:
        key: Of the row hash; covers our round-1 message.
        choice: Choice bits, one for each row. Secret.
        rows: v_j of the OT extension. Secret.
    """

    key: bytes = field(repr=False)
    choice: bytes = field(repr=False)
    rows: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """Holds secrets: seal it."""
        return pack(self.key, self.choice, self.rows)

    @classmethod
    def from_bytes(cls, data: bytes) -> Receiving:
        key, choice, rows = unpack(data)
        return cls(key=key, choice=choice, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedPair:
    """What we share with one other signer after round 1.

    Attributes:
        echo: Digest of what the two of us said in round 0.
        sid: Of the direction in which we send; 32 bytes.
        chosen: Our keys of its base transfers. Secret.
        zero_seed: Of the pair's shares of zero. Secret.
        receiving: The direction in which we receive.
    """

    echo: bytes
    sid: bytes
    chosen: Chosen
    zero_seed: bytes = field(repr=False)
    receiving: Receiving

    def to_bytes(self) -> bytes:
        """Holds secrets: seal it."""
        return pack(
            self.echo,
            self.sid,
            self.chosen.to_bytes(),
            self.zero_seed,
            self.receiving.to_bytes(),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ExtendedPair:
        echo, sid, chosen, zero_seed, receiving = unpack(data)
        return cls(
            echo=echo,
            sid=sid,
            chosen=Chosen.from_bytes(chosen),
            zero_seed=zero_seed,
            receiving=Receiving.from_bytes(receiving),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """After round 1.

    Attributes:
        seed: Of the coins that r_i, phi_i and the salt come from. Secret.
        commitment: What we broadcast.
    """

    parameters: Parameters
    seed: bytes = field(repr=False)
    commitment: Commitment
    pairs: Mapping[PartyIndex, ExtendedPair]

    def to_bytes(self) -> bytes:
        """Holds secrets: seal it."""
        return pack(
            tags.STATE_PRESIGN_EXTENDED,
            self.parameters.to_bytes(),
            self.seed,
            self.commitment.to_bytes(),
            _rows({j: pair.to_bytes() for j, pair in self.pairs.items()}),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Extended:
        """From our own store, once opened."""
        packed, seed, commitment, pairs = unpack_tagged(tags.STATE_PRESIGN_EXTENDED, 4, data)
        return cls(
            parameters=(parameters := Parameters.from_bytes(packed)),
            seed=seed,
            commitment=Commitment.from_bytes(parameters, commitment),
            pairs={j: ExtendedPair.from_bytes(row) for j, row in _unrows(pairs).items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredPair:
    """What we share with one other signer after round 2.

    Attributes:
        echo: Digest of all round-1 broadcasts and of what the two of us said in round 1.
        commitment: What it broadcast.
        shares: c^u and c^v of each presignature, our shares where we sent. Secret.
        receiving: The direction in which we receive.
    """

    echo: bytes
    commitment: Commitment
    shares: Sequence[tuple[Scalar, Scalar]]
    receiving: Receiving

    def to_bytes(self) -> bytes:
        """Holds secrets: seal it."""
        return pack(
            self.echo,
            self.commitment.to_bytes(),
            _scalars_to_bytes([c for pair in self.shares for c in pair]),
            self.receiving.to_bytes(),
        )

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> AnsweredPair:
        echo, commitment, shares, receiving = unpack(data)
        scalars = _scalars_from_bytes(shares)
        return cls(
            echo=echo,
            commitment=Commitment.from_bytes(parameters, commitment),
            shares=list(zip(scalars[0::2], scalars[1::2], strict=True)),
            receiving=Receiving.from_bytes(receiving),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """After round 2.

    Attributes:
        nonces: r_i of each presignature. Secret.
        masks: phi_i of each presignature. Secret.
        key_parts: sk_i of each presignature. Secret.
    """

    parameters: Parameters
    nonces: Sequence[Scalar]
    masks: Sequence[Scalar]
    key_parts: Sequence[Scalar]
    pairs: Mapping[PartyIndex, AnsweredPair]

    def to_bytes(self) -> bytes:
        """Holds secrets: seal it."""
        return pack(
            tags.STATE_PRESIGN_ANSWERED,
            self.parameters.to_bytes(),
            _scalars_to_bytes(self.nonces),
            _scalars_to_bytes(self.masks),
            _scalars_to_bytes(self.key_parts),
            _rows({j: pair.to_bytes() for j, pair in self.pairs.items()}),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Answered:
        """From our own store, once opened."""
        packed, nonces, masks, key_parts, pairs = unpack_tagged(
            tags.STATE_PRESIGN_ANSWERED, 5, data
        )
        parameters = Parameters.from_bytes(packed)
        rows = _unrows(pairs)
        return cls(
            parameters=parameters,
            nonces=_scalars_from_bytes(nonces),
            masks=_scalars_from_bytes(masks),
            key_parts=_scalars_from_bytes(key_parts),
            pairs={j: AnsweredPair.from_bytes(parameters, row) for j, row in rows.items()},
        )


def _rows(rows: Mapping[PartyIndex, bytes]) -> bytes:
    return pack(*(index_to_bytes(j) + row for j, row in sorted(rows.items())))


def _unrows(data: bytes) -> dict[PartyIndex, bytes]:
    return {index_from_bytes(row[:1]): row[1:] for row in unpack(data)}


def _scalars_to_bytes(scalars: Sequence[Scalar]) -> bytes:
    return b"".join(scalar.to_bytes() for scalar in scalars)


def _scalars_from_bytes(data: bytes) -> list[Scalar]:
    width = SECP256K1.scalar_size
    places = range(0, len(data), width)
    return [SECP256K1.scalar_from_bytes_checked(data[at : at + width]) for at in places]
