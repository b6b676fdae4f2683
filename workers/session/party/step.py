"""What one step of a session comes to, whichever protocol took it."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.errors import ContractError
from contracts.results import Status

from ...protocols.rounds import (
    ProtocolError,
)
from ...store.records import (
    AnswerRecord,
    CancellationRecord,
    EpochStep,
    KeyShareRecord,
    NonceRecord,
    Outgoing,
    PresignatureRecord,
)
from ..errors import EquivocationError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    Attributes:
        state: For the next step; empty when there is none. Secret.
        erased_with: As of `PartyChange`, for a step with a state.
        epoch: What becomes of the epoch that the session makes.
        take_nonce: The nonce that this step has used up.
        take_presignatures: Batch and position of those that it has used up.
        forget_sent: What the session sent before is of no use to anybody any more.
        answers: The request that this step is about, if it begins a session or sends what makes a
            signature or a key.
        forbids: The request for which nothing is to be committed any more.
    """

    status: Status
    state: bytes = field(default=b"", repr=False)
    erased_with: int | None = None
    outgoing: tuple[Outgoing, ...] = ()
    key_share: KeyShareRecord | None = None
    epoch: EpochStep | None = None
    take_nonce: bytes | None = None
    nonces: tuple[NonceRecord, ...] = ()
    take_presignatures: tuple[tuple[bytes, int], ...] = ()
    presignatures: tuple[PresignatureRecord, ...] = ()
    forget_sent: bool = False
    answers: AnswerRecord | None = None
    forbids: CancellationRecord | None = None


STEP_ERRORS = (ProtocolError, RefusedError, EquivocationError, ContractError)
"""What a step raises when its session is to fail; all else is a bug or the store's trouble."""
