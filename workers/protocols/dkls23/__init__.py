"""Threshold ECDSA, DKLs23: presignatures in batches, then one message. See README.md."""

from __future__ import annotations

from .ecdsa import Signature, verify
from .messages import Answer, Commitment, Extension, SetUp
from .parameters import Parameters
from .presign import finish, round0, round1, round2
from .presignature import Presignature, PresignatureView
from .sign import SignatureShare, Task, combine, sign
from .state import Answered, Extended, Offered

__all__ = [
    "Answer",
    "Answered",
    "Commitment",
    "Extended",
    "Extension",
    "Offered",
    "Parameters",
    "Presignature",
    "PresignatureView",
    "SetUp",
    "Signature",
    "SignatureShare",
    "Task",
    "combine",
    "finish",
    "round0",
    "round1",
    "round2",
    "sign",
    "verify",
]
