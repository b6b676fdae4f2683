"""What one step of a session comes to, whichever protocol took it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.results import Status
from contracts.sessions import Member

from ..protocols.rounds import EchoMismatchError, PartyFaultError, ProtocolError, SpoiltSessionError
from ..store.records import KeyShareRecord, NonceRecord, Outgoing, PresignatureRecord
from .errors import EquivocationError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    Attributes:
        state: For the next step; empty when there is none. Secret.
        take_nonce: The nonce that this step has used up.
        take_presignatures: Batch and position of those that it has used up.
        forget_sent: What the session sent before is of no use to anybody any more.
    """

    status: Status
    state: bytes = field(default=b"", repr=False)
    outgoing: tuple[Outgoing, ...] = ()
    key_share: KeyShareRecord | None = None
    take_nonce: bytes | None = None
    nonces: tuple[NonceRecord, ...] = ()
    take_presignatures: tuple[tuple[bytes, int], ...] = ()
    presignatures: tuple[PresignatureRecord, ...] = ()
    forget_sent: bool = False


STEP_ERRORS = (ProtocolError, RefusedError, EquivocationError, ContractError)
"""What a step raises when its session is to fail; all else is a bug or the store's trouble."""


_PARTIES_CODES = {
    FailureCode.PARTY_FAULT,
    FailureCode.PARTY_REFUSED,
    FailureCode.SPOILT,
    FailureCode.EXPIRED,
}


def passed_on(failure: Failure, sender: str, parties: Iterable[str], said: str) -> Failure:
    """What the coordinator believes of a party's word: only what a party can know, and of others
    only that they are in its session.

    Arguments:
        said: Stands before what it says.
    """
    others = set(parties) - {sender}
    return Failure.of(
        failure.code if failure.code in _PARTIES_CODES else FailureCode.INTERNAL,
        f"{said}: {failure.message}"[:2000],
        round=failure.round,
        culprits=sorted(others & set(failure.culprits)),
        silent=sorted(others & set(failure.silent)),
    )


def failure_of(error: Exception, members: Sequence[Member], *, round_: int) -> Failure:
    """The failure to report. Each error family has one row here."""
    names = {member.index: member.party_id for member in members}
    match error:
        case RefusedError():
            return error.failure
        case PartyFaultError():
            culprits = [names[index] for index in error.culprits]
            return Failure.of(
                FailureCode.PARTY_FAULT,
                f"{', '.join(sorted(culprits))} failed the check {error.check!r}",
                round=round_,
                culprits=culprits,
            )
        case EquivocationError():
            return Failure.of(
                FailureCode.PARTY_FAULT, str(error), round=round_, culprits=[error.sender]
            )
        case EchoMismatchError():
            others = ", ".join(sorted(names[index] for index in error.parties))
            return Failure.of(
                FailureCode.SPOILT, f"{others} saw other broadcasts than we did", round=round_
            )
        case SpoiltSessionError() | ContractError():
            return Failure.of(FailureCode.SPOILT, str(error), round=round_)
    return Failure.of(
        FailureCode.INTERNAL, f"a step failed with {type(error).__name__}", round=round_
    )
