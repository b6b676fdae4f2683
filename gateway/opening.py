"""Sessions that are begun once, however often and at however many gateways it is asked for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from contracts.client import Begun, Client, RequestFailedError
from contracts.failures import FailureCode
from contracts.primitives import DeleteAfter
from contracts.results import SessionAnnounced, SessionResult
from contracts.views import SessionView

Begin = Callable[[str], Awaitable[Begun]]
"""Sends the request, under the request id that it is told."""


class ReferenceConflictError(Exception):
    """Something else was asked for under this request id before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session that was begun, or found to be there already.

    Attributes:
        view: Of one that was found.
        announced: Of one that was begun, unless its result was here first.
        replayed: It was there already.
        outcome: If it is known yet.
    """

    session_id: bytes
    view: SessionView | None = None
    announced: SessionAnnounced | None = None
    replayed: bool = False
    outcome: SessionResult | None = None

    @property
    def request_id(self) -> str:
        """Of the request that began it, as the coordinator knows it."""
        known = self.announced or self.view or self.outcome
        assert known is not None  # one of them tells of it
        return known.request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShares:
    """What a reshare is to come to; fields as in `Client.reshare`."""

    threshold: int
    parties: list[str]
    dealers: list[str] | None
    first_epoch: int
    tries: int
    delete_after: DeleteAfter = DeleteAfter.BACKED_UP


@dataclass(frozen=True, slots=True)
class Creation:
    """What a tenant wants made once, however often it asks.

    Attributes:
        request_id: Of the tenant's choice.
        reference: What is asked for, in a form that tells two wishes apart.
        fresh: The request id was made up just now: no session can have it.
    """

    tenant: str
    request_id: str
    reference: str
    fresh: bool

    @property
    def name(self) -> str:
        """The request id as it is sent. Answers come back by request id alone, so no two tenants
        may have the same one."""
        return hashlib.sha256(f"{self.tenant}/{self.request_id}".encode()).hexdigest()


class Opening:
    """
    Arguments:
        asking: Opens when a tenant may ask, with the client that acts for it.
    """

    def __init__(self, asking: Callable[[str], AbstractAsyncContextManager[Client]]) -> None:
        self._asking = asking
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self, creation: Creation, begin: Begin) -> tuple[Opened, Begun | None]:
        """The session, and if it was begun here, what awaits its result.

        Raises ReferenceConflictError, and RequestFailedError if there is no session.
        """
        async with self._locks.setdefault(creation.name, asyncio.Lock()):
            # What is there already is looked for first: this process may be waiting for its result,
            # and it can wait for one request of an id only.
            found = None if creation.fresh else await self._found(creation)
            if found is not None:
                return found, None
            try:
                begun = await begin(creation.name)
            except RequestFailedError as error:
                if error.failure.code is not FailureCode.CONFLICT:
                    raise
                found = await self._found(creation)  # another gateway was asked at the same time
                if found is None:
                    raise
                return found, None
            return await _begun(begun), begun

    async def _found(self, creation: Creation) -> Opened | None:
        try:
            async with self._asking(creation.tenant) as client:
                found = await client.look(request_id=creation.name)
        except RequestFailedError as error:
            if error.failure.code is FailureCode.UNKNOWN_REQUEST:
                return None
            raise
        session = found.session
        assert session is not None  # `check_answer` has made sure
        if session.reference != creation.reference:
            raise ReferenceConflictError(session.request_id)
        return Opened(
            session_id=session.session_id, view=session, replayed=True, outcome=found.outcome
        )


async def _begun(begun: Begun) -> Opened:
    announced = begun.announced
    if announced is not None:
        return Opened(session_id=announced.session_id, announced=announced)
    result = await begun.result()
    assert isinstance(result, SessionResult)
    assert result.session_id is not None  # or it would have been raised
    return Opened(session_id=result.session_id, outcome=result)
