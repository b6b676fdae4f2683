"""The failure that each family of errors is reported as."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.terms import Member

from ..protocols.rounds import DisputeError, EchoMismatchError, PartyFaultError, SpoiltSessionError
from .errors import EquivocationError, RefusedError


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
        case DisputeError():
            accused = ", ".join(sorted(names[index] for index in error.accused))
            return Failure.of(
                FailureCode.SPOILT,
                f"{names[error.accuser]} cannot use what {accused} sealed for it; which of them is "
                "wrong nobody else can tell",
                round=round_,
            )
        case SpoiltSessionError() | ContractError():
            return Failure.of(FailureCode.SPOILT, str(error), round=round_)
    return Failure.of(
        FailureCode.INTERNAL, f"a step failed with {type(error).__name__}", round=round_
    )
