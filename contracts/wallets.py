"""A secp256k1 key as wallets and chains write it. Public data only.

The libraries, warren-client's extra `wallets`, are imported where they are needed: btclib takes
20 ms, eth-utils 50, and no worker needs them.
"""

from __future__ import annotations

from typing import Literal

from .derivation import DerivedKey
from .primitives import Scheme
from .secp256k1 import parse_point
from .verification import verifying_key

Network = Literal["mainnet", "testnet"]
"""Of Bitcoin. What Ethereum's networks call an address is the same on all of them."""


def xpub(key: DerivedKey, *, network: Network = "mainnet") -> str:
    """BIP-32's extended public key: ``xpub...``, or ``tpub...`` for the testnet.

    A wallet that reads it derives the children that we sign for.
    """
    from btclib import base58
    from btclib.network import network_from_name

    data = b"".join(
        (
            network_from_name(network).bip32_pub,
            key.depth.to_bytes(1),
            key.parent_fingerprint,
            key.index.to_bytes(4),
            key.chain_code,
            key.public_key,
        )
    )
    return base58.encode(data, 78).decode()


def ethereum_address(public_key: bytes) -> str:
    """``0x...`` with EIP-55's capitals. `public_key` is compressed, as everywhere here."""
    from eth_utils.address import to_checksum_address
    from eth_utils.crypto import keccak

    point = parse_point(public_key).format(compressed=False)
    return to_checksum_address(keccak(point[1:])[-20:])


def bitcoin_p2wpkh(public_key: bytes, *, network: Network = "mainnet") -> str:
    """BIP-84's address ``bc1q...``, spent with an ECDSA signature of this key."""
    from btclib.b32 import p2wpkh
    from btclib.key import PubKeyData

    return p2wpkh(PubKeyData(parse_point(public_key).format(), network))


def bitcoin_p2tr(public_key: bytes, *, network: Network = "mainnet") -> str:
    """BIP-86's address ``bc1p...``, spent with a BIP-340 signature of this key, for which it is
    asked with an empty `taproot_merkle_root`."""
    from btclib.b32 import p2tr

    output_key = verifying_key(parse_point(public_key).format(), Scheme.BIP340, b"")
    return p2tr(output_key, network)
