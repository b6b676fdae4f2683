"""Which results one client believes: those that its pinned parties answer for."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import assert_never
from weakref import WeakValueDictionary

from .. import epochs
from ..answers import check_answer
from ..checks import same
from ..errors import ContractError
from ..identity import PublicIdentity
from ..keys import CertifiedKey, EpochBundle
from ..operations import OPERATIONS
from ..peers import Pinned
from ..requests import (
    KeygenRequest,
    QueryKeyHistoryRequest,
    QueryKeysRequest,
    Request,
    SignRequest,
)
from ..results import QueryKeyHistoryResult, Result, SignResult
from ..signing import SignedRequest
from ..verification import check_key, check_owned, check_signed, is_by_holders

logger = logging.getLogger(__name__)

KEPT = 10_000
"""Keys that are remembered; the one that was used longest ago is forgotten first."""

Name = tuple[str | None, str]
"""Of a key: tenant and key id."""


class Trust:
    """
    Arguments:
        parties: The identities that count.
        speaking: Those that count for what is certified now; None: the same.
        owners: Ours, by which new epochs of our keys are asked for.
        fetch_key: Asks for a tenant's key and has the answer go through `check` here.

    Attributes:
        doubted: Keys that were listed last and do not check out, and why. Nobody may believe them.
    """

    def __init__(
        self,
        client_id: str | None,
        parties: Mapping[str, Pinned],
        owners: Collection[PublicIdentity],
        fetch_key: Callable[[str | None, str], Awaitable[object]],
        speaking: Mapping[str, Pinned] | None = None,
    ) -> None:
        self._client_id = client_id
        self._parties = parties
        self._speaking = parties if speaking is None else speaking
        self._owners = owners
        self._fetch_key = fetch_key
        self._keys: OrderedDict[Name, CertifiedKey] = OrderedDict()
        self.doubted: OrderedDict[Name, str] = OrderedDict()
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
                    if isinstance(request, KeygenRequest):
                        proof.verify(self._speaking)  # it was made just now
                    if isinstance(request, QueryKeysRequest) and request.only is None:
                        self._accept_or_doubt(tenant, proof)
                    else:
                        self._accept(tenant, proof)
                    # A page has a hundred: calls that wait for something else are heard meanwhile.
                    await asyncio.sleep(0)
                case EpochBundle():
                    self._move_on(tenant, proof)
                case QueryKeyHistoryResult():
                    self._check_history(tenant, request, proof)
                case SignResult():
                    await self._check_signed(tenant, proof, _merkle_root(request, proof))
                case _:
                    assert_never(proof)

    def _check_history(
        self, tenant: str | None, request: Request | None, told: QueryKeyHistoryResult
    ) -> None:
        """An operator asks for a key by its session, whosever it is, and may know none of its
        owner's keys. Raises ContractError."""
        if told.key is None:
            raise ContractError("the result is completed and has not its key")
        facts = told.key.facts
        by_session = isinstance(request, QueryKeyHistoryRequest) and request.key_id is None
        if by_session and (facts.client_id, facts.tenant) != (self._client_id, tenant):
            owner = {"client_id": facts.client_id, "tenant": facts.tenant}
            check_key(told.key, pinned=self._parties, **owner)
        else:
            self._accept(tenant, told.key)

    def accepted(self, tenant: str | None, key_id: str) -> CertifiedKey | None:
        """The key as it was last proven here; None if it never was, or not lately."""
        return self._keys.get((tenant, key_id))

    def _accept_or_doubt(self, tenant: str | None, key: CertifiedKey) -> None:
        """One of a list's, which must not hide the others because of a party that we do not know by
        the key that it has there. Somebody else's key spoils all of the list as ever."""
        name = (tenant, key.facts.key_id)
        if not self._knows(name, key):
            check_owned(key.facts, client_id=self._client_id, tenant=tenant)
            try:
                key.verify(self._parties)
            except ContractError as error:
                self._doubt(name, error)
                return
            self._go_on_with(name, key)
        self.doubted.pop(name, None)

    def _doubt(self, name: Name, error: ContractError) -> None:
        logger.warning("a key does not check out: %s", error)
        self.doubted[name] = str(error)
        if len(self.doubted) > KEPT:
            self.doubted.popitem(last=False)

    def _accept(self, tenant: str | None, key: CertifiedKey) -> None:
        name = (tenant, key.facts.key_id)
        if self._knows(name, key):
            return
        check_key(key, pinned=self._parties, client_id=self._client_id, tenant=tenant)
        self._go_on_with(name, key)

    def _knows(self, name: Name, key: CertifiedKey) -> bool:
        """It has as many signatures as parties, and they were verified."""
        if self._keys.get(name) != key:
            return False
        self._keys.move_to_end(name)
        return True

    def _go_on_with(self, name: Name, key: CertifiedKey) -> None:
        """From what was known under this name to a key that is proven. Raises ContractError."""
        facts, known = key.facts, self._keys.get(name, key)
        if known.facts.public_key != facts.public_key:
            raise ContractError(f"key {facts.key_id} had another public key before")
        if known.facts.chain_code != facts.chain_code:
            raise ContractError(f"key {facts.key_id} had another chain code before")
        if known.facts.version != 1 and facts.version == 1:
            raise ContractError(f"key {facts.key_id} was certified with its tenant before")
        if known.facts.epoch <= facts.epoch:
            self._remember(name, key)

    def _remember(self, name: Name, key: CertifiedKey) -> None:
        self._keys[name] = key
        if len(self._keys) > KEPT:
            self._keys.popitem(last=False)

    def _move_on(self, tenant: str | None, bundle: EpochBundle) -> None:
        """To an epoch that we asked for ourselves. Raises ContractError.

        That its holders have their shares, its certificates say; the proofs of it are for those who
        delete theirs."""
        before = bundle.predecessor
        self._accept(tenant, before)
        epochs.check(bundle, before.facts, pinned=self._parties, owners=self._owners)
        bundle.key.verify(self._speaking)
        self._accept(tenant, bundle.key)

    async def _check_signed(
        self, tenant: str | None, result: SignResult, merkle_root: bytes | None
    ) -> None:
        """Raises ContractError. Who signs may have changed since we asked for the key."""
        key = await self._key(tenant, result.key_id)
        if not is_by_holders(result, key):
            assert result.key_id is not None  # or there would be no key
            await self._fetch_key(tenant, result.key_id)
            key = await self._key(tenant, result.key_id)
        check_signed(result, key, merkle_root)

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
