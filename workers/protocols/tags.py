"""Every domain-separation tag, in one place. A changed meaning is a new version, never a reuse."""

from __future__ import annotations

from typing import Final

# Hashes of our own protocols: first part of a length-prefixed input (``encoding.digest``).
KEYGEN_VIEW: Final = b"warren/keygen/view/v1"
KEYGEN_COEFFICIENT: Final = b"warren/keygen/coefficient/v1"
KEYGEN_PROOF_NONCE: Final = b"warren/keygen/proof-nonce/v1"
KEYGEN_CHAIN_SHARE: Final = b"warren/keygen/chain-share/v1"
KEYGEN_SALT: Final = b"warren/keygen/salt/v1"
KEYGEN_COMMITMENT: Final = b"warren/keygen/commitment/v1"
KEYGEN_TRANSCRIPT: Final = b"warren/keygen/transcript/v1"
KEYGEN_CHAIN_CODE: Final = b"warren/keygen/chain-code/v1"
RESHARE_VIEW: Final = b"warren/reshare/view/v1"
RESHARE_COEFFICIENT: Final = b"warren/reshare/coefficient/v1"
RESHARE_PROOF_NONCE: Final = b"warren/reshare/proof-nonce/v1"
RESHARE_SALT: Final = b"warren/reshare/salt/v1"
RESHARE_COMMITMENT: Final = b"warren/reshare/commitment/v1"
RESHARE_TRANSCRIPT: Final = b"warren/reshare/transcript/v1"
PROOF_NONCE: Final = b"warren/proof/nonce/v1"
PROOF_CHALLENGE: Final = b"warren/proof/challenge/v1"

# FROST.
FROST_HIDING: Final = b"warren/frost/hiding-randomness/v1"
FROST_BINDING: Final = b"warren/frost/binding-randomness/v1"

# Oblivious transfer up to the multiplier. Keys of bulk hashes: what follows them has fixed widths.
COINS: Final = b"warren/coins/v1"
COINS_HEDGED: Final = b"warren/coins/hedged/v1"
OT_BASE_POINT: Final = b"warren/ot/base/point/v1"
OT_BASE_UNKNOWN: Final = b"warren/ot/base/unknown/v1"
OT_BASE_KEY: Final = b"warren/ot/base/key/v1"
OT_TREE_NODE: Final = b"warren/ot/tree/node/v1"
OT_TREE_LEAF: Final = b"warren/ot/tree/leaf/v1"
OT_EXTENSION_PRG: Final = b"warren/ot/extension/prg/v1"
OT_EXTENSION_CHALLENGE: Final = b"warren/ot/extension/challenge/v2"
OT_EXTENSION_PROOF: Final = b"warren/ot/extension/proof/v1"
OT_ROWS: Final = b"warren/ot/rows/v1"
MULTIPLIER_GADGET: Final = b"warren/multiplier/gadget/v1"
MULTIPLIER_TRANSCRIPT: Final = b"warren/multiplier/transcript/v1"
MULTIPLIER_THETA: Final = b"warren/multiplier/theta/v1"
MULTIPLIER_MU: Final = b"warren/multiplier/mu/v1"

# Threshold ECDSA.
ZERO_SHARE: Final = b"warren/zero-share/v1"
ZERO_SHARE_SEED: Final = b"warren/zero-share/seed/v1"
PRESIGN_MESSAGE: Final = b"warren/dkls23/message/v1"
PRESIGN_PAIR: Final = b"warren/dkls23/pair/v1"
PRESIGN_DIRECTION: Final = b"warren/dkls23/direction/v1"
PRESIGN_COMMITMENT: Final = b"warren/dkls23/commitment/v1"
PRESIGN_ECHO: Final = b"warren/dkls23/echo/v1"
SIGN_RERANDOMISATION: Final = b"warren/dkls23/rerandomisation/v1"

# What a proof of knowledge is about.
PROTOCOL_KEYGEN: Final = b"warren/keygen/v1"
PROTOCOL_PRESIGN: Final = b"warren/dkls23/presign/v2"
PROTOCOL_RESHARE: Final = b"warren/reshare/v1"
ROLE_COEFFICIENT: Final = b"feldman-coefficient"
ROLE_SECRET_SHARE: Final = b"secret-share"

# First part of everything that is stored between deliveries.
STATE_KEY_SHARE: Final = b"warren/state/key-share/v1"
STATE_KEY_VIEW: Final = b"warren/state/key-view/v1"
STATE_KEYGEN_PARAMETERS: Final = b"warren/state/keygen-parameters/v1"
STATE_KEYGEN_COMMITTED: Final = b"warren/state/keygen-committed/v1"
STATE_KEYGEN_OPENED: Final = b"warren/state/keygen-opened/v1"
STATE_KEYGEN_DEALT: Final = b"warren/state/keygen-dealt/v1"
STATE_KEYGEN_FINISHED: Final = b"warren/state/keygen-finished/v1"
STATE_RESHARE_PARAMETERS: Final = b"warren/state/reshare-parameters/v1"
STATE_RESHARE_COMMITTED: Final = b"warren/state/reshare-committed/v1"
STATE_RESHARE_OPENED: Final = b"warren/state/reshare-opened/v1"
STATE_RESHARE_ECHOED: Final = b"warren/state/reshare-echoed/v1"
STATE_RESHARE_DEALT: Final = b"warren/state/reshare-dealt/v1"
STATE_RESHARE_FINISHED: Final = b"warren/state/reshare-finished/v1"
STATE_FROST_NONCES: Final = b"warren/state/frost-nonces/v1"
STATE_PRESIGN_PARAMETERS: Final = b"warren/state/presign-parameters/v2"
STATE_PRESIGN_OFFERED: Final = b"warren/state/presign-offered/v1"
STATE_PRESIGN_EXTENDED: Final = b"warren/state/presign-extended/v1"
STATE_PRESIGN_ANSWERED: Final = b"warren/state/presign-answered/v1"
STATE_PRESIGNATURE: Final = b"warren/state/presignature/v1"
STATE_PRESIGNATURE_VIEW: Final = b"warren/state/presignature-view/v1"

# Given by others: RFC 9591 sections 6.1 and 6.5, frost-secp256k1-tr, BIP-340 and BIP-341.
FROST_ED25519: Final = b"FROST-ED25519-SHA512-v1"
FROST_SECP256K1: Final = b"FROST-secp256k1-SHA256-v1"
FROST_TAPROOT: Final = b"FROST-secp256k1-SHA256-TR-v1"
BIP340_CHALLENGE: Final = b"BIP0340/challenge"
BIP341_TWEAK: Final = b"TapTweak"
