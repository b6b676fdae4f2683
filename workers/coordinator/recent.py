"""Sessions as this coordinator process left them, to spare a look at the store.

A hint: what another process has changed since is noticed by the version guard of the next commit,
which then loses its race and loads the session.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ..session.coordinator.conduct import Conduct
from ..store.records import CoordinatorChange, Session

KEPT_SESSIONS = 1_000
"""Some kilobytes each."""


@dataclass(frozen=True, slots=True)
class Known:
    session: Session
    conduct: Conduct

    @classmethod
    def read(cls, session: Session) -> Known:
        return cls(session, Conduct.model_validate_json(session.state))


class RecentSessions:
    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def session(self, session_id: bytes) -> Session | None:
        known = self._known.get(session_id)
        return None if known is None else known.session

    def take(self, session_id: bytes) -> Known | None:
        """Remember no longer: whoever moves the session on keeps what it has become."""
        return self._known.pop(session_id, None)

    def keep(self, change: CoordinatorChange, before: Session | None, conduct: Conduct) -> None:
        """What a committed change has made of a session that is not over."""
        session = Session(
            session_id=change.session_id,
            version=change.expected_version + 1,
            protocol=change.protocol,
            key_session=change.key_session,
            status=change.status,
            deadline=change.deadline,
            state=change.state,
            received=(() if before is None else before.received) + change.received,
        )
        self._known[change.session_id] = Known(session, conduct)
        if len(self._known) > KEPT_SESSIONS:
            self._known.popitem(last=False)
