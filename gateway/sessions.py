"""The desk where the dialects have sessions begun, watched and ended.

It keeps nothing that another gateway would need: what must be remembered is the coordinator's, and
asked for. What it has of its own, the requests whose results come to this process, only saves the
asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from typing import Self

from contracts.client import Begun, Client, ClientError, Settlement
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from contracts.results import (
    JoinSessionResult,
    KeygenResult,
    QueryAccountsResult,
    QuerySessionResult,
    SignResult,
)
from contracts.views import AccountView

from .opening import Begin, Creation, Opened, Opening, ReferenceConflictError
from .watching import Name, Watches, is_over

__all__ = ["Desk", "Opened", "ReferenceConflictError"]

RUNNING = 10_000
"""Requests at most whose results are awaited here. Of others, the coordinator is asked."""
KEYS = 10_000
KEY_FOR_S = 60.0
"""For so long the facts of a key are taken to be what they were."""


class Desk:
    """
    Arguments:
        client: Whose calls are all made for tenants; connected for longer than the desk is open.
        timeout_s: Lifetime of the sessions that are begun.
    """

    def __init__(self, client: Client, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._running: OrderedDict[Name, Begun] = OrderedDict()
        self._watches = Watches(self.look)
        self._opening = Opening(client)
        self._keys: OrderedDict[tuple[str, str], tuple[float, CertifiedKey]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits: set[asyncio.Timeout] = set()
        self._hung_up = False

    async def __aenter__(self) -> Self:
        # Results of sessions that a gateway began which is no more. The coordinator has them.
        self._keep(asyncio.create_task(self._client.discard_results()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watches.stop()
        for begun in self._running.values():
            begun.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """From now on nobody is kept waiting: who waits is told what there is by now."""
        self._hung_up = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(now)
        self._watches.stop()

    async def begin_key(
        self,
        tenant: str,
        *,
        key_id: str,
        curve: Curve,
        threshold: int,
        party_count: int,
        parties: Sequence[str] | None = None,
        schemes: Collection[Scheme] | None = None,
        user_id: str | None = None,
        reference: str,
        join_window_ms: int | None = None,
        request_id: str,
        fresh: bool = False,
    ) -> Opened:
        """Arguments as in `Client.begin_key`, but for:

            reference: What was asked for, in a form that tells two wishes apart.
            request_id: Of the tenant's choice: the same one with the same reference is the same
                session.
            fresh: It was made up just now, so no session can have it, and none is looked for.

        Raises ReferenceConflictError, and RequestFailedError if there is no session.
        """

        async def begin(name: str) -> Begun:
            return await self._client.acting_for(tenant).begin_key(
                key_id,
                curve=curve,
                threshold=threshold,
                party_count=party_count,
                parties=parties,
                schemes=schemes,
                user_id=user_id,
                reference=reference,
                join_window_ms=join_window_ms,
                timeout_s=self._timeout_s,
                request_id=name,
            )

        creation = Creation(tenant, request_id, reference, fresh=fresh)
        return await self._open(creation, begin)

    async def begin_signature(
        self,
        tenant: str,
        *,
        key_id: str,
        message: bytes,
        scheme: Scheme,
        derivation_path: str | None = None,
        taproot_merkle_root: bytes | None = None,
        signers: Sequence[str] | None = None,
        reference: str,
        join_window_ms: int | None = None,
        request_id: str,
        fresh: bool = False,
    ) -> Opened:
        """Arguments as in `Client.begin_signature` and `begin_key`; raises what that raises."""

        async def begin(name: str) -> Begun:
            return await self._client.acting_for(tenant).begin_signature(
                key_id,
                message=message,
                scheme=scheme,
                derivation_path=derivation_path,
                taproot_merkle_root=taproot_merkle_root,
                signers=signers,
                reference=reference,
                join_window_ms=join_window_ms,
                timeout_s=self._timeout_s,
                request_id=name,
            )

        creation = Creation(tenant, request_id, reference, fresh=fresh)
        return await self._open(creation, begin)

    async def look(self, tenant: str, session_id: bytes) -> QuerySessionResult:
        return await self._client.acting_for(tenant).look(session_id=session_id)

    async def wait(self, tenant: str, session_id: bytes, seconds: float) -> QuerySessionResult:
        """The session when it is over, or what it is after so many seconds."""
        name = (tenant, session_id)
        ends_at = time.monotonic() + seconds
        await self._result_here(name, seconds)
        found = await self.look(tenant, session_id)
        if is_over(found) or self._hung_up:
            return found
        with self._watches.watching(name) as watch, contextlib.suppress(TimeoutError):
            async with self._patience(ends_at - time.monotonic()):
                while not is_over(found):
                    found = await watch.next(found)
        return found

    async def outcome(
        self, tenant: str, session_id: bytes, seconds: float
    ) -> KeygenResult | SignResult | None:
        """The session's result, if it has one within so many seconds. Cheaper than `wait` for a
        session that was begun here: nobody is asked."""
        ends_at = time.monotonic() + seconds
        result = await self._result_here((tenant, session_id), seconds)
        if result is not None:
            return result
        return (await self.wait(tenant, session_id, ends_at - time.monotonic())).outcome

    async def follow(
        self, tenant: str, session_id: bytes
    ) -> AsyncGenerator[QuerySessionResult, None]:
        """The session as it is, and again whenever it has changed, until it is over."""
        with self._watches.watching((tenant, session_id)) as watch:
            found = None
            while found is None or not is_over(found):
                found = await watch.next(found)
                yield found

    async def cancel(self, tenant: str, session_id: bytes) -> Settlement:
        return await self._client.acting_for(tenant).cancel_session(session_id)

    async def join(
        self, tenant: str, session_id: bytes, token: bytes, party_id: str | None
    ) -> JoinSessionResult:
        return await self._client.acting_for(tenant).join(session_id, token, party_id)

    async def key(self, tenant: str, key_id: str) -> CertifiedKey:
        """Raises RequestFailedError where there is none."""
        name, now = (tenant, key_id), time.monotonic()
        known = self._keys.get(name)
        if known is not None and now - known[0] < KEY_FOR_S:
            return known[1]
        (key,) = await self._client.acting_for(tenant).keys(key_id)
        self._keys[name] = (now, key)
        self._keys.move_to_end(name)
        if len(self._keys) > KEYS:
            self._keys.popitem(last=False)
        return key

    async def accounts(
        self, tenant: str, *, after: str | None = None, limit: int = 100
    ) -> QueryAccountsResult:
        return await self._client.acting_for(tenant).accounts(after=after, limit=limit)

    async def account(self, tenant: str, account_id: str) -> AccountView:
        return await self._client.acting_for(tenant).account(account_id)

    async def configure_account(
        self, tenant: str, account_id: str, signers: Sequence[str] | None
    ) -> AccountView:
        return await self._client.acting_for(tenant).configure_account(account_id, signers)

    async def _open(self, creation: Creation, begin: Begin) -> Opened:
        opened, begun = await self._opening.open(creation, begin)
        if begun is not None and not begun.done:
            self._await((creation.tenant, opened.session_id), begun)
        return opened

    def _await(self, name: Name, begun: Begun) -> None:
        self._running[name] = begun
        if len(self._running) > RUNNING:
            _, oldest = self._running.popitem(last=False)
            oldest.stop()
        self._keep(asyncio.create_task(self._forget_in_time(name, begun)))

    async def _forget_in_time(self, name: Name, begun: Begun) -> None:
        with contextlib.suppress(ClientError):
            await begun.result()
        if self._running.get(name) is begun:
            del self._running[name]
        self._watches.hurry(name)

    async def _result_here(self, name: Name, seconds: float) -> KeygenResult | SignResult | None:
        """Of a session that was begun here, if it is to be had; whatever goes wrong, the
        coordinator is to be asked."""
        begun = self._running.get(name)
        if begun is None or seconds <= 0:
            return None
        with contextlib.suppress(TimeoutError, ClientError):
            async with self._patience(seconds):
                result = await begun.result()
            if isinstance(result, KeygenResult | SignResult):
                return result
        return None

    @contextlib.asynccontextmanager
    async def _patience(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError after so many seconds, or when the desk hangs up."""
        async with asyncio.timeout(0 if self._hung_up else max(seconds, 0)) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
