"""What signers publish, and what they keep until they sign.

A ``ValueError`` from ``from_bytes`` on authenticated bytes is a fault of their sender.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import tags
from ..encoding import index_from_bytes, index_to_bytes, pack, require_size, unpack_tagged
from ..groups import Group, Point, Scalar
from ..rounds import PartyIndex
from .ciphersuites import Ciphersuite, ciphersuite


@dataclass(frozen=True, slots=True)
class Commitment:
    """Round 1, published ahead of time. Two points: D_i, E_i."""

    hiding: Point
    binding: Point

    @classmethod
    def from_bytes(cls, group: Group, data: bytes) -> Commitment:
        """Raises ValueError unless both are points of the group."""
        width = group.point_size
        require_size(data, 2 * width, "a commitment")
        return cls(
            group.point_from_bytes_checked(data[:width]),
            group.point_from_bytes_checked(data[width:]),
        )

    @classmethod
    def from_bytes_stored(cls, group: Group, data: bytes) -> Commitment:
        """Parse what ``from_bytes`` accepted before; for ed25519 three times as fast."""
        width = group.point_size
        return cls(
            group.point_from_bytes_stored(data[:width]),
            group.point_from_bytes_stored(data[width:]),
        )

    def to_bytes(self) -> bytes:
        """The hiding commitment, then the binding one."""
        return self.hiding.to_bytes() + self.binding.to_bytes()


@dataclass(frozen=True, slots=True)
class SignatureShare:
    """Round 2, to the coordinator. One scalar: z_i."""

    z: Scalar

    @classmethod
    def from_bytes(cls, group: Group, data: bytes) -> SignatureShare:
        """Raises ValueError unless it is one reduced scalar."""
        require_size(data, group.scalar_size, "a signature share")
        return cls(group.scalar_from_bytes_checked(data))

    def to_bytes(self) -> bytes:
        return self.z.to_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonces:
    """State between the rounds. Two answers from one pair reveal the share: taking deletes.

    Attributes:
        suite: The ciphersuite they were drawn for; they sign in no other.
        index: Whose they are.
        hiding: d_i. Secret.
        binding: e_i. Secret.
        commitment: What was published for them.
    """

    suite: Ciphersuite
    index: PartyIndex
    hiding: Scalar
    binding: Scalar
    commitment: Commitment

    def to_bytes(self) -> bytes:
        """Holds secrets: seal it."""
        return pack(
            tags.STATE_FROST_NONCES,
            self.suite.name.encode(),
            index_to_bytes(self.index),
            self.hiding.to_bytes(),
            self.binding.to_bytes(),
            self.commitment.to_bytes(),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Nonces:
        """From our own store, once opened."""
        name, index, hiding, binding, commitment = unpack_tagged(tags.STATE_FROST_NONCES, 5, data)
        suite = ciphersuite(name.decode())
        return cls(
            suite=suite,
            index=index_from_bytes(index),
            hiding=suite.group.scalar_from_bytes_checked(hiding),
            binding=suite.group.scalar_from_bytes_checked(binding),
            commitment=Commitment.from_bytes_stored(suite.group, commitment),
        )
