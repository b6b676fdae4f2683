"""Requests that would begin a session and get none.

What they get instead is kept like a result, with a session that ended before it began: the same
bytes again, delivered twice or sent twice, get it again, even where a session could begin by then.
Other bytes under the id are a new request.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from contracts.failures import Failure
from contracts.signing import SignedRequest

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher
from ..session.sending import result
from ..store.interface import CoordinatorStore
from ..store.records import REFUSED, CoordinatorChange, Outcome, RequestRecord
from .answers import failed
from .beginnings import record_of


class Refusals:
    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock

    async def refuse(self, signed: SignedRequest, failure: Failure) -> RequestRecord | None:
        """Returns the request as it is known, if it has a session or was refused before."""
        request, session_id = signed.request, os.urandom(32)
        content = failed(signed, failure, now=self._clock())
        message = result(content, request.reply_to)
        change = CoordinatorChange(
            session_id=session_id,
            expected_version=0,
            protocol=REFUSED,
            key_session=None,
            status=content.status.value,
            deadline=request.expires_at,
            state=b"",
            cause=REFUSED,
            request=record_of(signed, session_id),
            result=message,
        )
        if await self._store.commit(change) is not Outcome.COMMITTED:
            return await self._store.request(request.owner, request.request_id, signed.digest)
        await self._publisher.publish(message)
        return None
