"""Schnorr's proof that a party knows the discrete logarithm of a point.

Non-interactive by Fiat and Shamir. The challenge covers the whole statement *and* where it is
made, so a proof cannot be replayed for another party, session, coefficient or protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import tags
from .encoding import hash_to_scalar, index_to_bytes, require_size
from .groups import Group, IdentityError, Point, Scalar
from .rounds import PartyIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofContext:
    """Where a proof is made.

    Attributes:
        protocol: A tag of ``tags.py``, with its version.
        session: Digest or packing of all that distinguishes the session.
        party: The prover.
        role: What the secret is to the protocol, a tag of ``tags.py``.
        index: Which of several secrets of that role.
    """

    protocol: bytes
    session: bytes
    party: PartyIndex
    role: bytes
    index: int

    def parts(self) -> tuple[bytes, ...]:
        """All of it, as the challenge hashes it."""
        party, index = index_to_bytes(self.party), index_to_bytes(self.index)
        return self.protocol, self.session, party, self.role, index


@dataclass(frozen=True, slots=True)
class Proof:
    """R and s with s * G = R + c * public. ``point_size + scalar_size`` bytes."""

    r: Point
    s: Scalar

    @classmethod
    def from_bytes(cls, group: Group, data: bytes) -> Proof:
        require_size(data, proof_size(group), "a proof")
        return cls(
            group.point_from_bytes_checked(data[: group.point_size]),
            group.scalar_from_bytes_checked(data[group.point_size :]),
        )

    def to_bytes(self) -> bytes:
        return self.r.to_bytes() + self.s.to_bytes()


def proof_size(group: Group) -> int:
    """Bytes of a proof: R and s."""
    return group.point_size + group.scalar_size


def prove(secret: Scalar, public: Point, context: ProofContext, randomness: bytes) -> Proof:
    """Prove knowledge of ``secret``, where ``public`` = secret * G.

    Arguments:
        randomness: FRESH, 32 bytes. Hashed with the secret, so that a weak source alone does not
            reveal it.
    """
    group = secret.group
    k = hash_to_scalar(group, tags.PROOF_NONCE, randomness, secret.to_bytes(), *context.parts())
    r = k * group.generator
    return Proof(r, k + _challenge(group, public, r, context) * secret)


def verify(group: Group, proof: Proof, public: Point, context: ProofContext) -> bool:
    """Whether whoever made the proof knew the logarithm of ``public``, in this context."""
    c = _challenge(group, public, proof.r, context)
    try:
        return proof.s * group.generator == proof.r + public.multiply_public(c)
    except IdentityError:
        return False  # s = 0 or R = -c * public: only somebody who chose them so


def prove_each(
    secrets: Sequence[Scalar],
    publics: Sequence[Point],
    contexts: Sequence[ProofContext],
    randomness: Sequence[bytes],
) -> tuple[Proof, ...]:
    """One proof for each secret, in its context and with its own FRESH randomness."""
    return tuple(map(prove, secrets, publics, contexts, randomness))


def verify_each(
    group: Group,
    proofs: Sequence[Proof],
    publics: Sequence[Point],
    contexts: Sequence[ProofContext],
) -> bool:
    """Whether as many proofs as points hold, each in its context."""
    rows = zip(proofs, publics, contexts, strict=True)
    return all(verify(group, proof, public, context) for proof, public, context in rows)


def _challenge(group: Group, public: Point, r: Point, context: ProofContext) -> Scalar:
    statement = (group.name.encode(), public.to_bytes(), r.to_bytes())
    return hash_to_scalar(group, tags.PROOF_CHALLENGE, *context.parts(), *statement)
