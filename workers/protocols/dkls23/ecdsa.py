"""ECDSA signatures on secp256k1, as any verifier knows them. Low s always."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ..encoding import require_size
from ..groups import SECP256K1, Point, Scalar
from ..groups.libsecp256k1 import Handle, equal, recover_ecdsa, verify_ecdsa
from ..groups.secp256k1 import Secp256k1Point

SIGNATURE_SIZE = 65
DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Signature:
    """65 bytes: r, s, recovery id.

    Attributes:
        recovery_id: 0..3. Bit 0: R has an odd y. Bit 1: R's x is not below the order.
    """

    r: Scalar
    s: Scalar
    recovery_id: int

    @classmethod
    def normalised(cls, point: Point, r: Scalar, s: Scalar) -> Signature:
        """From the nonce's point R. s and -s verify alike; of the two the lower is used."""
        prefix, x = point.to_bytes()[0], point.to_bytes()[1:]
        recovery_id = (prefix & 1) | (int.from_bytes(x, "big") >= SECP256K1.order) << 1
        if s.value > SECP256K1.order // 2:
            s, recovery_id = -s, recovery_id ^ 1
        return cls(r, s, recovery_id)

    @classmethod
    def from_bytes(cls, data: bytes) -> Signature:
        """ValueError unless r and s are below the order and the recovery id below 4."""
        require_size(data, SIGNATURE_SIZE, "a signature")
        parse, recovery_id = SECP256K1.scalar_from_bytes_checked, data[64]
        if recovery_id > 3:
            raise ValueError(f"a recovery id is 0..3, not {recovery_id}")
        return cls(parse(data[:32]), parse(data[32:64]), recovery_id)

    def to_bytes(self) -> bytes:
        return self.compact + bytes([self.recovery_id])

    @property
    def compact(self) -> bytes:
        """r and s."""
        return self.r.to_bytes() + self.s.to_bytes()


def verify(public_key: Point, digest: bytes, signature: Signature) -> bool:
    """Whether r and s verify under ``public_key``; high s does not. The recovery id is not used."""
    return len(digest) == DIGEST_SIZE and verify_ecdsa(
        _handle(public_key), digest, signature.compact
    )


def leads_to(public_key: Point, digest: bytes, signature: Signature) -> bool:
    """Whether r, s and recovery id lead to ``public_key`` and no other; high s may, too.

    r and s verify under it then: recovery solves the equation that verification checks for the key.
    """
    if len(digest) != DIGEST_SIZE:
        return False
    found = recover_ecdsa(digest, signature.compact, signature.recovery_id)
    return found is not None and equal(found, _handle(public_key))


def _handle(public_key: Point) -> Handle:
    return cast("Secp256k1Point", public_key).handle
