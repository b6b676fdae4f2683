"""Which results one client believes: those that its pinned parties answer for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import assert_never
from weakref import WeakValueDictionary

from ..answers import check_answer
from ..checks import same
from ..errors import ContractError
from ..identity import PublicIdentity
from ..keys import CertifiedKey
from ..operations import OPERATIONS
from ..requests import Request, SignRequest
from ..results import Result, SignResult
from ..signing import SignedRequest
from ..verification import check_key, check_signed

KEPT = 10_000
"""Keys that are remembered; the one that was used longest ago is forgotten first."""

Name = tuple[str | None, str]
"""Of a key: tenant and key id."""


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
            same("request_digest", result.request_digest, signed.digest)
            check_answer(signed.request, result)
        request = None if signed is None else signed.request
        tenant = None if request is None else request.tenant
        for proof in OPERATIONS[result.result].proves(result):
            match proof:
                case CertifiedKey():
                    self._accept(tenant, proof)
                    # A page has a hundred: calls that wait for something else are heard meanwhile.
                    await asyncio.sleep(0)
                case SignResult():
                    key = await self._key(tenant, proof.key_id)
                    check_signed(proof, key, _merkle_root(request, proof))
                case _:
                    assert_never(proof)

    def _accept(self, tenant: str | None, key: CertifiedKey) -> None:
        facts = key.facts
        name = (tenant, facts.key_id)
        known = self._keys.get(name)
        if known == key:
            return  # It has as many signatures as parties, and they were verified.
        if facts.reshared is not None:
            # Its new holders could have invented where it comes from.
            raise ContractError(
                f"key {facts.key_id} says that its shares were made anew, and nothing with it "
                "proves from which"
            )
        check_key(key, pinned=self._parties, client_id=self._client_id, tenant=tenant)
        known = known or key
        if known.facts.public_key != facts.public_key:
            raise ContractError(f"key {facts.key_id} had another public key before")
        if known.facts.version > facts.version:
            raise ContractError(f"key {facts.key_id} was certified with its tenant before")
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


def _merkle_root(request: Request | None, made: SignResult) -> bytes | None:
    """The request's own decides; what a result says counts where its request is not known."""
    if isinstance(request, SignRequest):
        return request.taproot_merkle_root
    return made.taproot_merkle_root
