"""secp256k1 as BIP-340 and BIP-32 spell it out, in plain integers: slow, and nobody else's code.

The product verifies with libsecp256k1; what checks the product must not share its mistakes.
"""

from __future__ import annotations

import hashlib
import hmac

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)

Point = tuple[int, int] | None
"""None is the point at infinity."""


def add(a: Point, b: Point) -> Point:
    if a is None:
        return b
    if b is None:
        return a
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(factor: int, point: Point) -> Point:
    product: Point = None
    while factor:
        if factor & 1:
            product = add(product, point)
        point = add(point, point)
        factor >>= 1
    return product


def lift(x: int, *, odd: bool) -> Point:
    """The point with this x. None if there is none."""
    if x >= P:
        return None
    square = (pow(x, 3, P) + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    return x, y if y % 2 == odd else P - y


def from_compressed(encoded: bytes) -> Point:
    if len(encoded) != 33 or encoded[0] not in {2, 3}:
        return None
    return lift(int.from_bytes(encoded[1:]), odd=encoded[0] == 3)


def to_compressed(point: Point) -> bytes:
    assert point is not None
    return (2 + point[1] % 2).to_bytes(1) + point[0].to_bytes(32)


def child(public_key: bytes, chain_code: bytes, path: str) -> bytes:
    """BIP-32 CKDpub along ``m/0/7``."""
    for step in path.split("/")[1:]:
        wide = hmac.digest(chain_code, public_key + int(step).to_bytes(4), hashlib.sha512)
        tweak, chain_code = int.from_bytes(wide[:32]), wide[32:]
        public_key = to_compressed(add(multiply(tweak, G), from_compressed(public_key)))
    return public_key


def verifies_bip340(public_key: bytes, message: bytes, signature: bytes) -> bool:
    key = lift(int.from_bytes(public_key), odd=False)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if key is None or len(signature) != 64 or r >= P or s >= N:
        return False
    tag = hashlib.sha256(b"BIP0340/challenge").digest()
    wide = hashlib.sha256(tag + tag + signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(wide) % N
    point = add(multiply(s, G), multiply(N - challenge, key))
    return point is not None and point[1] % 2 == 0 and point[0] == r


def verifies_ecdsa(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """r || s, and whatever follows."""
    key = from_compressed(public_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    if key is None or not 0 < r < N or not 0 < s <= N // 2:
        return False
    inverse = pow(s, -1, N)
    point = add(multiply(int.from_bytes(digest) * inverse % N, G), multiply(r * inverse % N, key))
    return point is not None and point[0] % N == r
