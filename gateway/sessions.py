"""The desk where the dialects have sessions begun, watched and ended.

It keeps nothing that another gateway would need: what must be remembered is the coordinator's, and
asked for. What it has of its own, the requests whose results come to this process, only saves the
asking.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Sequence,
)
from typing import Self, TypeVar

from contracts.client import Begun, Client, ClientError, Rehearsal, Settlement
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import Curve, Scheme
from contracts.results import (
    JoinSessionResult,
    QueryAccountsResult,
    QuerySessionResult,
    SessionResult,
)
from contracts.views import AccountView

from . import promises
from .memory import Keys, Memory, as_announced
from .opening import Begin, Creation, NewShares, Opened, Opening, ReferenceConflictError
from .outcomes import outcome_of, word_for
from .turns import AT_ONCE, Turns
from .watching import Name, Watches, is_over, passes

T = TypeVar("T")

__all__ = ["Desk", "NewShares", "Opened", "ReferenceConflictError"]

RUNNING = 10_000
"""Requests at most whose results are awaited here. Of others, the coordinator is asked."""


class Desk:
    """
    Arguments:
        client: Whose calls are all made for tenants; connected for longer than the desk is open.
        timeout_s: Lifetime of the sessions that are begun.
        asking: How many questions one tenant has under way; the next one waits.
        ended: Told the operation and what came of it, once for each session or refused wish.
    """

    def __init__(
        self,
        client: Client,
        *,
        timeout_s: float,
        asking: int = AT_ONCE,
        ended: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._running: OrderedDict[Name, Begun] = OrderedDict()
        self._watches = Watches(self.look)
        self._memory = Memory()
        self._ended = ended
        self._opening = Opening(self._asking)
        self._questions = Turns(asking)
        self._keys = Keys()
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
        return await self._open("keygen", creation, key_id, begin)

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
        return await self._open("sign", creation, key_id, begin)

    async def begin_reshare(
        self,
        tenant: str,
        *,
        key_id: str,
        shares: Callable[[KeyFacts], NewShares],
        reference: str,
        join_window_ms: int | None = None,
        request_id: str,
        fresh: bool = False,
    ) -> Opened:
        """Arguments as in `begin_key`, but for:

            shares: What is wanted of the key as it is now. It is not asked for a session that is
                there already: the key has gone on since.

        Raises also what `shares` raises.
        """

        async def begin(name: str) -> Begun:
            key = await self.key(tenant, key_id, anew=True)
            wanted = shares(key.facts)
            return await self._client.acting_for(tenant).begin_reshare(
                key,
                threshold=wanted.threshold,
                parties=wanted.parties,
                dealers=wanted.dealers,
                first_epoch=wanted.first_epoch,
                tries=wanted.tries,
                delete_after=wanted.delete_after,
                reference=reference,
                join_window_ms=join_window_ms,
                timeout_s=self._timeout_s,
                request_id=name,
            )

        creation = Creation(tenant, request_id, reference, fresh=fresh)
        return await self._open("reshare", creation, key_id, begin)

    async def rehearse(
        self, tenant: str, *, key_id: str, shares: Callable[[KeyFacts], NewShares]
    ) -> Rehearsal:
        """Whether a reshare would find its parties; nothing is begun.

        Raises also what `shares` raises.
        """
        key = await self.key(tenant, key_id, anew=True)
        wanted = shares(key.facts)
        async with self._asking(tenant) as client:
            return await client.rehearse(
                key_id,
                threshold=wanted.threshold,
                parties=wanted.parties,
                dealers=wanted.dealers,
                first_epoch=wanted.first_epoch,
                tries=wanted.tries,
            )

    async def look(self, tenant: str, session_id: bytes) -> QuerySessionResult:
        async with self._asking(tenant) as client:
            found = await client.look(session_id=session_id)
        self._memory.keep((tenant, session_id), found)
        self._keys.learn(tenant, found.outcome)
        return found

    async def latest(self, tenant: str, session_id: bytes) -> QuerySessionResult:
        """The session by a look, or where nobody answers in time as it was last seen here."""
        name = (tenant, session_id)
        return await _in_time(self.look(*name), lambda: self._memory.of(name))

    async def wait(self, tenant: str, session_id: bytes, seconds: float) -> QuerySessionResult:
        """The session when it is over, or what it is after so many seconds, or when the current
        promise ends. If nobody says so by then, it is as it was last seen here.

        Raises TimeoutError, and what `look` raises, of a session that was never seen here.
        """
        name = (tenant, session_id)
        ends_at = promises.current().waits_until(seconds)
        await self._result_here(name, ends_at)
        found = await self.latest(tenant, session_id)
        if is_over(found) or self._hung_up:
            return found
        with self._watches.watching(name, found) as watch, contextlib.suppress(TimeoutError):
            async with self._patience(ends_at):
                while not is_over(found):
                    found = await watch.next(found)
        return found

    async def outcome(self, tenant: str, session_id: bytes, seconds: float) -> SessionResult | None:
        """The session's result, if it has one within so many seconds. Cheaper than `wait` for a
        session that was begun here: nobody is asked."""
        ends_at = promises.current().waits_until(seconds)
        result = await self._result_here((tenant, session_id), ends_at)
        if result is not None:
            return result
        left_s = ends_at - asyncio.get_running_loop().time()
        return (await self.wait(tenant, session_id, left_s)).outcome

    async def follow(
        self, tenant: str, session_id: bytes, looked: QuerySessionResult | None = None
    ) -> AsyncGenerator[QuerySessionResult, None]:
        """The session as it is, and again whenever it has changed, until it is over.

        Arguments:
            looked: What was seen of it just now.
        """
        with self._watches.watching((tenant, session_id), looked) as watch:
            found = None
            while found is None or not is_over(found):
                found = await watch.next(found)
                yield found

    async def cancel(self, tenant: str, session_id: bytes) -> Settlement:
        async with self._asking(tenant) as client:
            return await client.cancel_session(session_id)

    async def join(
        self, tenant: str, session_id: bytes, token: bytes, party_id: str | None
    ) -> JoinSessionResult:
        async with self._asking(tenant) as client:
            return await client.join(session_id, token, party_id)

    async def key(self, tenant: str, key_id: str, *, anew: bool = False) -> CertifiedKey:
        """
        Arguments:
            anew: As it is now. Else who holds it, and how many sign, may be what it was a minute
                ago; all else never changes.

        Raises RequestFailedError where there is none.
        """
        known = None if anew else self._keys.of(tenant, key_id)
        if known is not None:
            return known
        async with self._asking(tenant) as client:
            (key,) = await client.keys(key_id)
        self._keys.keep(tenant, key)
        return key

    async def accounts(
        self, tenant: str, *, after: str | None = None, limit: int = 100
    ) -> QueryAccountsResult:
        async with self._asking(tenant) as client:
            return await client.accounts(after=after, limit=limit)

    async def account(self, tenant: str, account_id: str) -> AccountView:
        async with self._asking(tenant) as client:
            return await client.account(account_id)

    async def account_after(self, tenant: str, found: AccountView) -> AccountView:
        """What became of an account that was found before; that, where nobody says in time."""
        return await _in_time(self.account(tenant, found.account_id), lambda: found)

    async def configure_account(
        self, tenant: str, account_id: str, signers: Sequence[str] | None
    ) -> AccountView:
        async with self._asking(tenant) as client:
            return await client.configure_account(account_id, signers)

    @contextlib.asynccontextmanager
    async def _asking(self, tenant: str) -> AsyncIterator[Client]:
        """When it is the tenant's turn: whoever has asked much stands behind himself, and not
        before what others ask."""
        leave = await self._questions.take(tenant)
        try:
            yield self._client.acting_for(tenant)
        finally:
            leave()

    async def _open(self, operation: str, creation: Creation, key_id: str, begin: Begin) -> Opened:
        try:
            opened, begun = await self._opening.open(creation, begin)
        except BaseException as error:
            self._ended(operation, word_for(error))
            raise
        if begun is None:
            return opened
        name = (creation.tenant, opened.session_id)
        if opened.announced is not None:
            self._memory.keep(name, as_announced(opened.announced, key_id))
        self._await(operation, name, begun)
        return opened

    def _await(self, operation: str, name: Name, begun: Begun) -> None:
        if not begun.done:
            self._running[name] = begun
            if len(self._running) > RUNNING:
                _, oldest = self._running.popitem(last=False)
                oldest.stop()
        self._keep(asyncio.create_task(self._forget_in_time(operation, name, begun)))

    async def _forget_in_time(self, operation: str, name: Name, begun: Begun) -> None:
        self._ended(operation, await outcome_of(begun))
        with contextlib.suppress(ClientError):
            self._keys.learn(name[0], await begun.result())
        if self._running.get(name) is begun:
            del self._running[name]
        self._watches.hurry(name)

    async def _result_here(self, name: Name, ends_at: float) -> SessionResult | None:
        """Of a session that was begun here, if it is to be had; whatever goes wrong, the
        coordinator is to be asked."""
        begun = self._running.get(name)
        if begun is None or ends_at <= asyncio.get_running_loop().time():
            return None
        with contextlib.suppress(TimeoutError, ClientError):
            async with self._patience(ends_at):
                result = await begun.result()
            if isinstance(result, SessionResult):
                return result
        return None

    @contextlib.asynccontextmanager
    async def _patience(self, ends_at: float) -> AsyncIterator[None]:
        """Raises TimeoutError at this moment, or when the desk hangs up."""
        async with asyncio.timeout_at(0 if self._hung_up else ends_at) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _in_time(asking: Awaitable[T], known: Callable[[], T | None]) -> T:
    """What is answered while there is time for it, else what is known. Raises what the question
    raised if nothing is."""
    try:
        async with asyncio.timeout_at(promises.current().last_word_by):
            return await asking
    except (TimeoutError, ClientError) as error:
        fallback = known()
        if fallback is None or not (isinstance(error, TimeoutError) or passes(error)):
            raise
        return fallback
