"""What parties reported before, and what the coordinator believes of the failures among it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from contracts import sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.failures import Failure, FailureCode

from ...store.records import Received

_PARTIES_CODES = {
    FailureCode.PARTY_FAULT,
    FailureCode.PARTY_REFUSED,
    FailureCode.STALE_EPOCH,
    FailureCode.KEY_BUSY,
    FailureCode.SPOILT,
    FailureCode.EXPIRED,
}


def payload(row: Received) -> bytes:
    """What a report said that was verified when it came."""
    return UnverifiedEnvelope.from_bytes(row.body).claimed.payload


def said_to_be_silent(received: Iterable[Received], parties: Collection[str]) -> list[str]:
    """Those of the parties of whom others reported that they heard nothing."""
    return sorted(
        {
            party_id
            for row in received
            if row.slot == "session_failed"
            for party_id in sessions.SessionFailed.model_validate_json(payload(row)).failure.silent
            if party_id in parties and party_id != row.sender
        }
    )


def passed_on(
    failure: Failure,
    sender: str,
    parties: Iterable[str],
    said: str,
    *,
    known: Collection[FailureCode] = (),
) -> Failure:
    """What the coordinator believes of a party's word: only what a party can know, and of others
    only that they are in its session.

    Arguments:
        said: Stands before what it says.
        known: What a party can know in this session, besides what it can in any.
    """
    others = set(parties) - {sender}
    return Failure.of(
        failure.code if failure.code in {*_PARTIES_CODES, *known} else FailureCode.INTERNAL,
        f"{said}: {failure.message}"[:2000],
        round=failure.round,
        culprits=sorted(others & set(failure.culprits)),
        silent=sorted(others & set(failure.silent)),
    )
