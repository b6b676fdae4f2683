"""The coordinator's instructions as they travel: what it seals, and what whoever hears believes.

Every instruction goes this way, by what all of them have; none has a line of its own here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from contracts import sessions, strict_json
from contracts.coordinators import Coordinators
from contracts.envelope import COORDINATOR, ENVELOPE_TAG, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import Identity, PublicIdentity
from contracts.primitives import MAX_BODY_BYTES
from contracts.requests import MAX_LIFETIME_MS
from contracts.signing import explain

MAX_INSTRUCTION_BYTES = 2 * MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Instructed:
    """
    Attributes:
        coordinator: Who signed it.
    """

    instruction: sessions.Instruction
    coordinator: PublicIdentity


def sealed(
    payload: bytes, identity: Identity, *, kind: str, session_id: bytes, recipient: str
) -> bytes:
    """An instruction's JSON, signed for a party or for everyone."""
    return Envelope(
        session_id=session_id,
        epoch=0,
        kind=kind,
        round=0,
        sender=COORDINATOR,
        recipient=recipient,
        payload=payload,
    ).seal(identity)


class Instructions:
    """
    Arguments:
        recipient: Whose instructions these are.
        tolerance_ms: How far the coordinator's clock may be from ours.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        coordinators: Coordinators,
        recipient: str,
        *,
        tolerance_ms: int,
        clock: Callable[[], int],
    ) -> None:
        self._coordinators = coordinators
        self._recipient = recipient
        self._tolerance_ms = tolerance_ms
        self._clock = clock

    def read(self, body: bytes, kind: str) -> Instructed:
        """
        Arguments:
            kind: As the delivery has it, which is not signed.

        Raises:
            UnauthenticatedError: the coordinator does not say this to us now.
            ContractError: it does, and it is no instruction.
        """
        if len(body) > MAX_INSTRUCTION_BYTES:
            raise _not_believed(f"{len(body)} bytes are too many for an instruction", "malformed")
        unverified = UnverifiedEnvelope.from_bytes(body)
        now, claimed = self._clock(), unverified.claimed
        if (claimed.sender, claimed.round) != (COORDINATOR, 0):
            raise _not_believed("not an instruction of the coordinator's", "misplaced")
        if claimed.recipient != self._recipient:
            raise _not_believed(f"an instruction for {claimed.recipient!r}", "misplaced")
        if claimed.kind != kind:
            raise _not_believed(f"an envelope for {claimed.kind} came as {kind!r}", "misplaced")
        signer = self._coordinators.verify(
            ENVELOPE_TAG, unverified.content, unverified.signature, now=now
        )
        instruction = _parsed(claimed)
        self._check_time(instruction.issued_at, now)
        return Instructed(instruction, signer)

    def _check_time(self, issued_at: int, now: int) -> None:
        """One of long ago may be any that was recorded: of its session nothing is known by now."""
        if now - issued_at > MAX_LIFETIME_MS + self._tolerance_ms:
            raise _not_believed("the instruction is too old; is a clock wrong?", "stale")
        if issued_at - now > self._tolerance_ms:
            raise _not_believed("the instruction is from the future; is a clock wrong?", "early")


def _parsed(envelope: Envelope) -> sessions.Instruction:
    try:
        instruction = strict_json.validated(sessions.INSTRUCTION, envelope.payload)
    except (ValidationError, ContractError) as error:
        raise ContractError(f"not an instruction: {explain(error)}") from None
    if instruction.instruction != envelope.kind:
        raise ContractError(f"{instruction.instruction} in an envelope for {envelope.kind}")
    if instruction.session_id != envelope.session_id:
        raise ContractError(f"{envelope.kind} of another session than its envelope's")
    return instruction


def _not_believed(reason: str, kind: str) -> UnauthenticatedError:
    return UnauthenticatedError(reason, kind=kind)
