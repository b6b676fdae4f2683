"""What was last seen here of sessions and keys: what there is, where nobody answers in time or
need be asked."""

from __future__ import annotations

import time
from collections import OrderedDict

from contracts.keys import CertifiedKey
from contracts.primitives import Status
from contracts.results import QuerySessionResult, ReshareResult, Result, SessionAnnounced
from contracts.views import SessionView

from .watching import Name

SESSIONS = 1_000
"""Some kilobytes each."""
KEYS = 10_000
KEY_FOR_S = 60.0
"""For so long the facts of a key are taken to be what they were."""


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


class Keys:
    """Of the keys that were used last. Who holds one may have changed since it was seen."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], tuple[float, CertifiedKey]] = OrderedDict()

    def of(self, tenant: str, key_id: str) -> CertifiedKey | None:
        """As it was not long ago, if it was seen."""
        seen_at, key = self._seen.get((tenant, key_id), (0.0, None))
        return key if time.monotonic() - seen_at < KEY_FOR_S else None

    def keep(self, tenant: str, key: CertifiedKey) -> None:
        """Remember a key as it is now, and forget the one that was used longest ago."""
        name = tenant, key.facts.key_id
        self._seen[name] = time.monotonic(), key
        self._seen.move_to_end(name)
        if len(self._seen) > KEYS:
            self._seen.popitem(last=False)

    def learn(self, tenant: str, result: Result | None) -> None:
        """A key that has a new epoch is not what was seen of it."""
        if isinstance(result, ReshareResult) and result.bundle is not None:
            made, known = result.bundle.key, self.of(tenant, result.bundle.key.facts.key_id)
            if known is not None and known.facts.epoch < made.facts.epoch:
                self.keep(tenant, made)


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
