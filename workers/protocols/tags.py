"""Every domain-separation tag, in one place. A changed meaning is a new version, never a reuse."""

from __future__ import annotations

from typing import Final

# Hashes of our own protocols: first part of a length-prefixed input (``encoding.digest``).
KEYGEN_COEFFICIENT: Final = b"warren/keygen/coefficient/v1"
KEYGEN_PROOF_NONCE: Final = b"warren/keygen/proof-nonce/v1"
KEYGEN_CHAIN_SHARE: Final = b"warren/keygen/chain-share/v1"
KEYGEN_SALT: Final = b"warren/keygen/salt/v1"
KEYGEN_COMMITMENT: Final = b"warren/keygen/commitment/v1"
KEYGEN_TRANSCRIPT: Final = b"warren/keygen/transcript/v1"
KEYGEN_CHAIN_CODE: Final = b"warren/keygen/chain-code/v1"
PROOF_NONCE: Final = b"warren/proof/nonce/v1"
PROOF_CHALLENGE: Final = b"warren/proof/challenge/v1"

# What a proof of knowledge is about.
PROTOCOL_KEYGEN: Final = b"warren/keygen/v1"
ROLE_COEFFICIENT: Final = b"feldman-coefficient"

# First part of everything that is stored between deliveries.
STATE_KEY_SHARE: Final = b"warren/state/key-share/v1"
STATE_KEY_VIEW: Final = b"warren/state/key-view/v1"
STATE_KEYGEN_PARAMETERS: Final = b"warren/state/keygen-parameters/v1"
STATE_KEYGEN_COMMITTED: Final = b"warren/state/keygen-committed/v1"
STATE_KEYGEN_OPENED: Final = b"warren/state/keygen-opened/v1"
STATE_KEYGEN_DEALT: Final = b"warren/state/keygen-dealt/v1"
STATE_KEYGEN_FINISHED: Final = b"warren/state/keygen-finished/v1"
STATE_FROST_NONCES: Final = b"warren/state/frost-nonces/v1"

# Given by others: RFC 9591 sections 6.1 and 6.5, frost-secp256k1-tr, BIP-340 and BIP-341.
FROST_ED25519: Final = b"FROST-ED25519-SHA512-v1"
FROST_SECP256K1: Final = b"FROST-secp256k1-SHA256-v1"
FROST_TAPROOT: Final = b"FROST-secp256k1-SHA256-TR-v1"
BIP340_CHALLENGE: Final = b"BIP0340/challenge"
BIP341_TWEAK: Final = b"TapTweak"
