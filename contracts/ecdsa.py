"""ECDSA signatures on secp256k1, in the forms that their users know. Public data only."""

from __future__ import annotations

from dataclasses import dataclass

import coincurve
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .errors import ContractError
from .secp256k1 import ORDER, parse_point

SIGNATURE_SIZE = 65
DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class EcdsaSignature:
    """r and s in range, and of the two s that verify the lower one.

    Attributes:
        recovery_id: 0..3, says which of the keys that fit r and s has signed. Bit 0: R has an
            odd y. Bit 1: R's x is not below the group's order.

    Raises:
        ContractError: A number is out of range.
    """

    r: int
    s: int
    recovery_id: int

    def __post_init__(self) -> None:
        if not 0 < self.r < ORDER or not 0 < self.s < ORDER:
            raise ContractError("r and s are above 0 and below the group's order")
        if self.s > ORDER // 2:
            raise ContractError("s is high; of s and -s only the lower is a signature here")
        if not 0 <= self.recovery_id <= 3:
            raise ContractError(f"a recovery id is 0 to 3, not {self.recovery_id}")

    @classmethod
    def from_bytes(cls, data: bytes) -> EcdsaSignature:
        """65 bytes: r || s || recovery id."""
        if len(data) != SIGNATURE_SIZE:
            raise ContractError(f"an ECDSA signature has {SIGNATURE_SIZE} bytes, not {len(data)}")
        return cls(int.from_bytes(data[:32]), int.from_bytes(data[32:64]), data[64])

    def to_bytes(self) -> bytes:
        """65 bytes: r || s || recovery id."""
        return self.compact + self.recovery_id.to_bytes(1)

    @property
    def compact(self) -> bytes:
        """64 bytes: r || s."""
        return self.r.to_bytes(32) + self.s.to_bytes(32)

    @property
    def der(self) -> bytes:
        """Up to 71 bytes; Bitcoin's scripts append the hash type."""
        return encode_dss_signature(self.r, self.s)

    @property
    def ethereum(self) -> bytes:
        """65 bytes: r || s || v, v being 27 or 28.

        Raises:
            ContractError: R's x is not below the group's order (2^-127), for which there is no v.
        """
        if self.recovery_id > 1:
            raise ContractError(f"Ethereum knows no recovery id {self.recovery_id}")
        return self.compact + (27 + self.recovery_id).to_bytes(1)

    def recover(self, digest: bytes) -> bytes:
        """The public key that made this signature, compressed.

        Raises:
            ContractError: None did, or the digest is not 32 bytes long.
        """
        _require_digest(digest)
        try:
            key = coincurve.PublicKey.from_signature_and_message(
                self.to_bytes(), digest, hasher=None
            )
        except ValueError:
            raise ContractError("the ECDSA signature leads to no public key") from None
        return bytes(key.format())


def check(public_key: bytes, digest: bytes, signature: bytes) -> None:
    """Raises ContractError unless it verifies under this key, and its recovery id says so too.

    Arguments:
        public_key: Compressed.
        signature: 65 bytes: r || s || recovery id.
    """
    parsed = EcdsaSignature.from_bytes(signature)
    # The key recovered is Q = (s * R - digest * G) / r, which is the equation that verification
    # checks, solved for Q: whoever equals it has verified.
    if parsed.recover(digest) == public_key:
        return
    if parse_point(public_key).verify(parsed.der, digest, hasher=None):
        raise ContractError("the recovery id leads to another key")
    raise ContractError("r and s are no signature by this key")


def _require_digest(digest: bytes) -> None:
    if len(digest) != DIGEST_SIZE:
        raise ContractError(f"ECDSA signs a digest of {DIGEST_SIZE} bytes, not {len(digest)}")
