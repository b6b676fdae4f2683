"""What tests of reshares ask a simulated Warren for, and look at afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from contracts.envelope import UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey, EpochBundle, KeyFacts
from contracts.requests import ReshareRequest, SignRequest
from contracts.results import KeygenResult, ReshareResult, Result, SignResult
from tests.workers.ecdsa import only_result, sent
from tests.workers.simulate import World
from tests.workers.tries import everyone_is_alive
from workers.coordinator.key_epochs import KeyEpochs, Signing
from workers.store.records import Outgoing

OLD, NEW = ["party-1", "party-2", "party-3"], ["party-2", "party-3", "party-4", "party-5"]
MESSAGE = bytes(range(32))


async def make(
    shire: World, curve: str = "secp256k1", parties: Sequence[str] = OLD
) -> CertifiedKey:
    await everyone_is_alive(shire)
    request = shire.keygen_request(curve=curve, party_count=len(parties), parties=[*parties])
    await shire.ask(request)
    await shire.run()
    result = only_result(shire, request)
    assert isinstance(result, KeygenResult)
    assert result.key is not None
    return result.key


async def ask(shire: World, key: CertifiedKey, **changes: Any) -> ReshareRequest:
    await everyone_is_alive(shire)
    request = shire.reshare_request(key.facts, **changes)
    await shire.ask(request)
    return request


async def reshared(shire: World, key: CertifiedKey, **changes: Any) -> EpochBundle:
    """And proven to everybody concerned."""
    request = await ask(shire, key, **changes)
    await shire.run()
    return bundle_of(shire, request)


def bundle_of(shire: World, request: ReshareRequest) -> EpochBundle:
    result = only_result(shire, request)
    assert isinstance(result, ReshareResult)
    assert result.failure is None, result.failure
    assert result.bundle is not None
    return result.bundle


async def sign(shire: World, key: CertifiedKey, scheme: str) -> SignResult:
    await everyone_is_alive(shire)
    request = shire.sign_request(key_id=key.facts.key_id, scheme=scheme, message=MESSAGE)
    await shire.ask(request)
    await shire.run()
    return signed(shire, request)


def signed(shire: World, request: SignRequest) -> SignResult:
    result = only_result(shire, request)
    assert isinstance(result, SignResult)
    assert result.failure is None, result.failure
    return result


def failed(shire: World, request: Any) -> tuple[FailureCode, str]:
    result: Result = only_result(shire, request)
    assert result.failure is not None
    return result.failure.code, result.failure.message


async def pass_(shire: World, seconds: float) -> None:
    shire.clock.offset_ms += int(seconds * 1000)
    for party in shire.parties.values():
        for key_session in await party._store.keys_due(shire.clock(), 10):
            await party.epochs.go_on(key_session)
        for key_session in await party._store.retirements_due(shire.clock(), 10):
            await party.epochs.tell(key_session)
    await shire.reshares.tend()
    await shire.retirements.tend()


async def requests_expire(shire: World) -> None:
    """Those for which epochs were begun: by the parties' stores' clock, which no test sets."""
    for store in shire.party_stores.values():
        await cast("Any", store)._database.execute("UPDATE epochs SET open_until = 9")


async def shares(shire: World, key: CertifiedKey) -> dict[str, dict[int, bool]]:
    """Party -> epoch -> whether its share is usable; parties without any are left out."""
    found = {}
    for party_id, store in shire.party_stores.items():
        own = {
            each.epoch: each.active
            for each in await store.key_shares()
            if each.key_session == key.facts.session_id
        }
        if own:
            found[party_id] = own
    return found


def epoch_of(shire: World, result: SignResult) -> int:
    """Of the session that made these signatures."""
    (message, *_) = [
        message
        for message in sent(shire, "share_signed")
        if message.headers["session_id"] == (result.session_id or b"").hex()
    ]
    return UnverifiedEnvelope.from_bytes(message.body).claimed.epoch


def asked_by(patched: pytest.MonkeyPatch, facts: KeyFacts) -> None:
    """The coordinator has signatures made by that epoch's holders, whatever came after, and shows
    nobody anything else."""

    async def signing(*_: object) -> Signing:
        return Signing(facts, until=0)

    async def nothing(*_: object) -> list[EpochBundle]:
        return []

    patched.setattr(KeyEpochs, "signing", signing)
    patched.setattr(KeyEpochs, "proofs", nothing)


def of_round(number: int) -> Callable[[Outgoing], bool]:
    def is_it(message: Outgoing) -> bool:
        try:
            envelope = UnverifiedEnvelope.from_bytes(message.body).claimed
        except ContractError:
            return False
        return (envelope.kind, envelope.round) == ("reshare", number)

    return is_it
