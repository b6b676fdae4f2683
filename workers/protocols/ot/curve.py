"""secp256k1 as oblivious transfer needs it: foreign points meet secrets, and hashes become points.

A secret scalar times somebody else's point exists as a hash only, because libsecp256k1 has no
other constant-time form of it. A point made from a hash has a discrete logarithm that nobody
knows; ``H(..) * G``, whose logarithm everybody would know, cannot be written with what is here.
"""

from __future__ import annotations

import hashlib
from typing import cast

from ..groups import SECP256K1, IdentityError, Point, Scalar
from ..groups.libsecp256k1 import decode_ellswift, ecdh
from ..groups.secp256k1 import Secp256k1Point

POINT_SIZE = SECP256K1.point_size


def hash_to_curve(data: bytes) -> Secp256k1Point:
    """ElligatorSwift's map of SHA-512; ``data`` is a tagged digest, then fixed widths."""
    return Secp256k1Point(decode_ellswift(hashlib.sha512(data).digest()))


def multiply_hashed(point: Point, secret: Scalar) -> bytes:
    """SHA-256 of the compressed secret * point, in constant time. 32 bytes.

    Raises:
        IdentityError: The scalar is zero.
    """
    hashed = ecdh(cast("Secp256k1Point", point).handle, secret.to_bytes())
    if hashed is None:
        raise IdentityError("the result is the identity")
    return hashed


def hashed(point: Point) -> bytes:
    """What ``multiply_hashed`` gives where the product is ``point``."""
    return hashlib.sha256(point.to_bytes()).digest()
