"""`Client`: what a producer asks for, and the verified answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from ..keys import CertifiedKey
from ..primitives import Curve, Scheme
from ..requests import (
    JoinSessionRequest,
    KeygenRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    SignItem,
    SignRequest,
)
from ..results import (
    JoinSessionResult,
    KeygenResult,
    QueryKeysResult,
    QuerySessionResult,
    Result,
    SessionView,
    SignedItem,
    SignResult,
)
from ..signing import SignedRequest
from .begun import Begun
from .caller import present
from .cancelling import Cancels
from .correspondence import Correspondence
from .histories import Histories
from .resharing import Reshares
from .settings import ClientSettings
from .trust import Trust


class Client(Cancels, Histories, Reshares):
    """For use by many tasks at once, on one event loop. Made by `connect`."""

    def __init__(
        self,
        settings: ClientSettings,
        correspondence: Correspondence,
        tenant: str | None,
        trust: Trust,
    ) -> None:
        super().__init__(settings, correspondence, tenant)
        self._trust = trust

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, settings: ClientSettings) -> AsyncGenerator[Client, None]:
        """Raises TopologyError or BrokerUnavailableError, and ListFileError where the list of
        parties is followed."""
        if settings.list_operators:
            from .following import followed  # its files need Unix

            async with followed(settings) as settings, cls._connected(settings) as client:
                yield client
        else:
            async with cls._connected(settings) as client:
                yield client

    @classmethod
    @contextlib.asynccontextmanager
    async def _connected(cls, settings: ClientSettings) -> AsyncGenerator[Client, None]:
        async def fetch_key(tenant: str | None, key_id: str) -> None:
            asking = client if tenant is None else client.acting_for(tenant)
            await asking.keys(key_id)

        own = (settings.identity.public,)
        trust = Trust(
            settings.client_id,
            settings.parties,
            own,
            fetch_key=fetch_key,
            speaking=settings.speakers,
        )
        correspondence = Correspondence(settings, trust.check)
        client = cls(settings, correspondence, None, trust)
        await correspondence.open()
        try:
            yield client
        finally:
            await correspondence.close()

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached at this moment; if not, calls wait until it can."""
        return self._correspondence.connected

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages for now, in its words; None if it does. Calls wait
        until it does."""
        return self._correspondence.blocked

    @property
    def disbelieved(self) -> Mapping[str, int]:
        """How often something came to our queue that was not shown to be the coordinator's, by
        what is wrong with it: `malformed`, `unsigned`, `wrong_signature` or `other_time`. Nothing
        came of it."""
        return self._correspondence.disbelieved

    @property
    def doubted(self) -> Mapping[str, str]:
        """Keys that the coordinator has listed and that do not check out, and why: such as one with
        a party whose key we do not know."""
        told = self._trust.doubted.items()
        return {key_id: why for (tenant, key_id), why in told if tenant == self._tenant}

    def acting_for(self, tenant: str) -> Client:
        """The same connection and queue, with keys, accounts and sessions of the tenant's own.
        There is nothing to close.

        Answers come back by request id alone, whoever asked. So a client that chooses request ids
        itself must choose them so that no two tenants have the same.
        """
        return self._of(tenant)

    async def create_key(
        self,
        key_id: str,
        *,
        curve: Curve,
        threshold: int,
        party_count: int,
        parties: Sequence[str] | None = None,
        schemes: Collection[Scheme] | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> CertifiedKey:
        """A new key, certified by all its parties.

        Arguments:
            schemes: What the key may serve, and nothing else for ever; None: all that its curve
                has.
            request_id: A fresh one of the caller's, to `cancel` or to ask for the `session`
                meanwhile. To repeat a request is what `submit` is for.

        Raises RequestFailedError, ResultTimeoutError, BrokerUnavailableError, TopologyError;
        ValueError for arguments that no request can have. So do all calls below.
        """
        request = self._request(
            KeygenRequest,
            timeout_s or self._settings.timeout_s,
            request_id,
            key_id=key_id,
            curve=curve,
            threshold=threshold,
            party_count=party_count,
            parties=None if parties is None else list(parties),
            schemes=None if schemes is None else sorted(schemes),
        )
        result = await self._ask(request, KeygenResult)
        return present(result.key)

    async def sign(
        self,
        key_id: str,
        *,
        message: bytes,
        scheme: Scheme,
        derivation_path: str | None = None,
        taproot_merkle_root: bytes | None = None,
        signers: Sequence[str] | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> SignResult:
        """A signature that verifies under the certified key, or under its child at the path;
        arguments as in `SignRequest`."""
        request = self._request(
            SignRequest,
            timeout_s or self._settings.timeout_s,
            request_id,
            key_id=key_id,
            message=message,
            derivation_path=derivation_path,
            scheme=scheme,
            taproot_merkle_root=taproot_merkle_root,
            signers=None if signers is None else list(signers),
        )
        return await self._ask(request, SignResult)

    async def sign_all(
        self,
        key_id: str,
        items: Sequence[SignItem],
        *,
        scheme: Scheme = Scheme.ECDSA,
        signers: Sequence[str] | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> list[SignedItem]:
        """Up to 256 signatures of one session, in the order of the items: all of them or none."""
        request = self._request(
            SignRequest,
            timeout_s or self._settings.timeout_s,
            request_id,
            key_id=key_id,
            items=list(items),
            scheme=scheme,
            signers=None if signers is None else list(signers),
        )
        return list((await self._ask(request, SignResult)).signed)

    async def begin_key(
        self,
        key_id: str,
        *,
        curve: Curve,
        threshold: int,
        party_count: int,
        parties: Sequence[str] | None = None,
        schemes: Collection[Scheme] | None = None,
        user_id: str | None = None,
        reference: str | None = None,
        join_window_ms: int | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Begun:
        """As `create_key`, but returns when the session is announced, or the result is here if
        that is first; arguments as in `KeygenRequest`.

        Raises RequestFailedError if there is no session, and will be none.
        """
        request = self._request(
            KeygenRequest,
            timeout_s or self._settings.timeout_s,
            request_id,
            key_id=key_id,
            curve=curve,
            threshold=threshold,
            party_count=party_count,
            parties=None if parties is None else list(parties),
            schemes=None if schemes is None else sorted(schemes),
            user_id=user_id,
            reference=reference,
            announce=True,
            join_window_ms=join_window_ms,
        )
        return await self._begin(request)

    async def begin_signature(
        self,
        key_id: str,
        *,
        message: bytes | None = None,
        items: Sequence[SignItem] | None = None,
        scheme: Scheme,
        derivation_path: str | None = None,
        taproot_merkle_root: bytes | None = None,
        signers: Sequence[str] | None = None,
        reference: str | None = None,
        join_window_ms: int | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Begun:
        """As `sign` or `sign_all`, but returns when the session is announced, or the result is
        here if that is first; arguments as in `SignRequest`.

        Raises RequestFailedError if there is no session, and will be none.
        """
        request = self._request(
            SignRequest,
            timeout_s or self._settings.timeout_s,
            request_id,
            key_id=key_id,
            message=message,
            items=None if items is None else list(items),
            derivation_path=derivation_path,
            scheme=scheme,
            taproot_merkle_root=taproot_merkle_root,
            signers=None if signers is None else list(signers),
            reference=reference,
            announce=True,
            join_window_ms=join_window_ms,
        )
        return await self._begin(request)

    async def keys(self, only: str | None = None) -> list[CertifiedKey]:
        """This client's keys, or the one of that id, each certified by all its parties. One that is
        not hides no other: it is told of by `doubted`, and left out unless it was proven before."""
        if only is not None:  # then all of the answer is proven, or it is none
            return [await self._certified(only)]
        found: dict[str, CertifiedKey | None] = {}
        after = None
        while True:
            page = await self._query(QueryKeysRequest, QueryKeysResult, after=after)
            listed = (key.facts.key_id for key in page.keys)
            names = [name for name in listed if name not in found]
            # What is handed out is what was proven, never the page that somebody sent.
            found |= {name: self._trust.accepted(self._tenant, name) for name in names}
            # A coordinator that says for ever that there are more is not asked for ever.
            if not (page.more and names):
                return [key for key in found.values() if key is not None]
            after = page.keys[-1].facts.key_id

    async def look(
        self, *, session_id: bytes | None = None, request_id: str | None = None
    ) -> QuerySessionResult:
        """One of this client's sessions, by either id. `outcome` is verified like any result;
        `session` is as the coordinator tells it, nothing proves it."""
        return await self._query(
            QuerySessionRequest, QuerySessionResult, session_id=session_id, target=request_id
        )

    async def session(
        self, *, session_id: bytes | None = None, request_id: str | None = None
    ) -> SessionView:
        """The session of `look`, with its events."""
        return present((await self.look(session_id=session_id, request_id=request_id)).session)

    async def join(
        self, session_id: bytes, join_token: bytes, party_id: str | None = None
    ) -> JoinSessionResult:
        """Show one of the tokens that a session was announced with, see `JoinSessionRequest`."""
        return await self._query(
            JoinSessionRequest,
            JoinSessionResult,
            session_id=session_id,
            join_token=join_token,
            party_id=party_id,
        )

    async def submit(self, signed: SignedRequest) -> Result:
        """Publish and await the result, a failure included, of a request that was signed before.

        Safe to repeat after a crash, with the same bytes: it will not run twice.
        """
        return await self._correspondence.submit(signed)

    def results(self) -> AsyncGenerator[Result, None]:
        """Verified results on this client's queue that no call waits for, failures included: of
        requests made before a restart, or by others who share the queue.

        Each is acked when the next one is asked for. Leave the loop, and the one in hand goes
        back; a result may come twice, so go by its `request_id`. Ends when the client is closed.

        Not for a client that acts for tenants: a result does not say whose it is, and so not with
        which key to verify it. See `discard_results`.
        """
        return self._correspondence.unclaimed()

    async def discard_results(self) -> None:
        """Take out of the queue, unread, what no call of any of its consumers waits for: where
        the sessions' outcomes are asked for (`look`) when they are wanted. Returns when the client
        is closed.
        """
        await self._correspondence.discard()
