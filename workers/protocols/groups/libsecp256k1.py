"""The calls of libsecp256k1 we need, through coincurve's private cffi handle.

coincurve's own classes re-parse and re-serialise at every step. This is the only module that
imports the handle, and coincurve is pinned to one major version because of it. A ``Handle`` is a
``secp256k1_pubkey *``: parsed, never the identity, never written to after it was made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NewType

from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

Handle = NewType("Handle", object)

POINT_SIZE = 33
ELLSWIFT_SIZE = 64
_CONTEXT = GLOBAL_CONTEXT.ctx
_COMPRESSED = lib.SECP256K1_EC_COMPRESSED


def _new() -> Any:
    return ffi.new("secp256k1_pubkey *")


def parse(data: bytes) -> Handle | None:
    """SEC1 bytes to a point; None if they are none. Callers check the length: 33 is compressed."""
    made = _new()
    return made if lib.secp256k1_ec_pubkey_parse(_CONTEXT, made, data, len(data)) else None


def serialize(point: Handle) -> bytes:
    out = ffi.new("unsigned char[33]")
    size = ffi.new("size_t *", POINT_SIZE)
    lib.secp256k1_ec_pubkey_serialize(_CONTEXT, out, size, point, _COMPRESSED)
    return bytes(out)


def equal(one: Handle, other: Handle) -> bool:
    return bool(lib.secp256k1_ec_pubkey_cmp(_CONTEXT, one, other) == 0)


def multiply_generator(scalar: bytes) -> Handle | None:
    """Scalar times G by ``ecmult_gen``: constant-time. None for zero."""
    made = _new()
    return made if lib.secp256k1_ec_pubkey_create(_CONTEXT, made, scalar) else None


def multiply_variable_time(point: Handle, scalar: bytes) -> Handle | None:
    """Scalar times point by ``ecmult``: *variable time*, public scalars only. None for zero."""
    made = ffi.new("secp256k1_pubkey *", point[0])  # type: ignore[index]  # cffi's dereference
    return made if lib.secp256k1_ec_pubkey_tweak_mul(_CONTEXT, made, scalar) else None


def ecdh(point: Handle, scalar: bytes) -> bytes | None:
    """SHA-256 of scalar times a foreign point, compressed: constant-time. None for zero."""
    out = ffi.new("unsigned char[32]")
    made = lib.secp256k1_ecdh(_CONTEXT, out, point, scalar, ffi.NULL, ffi.NULL)
    return bytes(out) if made else None


def decode_ellswift(data: bytes) -> Handle:
    """64 bytes, any of them, to a point (BIP-324). Of a hash: nobody knows its discrete log."""
    if len(data) != ELLSWIFT_SIZE:
        raise ValueError(f"an ElligatorSwift encoding is {ELLSWIFT_SIZE} bytes, not {len(data)}")
    made = _new()
    lib.secp256k1_ellswift_decode(_CONTEXT, made, data)
    return Handle(made)


def add(points: Sequence[Handle]) -> Handle | None:
    """Sum of one or more points. None if it is the identity."""
    made = _new()
    return made if lib.secp256k1_ec_pubkey_combine(_CONTEXT, made, points, len(points)) else None


def negate(point: Handle) -> Handle:
    made = ffi.new("secp256k1_pubkey *", point[0])  # type: ignore[index]  # cffi's dereference
    lib.secp256k1_ec_pubkey_negate(_CONTEXT, made)
    return Handle(made)


def verify_bip340(x_only_key: bytes, message: bytes, signature: bytes) -> bool:
    """BIP-340 verification. Arguments of 32, any and 64 bytes."""
    key = ffi.new("secp256k1_xonly_pubkey *")
    return bool(
        lib.secp256k1_xonly_pubkey_parse(_CONTEXT, key, x_only_key)
        and lib.secp256k1_schnorrsig_verify(_CONTEXT, signature, message, len(message), key)
    )


def verify_ecdsa(public_key: Handle, digest: bytes, signature: bytes) -> bool:
    """ECDSA verification of r and s, 32 bytes each. Digest of 32 bytes. High s is refused."""
    parsed = ffi.new("secp256k1_ecdsa_signature *")
    return bool(
        lib.secp256k1_ecdsa_signature_parse_compact(_CONTEXT, parsed, signature)
        and lib.secp256k1_ecdsa_verify(_CONTEXT, parsed, digest, public_key)
    )


def recover_ecdsa(digest: bytes, signature: bytes, recovery_id: int) -> Handle | None:
    """The key that r and s, 32 bytes each, with this recovery id (0..3) are a signature of; high s
    too. Digest of 32 bytes. None if there is no such key."""
    parsed = ffi.new("secp256k1_ecdsa_recoverable_signature *")
    made, parse = _new(), lib.secp256k1_ecdsa_recoverable_signature_parse_compact
    if not parse(_CONTEXT, parsed, signature, recovery_id):
        return None
    return made if lib.secp256k1_ecdsa_recover(_CONTEXT, made, parsed, digest) else None
