"""Signature shares on their way from a party to the coordinator, which alone can read them.

Sealed between two identities, so without an operation on the curve for each message. Whoever learns
either's key later reads them: by then they are a signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contracts.encoding import digest, pack, unpack
from contracts.errors import ContractError
from contracts.identity import Identity, PublicIdentity
from contracts.primitives import MAX_ITEMS

TAG = b"warren/signature-shares/v1"
KIND = b"share_signed"
_NONCE_BYTES = 12
_COUNT_BYTES = 2


def seal(
    shares: Sequence[bytes],
    *,
    party_id: str,
    identity: Identity,
    coordinator: PublicIdentity,
    session_id: bytes,
) -> bytes:
    """For the coordinator, from a party in a session. Equal shares seal to equal bytes."""
    content = len(shares).to_bytes(_COUNT_BYTES) + pack(shares)
    nonce = digest(TAG, content)[:_NONCE_BYTES]
    return nonce + _key(identity, coordinator, session_id, party_id).encrypt(nonce, content, None)


def unseal(
    sealed: bytes,
    *,
    party_id: str,
    party: PublicIdentity,
    identities: Iterable[Identity],
    session_id: bytes,
) -> list[bytes]:
    """
    Arguments:
        identities: The coordinator's: during a rotation a party may have sealed for either.

    Raises ContractError if it opens with none of them, or holds no shares.
    """
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    for identity in identities:
        try:
            content = _key(identity, party, session_id, party_id).decrypt(nonce, ciphertext, None)
        except (InvalidTag, ValueError):
            continue
        return _parsed(content)
    raise ContractError("sealed for no identity of this coordinator's")


def _parsed(content: bytes) -> list[bytes]:
    count = int.from_bytes(content[:_COUNT_BYTES])
    if not 1 <= count <= MAX_ITEMS:
        raise ContractError(f"{count} signature shares; there are 1 to {MAX_ITEMS}")
    return list(unpack(content[_COUNT_BYTES:], count))


def _key(own: Identity, peer: PublicIdentity, session_id: bytes, party_id: str) -> AESGCM:
    info = pack((TAG, session_id, KIND, party_id.encode()))
    return AESGCM(HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(own.meet(peer)))
