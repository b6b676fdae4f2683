"""The name of a nonce batch, which coordinator and party derive alike."""

from __future__ import annotations

from contracts.encoding import digest

BATCH_TAG = b"warren/nonce-batch/v1"


def batch_id(session_id: bytes, party_id: str) -> bytes:
    """One batch for each session and party: whoever repeats or forges the wish makes no party
    sign two different answers in one session, which would look like equivocation."""
    return digest(BATCH_TAG, session_id, party_id.encode())
