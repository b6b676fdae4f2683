"""Which results one client believes: those that its pinned parties answer for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ..errors import ContractError
from ..identity import PublicIdentity
from ..keys import CertifiedKey
from ..requests import SignRequest
from ..results import KeygenResult, QueryKeysResult, Result, SignResult, Status
from ..signing import SignedRequest
from ..verification import check_answer, check_key, check_signed


class Trust:
    """
    Arguments:
        parties: The identities that count.
        fetch_key: Asks for a key and has the answer go through `check` here.
    """

    def __init__(
        self,
        client_id: str | None,
        parties: Mapping[str, PublicIdentity],
        fetch_key: Callable[[str], Awaitable[object]],
    ) -> None:
        self._client_id = client_id
        self._parties = parties
        self._fetch_key = fetch_key
        self._keys: dict[str, CertifiedKey] = {}
        self._lookup = asyncio.Lock()

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
        if result.status is not Status.COMPLETED:
            return
        match result:
            case KeygenResult():
                if result.key is None or result.key.facts.key_id != result.key_id:
                    raise ContractError("the result is completed and has not its key")
                self._accept(result.key)
            case QueryKeysResult():
                for key in result.keys:
                    self._accept(key)
            case SignResult():
                root = result.taproot_merkle_root
                if signed is not None and isinstance(signed.request, SignRequest):
                    root = signed.request.taproot_merkle_root
                check_signed(result, await self._key(result.key_id), root)

    def _accept(self, key: CertifiedKey) -> None:
        check_key(key, pinned=self._parties, client_id=self._client_id)
        facts = key.facts
        known = self._keys.get(facts.key_id, key)
        if known.facts.public_key != facts.public_key:
            raise ContractError(f"key {facts.key_id} had another public key before")
        if known.facts.epoch <= facts.epoch:
            self._keys[facts.key_id] = key

    async def _key(self, key_id: str | None) -> CertifiedKey:
        if key_id is None:
            raise ContractError("the result is completed and names no key")
        async with self._lookup:  # so that many first signatures ask once
            if key_id not in self._keys:
                await self._fetch_key(key_id)
        if key_id not in self._keys:
            raise ContractError(f"there is no key {key_id}")
        return self._keys[key_id]
