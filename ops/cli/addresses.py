"""A public key as chains write it."""

from __future__ import annotations

from contracts import wallets
from contracts.keys import KeyFacts
from contracts.primitives import Curve

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def addresses(facts: KeyFacts) -> dict[str, str]:
    """What signs there with this key alone, not with its children, and without scripts."""
    public_key = facts.public_key
    if facts.curve is Curve.ED25519:
        return {"solana": base58(public_key)}
    return {
        "ethereum": wallets.ethereum_address(public_key),
        "bitcoin_p2wpkh": wallets.bitcoin_p2wpkh(public_key),
        "bitcoin_p2tr": wallets.bitcoin_p2tr(public_key),
    }


def base58(data: bytes) -> str:
    """Without a checksum, as Solana has it."""
    number, digits = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return _BASE58[0] * (len(data) - len(data.lstrip(b"\0"))) + digits
