"""A session as its owner sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from contracts.results import SessionEvent, SessionView, Status

from ...store.records import RequestRecord, Session, StoredEvent
from .announcing import caller_token, session_token
from .conduct import Conduct


def session_view(
    record: RequestRecord,
    session: Session,
    conduct: Conduct,
    events: Sequence[StoredEvent],
    *,
    session_id: bytes,
    with_tokens: bool,
) -> SessionView:
    """
    Arguments:
        session_id: By which the owner knows it: of a request's sessions, each is all of them.
        with_tokens: Those that it was announced with, if it was.
    """
    request, terms = conduct.request, conduct.terms
    announced = with_tokens and conduct.announces
    return SessionView(
        session_id=session_id,
        request_id=record.request_id,
        operation=record.operation,
        key_id=request.key_id,
        status=status_of(record, session),
        deadline=session.deadline if not conduct.announces else conduct.deadline,
        parties=[member.party_id for member in terms.members],
        events=[
            SessionEvent(
                sequence=event.sequence,
                at=event.at,
                event=event.event,
                party_id=event.party_id,
                details=json.loads(event.details),
            )
            for event in events
        ],
        threshold=terms.threshold,
        party_count=conduct.party_count,
        curve=conduct.curve,
        reference=request.reference,
        joined=conduct.joined,
        join_tokens={each: caller_token(conduct, each) for each in conduct.first.parties}
        if announced
        else {},
        session_token=session_token(conduct) if announced else None,
        client_id=request.client_id,
        tenant=request.tenant,
    )


def status_of(record: RequestRecord, session: Session) -> Status:
    """A session that ended without a result has others to follow it."""
    status = Status(session.status)
    return Status.IN_PROGRESS if status.final and record.result is None else status
