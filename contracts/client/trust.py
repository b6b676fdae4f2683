"""Which results one client believes: those that its pinned parties answer for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from weakref import WeakValueDictionary

from ..answers import check_answer
from ..errors import ContractError
from ..identity import PublicIdentity
from ..keys import CertifiedKey
from ..requests import SignRequest
from ..results import (
    KeygenResult,
    QueryKeysResult,
    QuerySessionResult,
    Result,
    SignResult,
    Status,
)
from ..signing import SignedRequest
from ..verification import check_key, check_signed

KEPT = 10_000
"""Keys that are remembered; the one that was used longest ago is forgotten first."""

Name = tuple[str | None, str]
"""Of a key: tenant and key id. Its certificates name the client and the key id only: which of
its tenants a key is for, the client has to know of its own."""


class Trust:
    """
    Arguments:
        parties: The identities that count.
        fetch_key: Asks for a tenant's key and has the answer go through `check` here.
    """

    def __init__(
        self,
        client_id: str | None,
        parties: Mapping[str, PublicIdentity],
        fetch_key: Callable[[str | None, str], Awaitable[object]],
    ) -> None:
        self._client_id = client_id
        self._parties = parties
        self._fetch_key = fetch_key
        self._keys: OrderedDict[Name, CertifiedKey] = OrderedDict()
        self._lookups: WeakValueDictionary[Name, asyncio.Lock] = WeakValueDictionary()

    async def check(self, result: Result, signed: SignedRequest | None) -> None:
        """
        Arguments:
            signed: The request that it is to answer; None where that is no longer known.

        Raises:
            ContractError: the result is not to be believed.
            ClientError: it cannot be told, because the key could not be fetched.
        """
        if result.client_id != self._client_id:
            raise ContractError("the result is another client's")
        if signed is not None:
            check_answer(signed.request, result)
        request = None if signed is None else signed.request
        tenant = None if request is None else request.tenant
        match result:
            case KeygenResult():
                self._believe_key(tenant, result)
            case SignResult():
                root = result.taproot_merkle_root
                if isinstance(request, SignRequest):
                    root = request.taproot_merkle_root
                await self._believe_signatures(tenant, result, root)
            case QueryKeysResult():
                for key in result.keys:
                    self._accept(tenant, key)
            case QuerySessionResult(outcome=KeygenResult() as made):
                self._believe_key(tenant, made)
            case QuerySessionResult(outcome=SignResult() as made):
                await self._believe_signatures(tenant, made, made.taproot_merkle_root)

    def _believe_key(self, tenant: str | None, result: KeygenResult) -> None:
        if result.status is not Status.COMPLETED:
            return
        if result.key is None or result.key.facts.key_id != result.key_id:
            raise ContractError("the result is completed and has not its key")
        self._accept(tenant, result.key)

    async def _believe_signatures(
        self, tenant: str | None, result: SignResult, taproot_merkle_root: bytes | None
    ) -> None:
        if result.status is Status.COMPLETED:
            key = await self._key(tenant, result.key_id)
            check_signed(result, key, taproot_merkle_root)

    def _accept(self, tenant: str | None, key: CertifiedKey) -> None:
        check_key(key, pinned=self._parties, client_id=self._client_id)
        facts = key.facts
        name = (tenant, facts.key_id)
        known = self._keys.get(name, key)
        if known.facts.public_key != facts.public_key:
            raise ContractError(f"key {facts.key_id} had another public key before")
        if known.facts.epoch <= facts.epoch:
            self._keys[name] = key
        if len(self._keys) > KEPT:
            self._keys.popitem(last=False)

    async def _key(self, tenant: str | None, key_id: str | None) -> CertifiedKey:
        if key_id is None:
            raise ContractError("the result is completed and names no key")
        name = (tenant, key_id)
        async with self._lookups.setdefault(name, asyncio.Lock()):
            # One at a time, so that many first signatures ask once.
            if name not in self._keys:
                await self._fetch_key(tenant, key_id)
        key = self._keys.get(name)
        if key is None:
            raise ContractError(f"there is no key {key_id}")
        self._keys.move_to_end(name)
        return key
