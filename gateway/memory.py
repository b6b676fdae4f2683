"""What was last seen here of sessions: what there is, where nobody answers in time."""

from __future__ import annotations

import time
from collections import OrderedDict

from contracts.primitives import Status
from contracts.results import QuerySessionResult, SessionAnnounced
from contracts.views import SessionView

from .watching import Name

SESSIONS = 1_000
"""Some kilobytes each."""


class Memory:
    """Of the sessions that were looked at last; never more than was true once."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Name, QuerySessionResult] = OrderedDict()

    def keep(self, name: Name, looked: QuerySessionResult) -> None:
        """Remember it, and forget what was looked at longest ago."""
        self._seen[name] = looked
        self._seen.move_to_end(name)
        if len(self._seen) > SESSIONS:
            self._seen.popitem(last=False)

    def of(self, name: Name) -> QuerySessionResult | None:
        """The session as it was last seen, if it was."""
        return self._seen.get(name)


def as_announced(announced: SessionAnnounced, key_id: str) -> QuerySessionResult:
    """The session as it was when it began, without the history that only the coordinator knows."""
    view = SessionView(
        session_id=announced.session_id,
        request_id=announced.request_id,
        operation=announced.terms.protocol,
        key_id=key_id,
        status=Status.WAITING,
        deadline=announced.deadline,
        parties=announced.parties,
        events=[],
        threshold=announced.terms.threshold,
        join_tokens=announced.join_tokens,
        session_token=announced.session_token,
    )
    return QuerySessionResult(
        request_id=announced.request_id,
        client_id=announced.client_id,
        session_id=announced.session_id,
        request_digest=announced.request_digest,
        status=Status.COMPLETED,
        finished_at=time.time_ns() // 1_000_000,
        session=view,
    )
