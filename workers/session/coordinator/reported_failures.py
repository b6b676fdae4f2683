"""What the coordinator believes of the failures that parties report."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.failures import Failure, FailureCode

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
