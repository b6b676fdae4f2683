"""FROST, RFC 9591: threshold Schnorr signatures. See README.md beside this file."""

from __future__ import annotations

from .ciphersuites import Ciphersuite, ciphersuite
from .messages import Commitment, Nonces, SignatureShare
from .signing import aggregate, commit, output_key, sign, verify

__all__ = [
    "Ciphersuite",
    "Commitment",
    "Nonces",
    "SignatureShare",
    "aggregate",
    "ciphersuite",
    "commit",
    "output_key",
    "sign",
    "verify",
]
