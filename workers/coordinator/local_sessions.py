"""What one process of the coordinator has of sessions besides the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..delivery.locks import SessionLocks
from ..delivery.scopes import SessionScopes
from .departures import Departures
from .recent import RecentSessions


@dataclass(frozen=True, slots=True)
class LocalSessions:
    """
    Attributes:
        locks: Held by whoever moves a session on.
        scopes: Of the handlers that work for a session.
        recent: Sessions as this process left them.
        departures: Who waits here for their ends.
    """

    locks: SessionLocks = field(default_factory=SessionLocks)
    scopes: SessionScopes = field(default_factory=SessionScopes)
    recent: RecentSessions = field(default_factory=RecentSessions)
    departures: Departures = field(default_factory=Departures)
