"""`Client`: what a producer asks for, and the verified answers."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from ..addresses import result_key
from ..keys import CertifiedKey
from ..primitives import Curve, Scheme
from ..requests import (
    CancelRequest,
    KeygenRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    RequestBase,
    SignItem,
    SignRequest,
)
from ..results import (
    CancelResult,
    KeygenResult,
    QueryKeysResult,
    QuerySessionResult,
    Result,
    SessionView,
    SignedItem,
    SignResult,
)
from ..signing import SignedRequest, explain, sign_request
from .correspondence import Correspondence
from .errors import RequestFailedError
from .settings import ClientSettings
from .trust import Trust

T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=RequestBase)


class Client:
    """For use by many tasks at once, on one event loop. Made by `connect`."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        trust = Trust(settings.client_id, settings.parties, fetch_key=self.keys)
        self._correspondence = Correspondence(settings, trust.check)

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, settings: ClientSettings) -> AsyncGenerator[Client, None]:
        """Raises TopologyError or BrokerUnavailableError."""
        client = cls(settings)
        await client._correspondence.open()
        try:
            yield client
        finally:
            await client._correspondence.close()

    async def create_key(
        self,
        key_id: str,
        *,
        curve: Curve,
        threshold: int,
        party_count: int,
        parties: Sequence[str] | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> CertifiedKey:
        """A new key, certified by all its parties.

        Arguments:
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
        )
        result = await self._ask(request, KeygenResult)
        return _present(result.key)

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

    async def cancel(self, request_id: str) -> CancelResult:
        """End the session of an earlier request; `target_status` says how it did end."""
        request = self._request(
            CancelRequest, self._settings.query_timeout_s, None, target=request_id
        )
        return await self._ask(request, CancelResult)

    async def keys(self, only: str | None = None) -> list[CertifiedKey]:
        """This client's keys, or the one of that id, each certified by all its parties."""
        request = self._request(QueryKeysRequest, self._settings.query_timeout_s, None, only=only)
        return (await self._ask(request, QueryKeysResult)).keys

    async def session(
        self, *, session_id: bytes | None = None, request_id: str | None = None
    ) -> SessionView:
        """One of this client's sessions with its events, by either id; as the coordinator
        tells it, nothing proves it."""
        request = self._request(
            QuerySessionRequest,
            self._settings.query_timeout_s,
            None,
            session_id=session_id,
            target=request_id,
        )
        return _present((await self._ask(request, QuerySessionResult)).session)

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
        """
        return self._correspondence.unclaimed()

    def _request(
        self, kind: type[RequestT], lifetime_s: float, request_id: str | None, **fields: Any
    ) -> RequestT:
        request_id = request_id or secrets.token_hex(16)
        now_ms = time.time_ns() // 1_000_000
        operation = kind.model_fields["operation"].default
        try:
            return kind(
                request_id=request_id,
                client_id=self._settings.client_id,
                signer=self._settings.identity.public.der,
                issued_at=now_ms,
                expires_at=now_ms + round(lifetime_s * 1000),
                reply_to=result_key(
                    operation,
                    client_id=self._settings.client_id,
                    request_id=request_id,
                    key_id=fields.get("key_id"),
                ),
                **fields,
            )
        except ValidationError as error:
            raise ValueError(explain(error)) from None

    async def _ask(self, request: Any, kind: type[T]) -> T:
        result = await self.submit(sign_request(request, self._settings.identity))
        if result.failure is not None:
            raise RequestFailedError(result.failure, result)
        assert isinstance(result, kind)
        return result


def _present(value: T | None) -> T:
    """What `check_answer` has made sure of."""
    assert value is not None
    return value
