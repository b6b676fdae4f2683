"""What the coordinator tells the parties of a session: begin, make nonces, it is over."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from contracts import sessions
from contracts.requests import SignRequest
from contracts.terms import SessionTerms

from ...store.records import Outgoing
from ..nonce_batches import batch_id
from ..sending import cancellation, instruction
from .conduct import Conduct, Presigned


def invitations(
    conduct: Conduct, *, request: bytes, signature: bytes, time_left_ms: int, now: int
) -> tuple[Outgoing, ...]:
    """What begins the session, for every member. Only when nobody lacks a commitment, and there is
    a presignature for each message."""
    assert isinstance(conduct.terms, SessionTerms)
    commitments = (
        []
        if conduct.facts is None or conduct.presigned
        else [conduct.commitments[member.party_id] for member in conduct.terms.members]
    )
    session_id = conduct.session_id
    return tuple(
        instruction(
            sessions.SessionCreated(
                session_id=session_id,
                issued_at=now,
                terms=conduct.terms,
                commitments=commitments,
                presignatures=_used(conduct.presignatures),
                request=request,
                request_signature=signature,
                time_left_ms=max(1, time_left_ms),
            ),
            member.party_id,
            session_id,
        )
        for member in conduct.terms.members
    )


def nonce_wishes(conduct: Conduct, count: int, *, now: int) -> tuple[Outgoing, ...]:
    """`nonces_wanted` for every signer that lacks a commitment."""
    assert conduct.facts is not None
    assert isinstance(conduct.request, SignRequest)
    session_id = conduct.session_id
    return tuple(
        instruction(
            sessions.NoncesWanted(
                batch_id=batch_id(session_id, member.party_id),
                session_id=session_id,
                key_session=conduct.facts.session_id,
                epoch=conduct.facts.epoch,
                scheme=conduct.request.scheme,
                count=count,
                issued_at=now,
            ),
            member.party_id,
            session_id,
        )
        for member in conduct.lacking()
    )


def farewells(conduct: Conduct, *, now: int) -> tuple[Outgoing, ...]:
    """Tell every party, and every worker that listens, that the session is over."""
    parties = [member.party_id for member in conduct.terms.members]
    return over(conduct.session_id, parties, now=now)


def over(session_id: bytes, parties: Iterable[str], *, now: int) -> tuple[Outgoing, ...]:
    """The farewells of a session, whichever it is."""
    content = sessions.SessionCancelled(session_id=session_id, issued_at=now)
    return (
        cancellation(content),
        *(instruction(content, party_id, session_id) for party_id in parties),
    )


def _used(presignatures: Iterable[Presigned]) -> list[sessions.PresignaturesUsed]:
    """Runs of one batch together, in order: a list of 256 names few batches."""
    return [
        sessions.PresignaturesUsed(batch=batch, positions=[each.position for each in run])
        for batch, run in groupby(presignatures, key=lambda each: each.batch)
    ]
