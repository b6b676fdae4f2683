"""What the modules on secp256k1 keys and signatures share."""

from __future__ import annotations

import coincurve

from .errors import ContractError

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""How many points the group has, the one at infinity included; below it are the scalars."""


def parse_point(encoded: bytes) -> coincurve.PublicKey:
    """Raises ContractError unless it is a compressed point, 33 bytes."""
    if len(encoded) != 33:
        raise ContractError("a compressed secp256k1 point has 33 bytes")
    try:
        return coincurve.PublicKey(encoded)
    except ValueError:
        raise ContractError("not a point of secp256k1") from None
