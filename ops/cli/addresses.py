"""A public key as chains write it: base58 and bech32m (BIP-350), of public data only."""

from __future__ import annotations

from contracts.keys import KeyFacts
from contracts.primitives import Curve, Scheme
from contracts.verification import verifying_key

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32M = 0x2BC830A3
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def addresses(facts: KeyFacts) -> dict[str, str]:
    """Chain -> address, for what signs there with this key alone and no scripts."""
    if facts.curve is Curve.ED25519:
        return {"solana": base58(facts.public_key)}
    return {"bitcoin": p2tr(verifying_key(facts.public_key, Scheme.BIP340, b""))}


def base58(data: bytes) -> str:
    number, digits = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return _BASE58[0] * (len(data) - len(data.lstrip(b"\0"))) + digits


def p2tr(output_key: bytes, prefix: str = "bc") -> str:
    """The segwit address of version 1 for a taproot output key of 32 bytes."""
    bits = int.from_bytes(output_key) << 4  # 256 bits in 52 groups of 5, filled up with zeros
    program = [bits >> 5 * i & 31 for i in reversed(range(52))]
    values = [1, *program]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    checksum = _polymod([*expanded, *values, *[0] * 6]) ^ _BECH32M
    values += [checksum >> 5 * i & 31 for i in reversed(range(6))]
    return f"{prefix}1{''.join(_BECH32[value] for value in values)}"


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for i, term in enumerate(_GENERATOR):
            checksum ^= term if top >> i & 1 else 0
    return checksum
