"""Whose a key is and what it may serve, held to by each party whatever a coordinator says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.keys import Origin
from contracts.primitives import Scheme
from contracts.results import KeygenResult, SignResult, Status
from tests.workers.callers import answer
from tests.workers.simulate import World


async def made(world: World, **fields: Any) -> KeygenResult:
    request = world.keygen_request(**fields)
    await world.ask(request)
    await world.run()
    return answer(world, request, KeygenResult)


async def asked(world: World, **fields: Any) -> SignResult:
    request = world.sign_request(**fields)
    await world.ask(request)
    await world.run()
    return answer(world, request, SignResult)


def lie(folder: Path, *statements: str, **values: object) -> None:
    """Change what the coordinator keeps behind its back."""
    with closing(sqlite3.connect(folder / "coordinator.sqlite")) as file, file:
        for statement in statements:
            file.execute(statement, values)


def forget_keys(folder: Path) -> None:
    lie(folder, "DELETE FROM keys", "DELETE FROM key_reservations")


async def test_a_new_key_is_certified_with_its_owner_and_purposes(shire: World) -> None:
    request = shire.keygen_request(tenant="alice", curve="secp256k1", schemes=["bip340"])
    signed = await shire.ask(request)
    await shire.run()
    key = answer(shire, request, KeygenResult).key
    assert key is not None
    facts = key.facts
    assert (facts.version, facts.owner, facts.origin) == (2, request.owner, Origin.GENERATED)
    assert facts.request_digest == signed.digest
    assert facts.schemes == [Scheme.BIP340]
    for store in shire.party_stores.values():
        (share,) = await store.key_shares(request.owner)
        assert share.key_id == request.key_id


async def test_a_key_signs_in_no_scheme_that_it_was_not_made_for(shire: World) -> None:
    await made(shire, key_id="coins", curve="secp256k1", schemes=["bip340"])
    done = await asked(shire, key_id="coins", scheme="bip340", message=bytes(32))
    assert done.status is Status.COMPLETED
    for scheme in ("ecdsa", "secp256k1"):
        refused = await asked(shire, key_id="coins", scheme=scheme, message=bytes(32))
        assert refused.failure is not None
        assert refused.failure.code is FailureCode.INVALID_REQUEST
        assert "made for bip340 only" in refused.failure.message


async def test_what_a_lying_coordinator_forgot_the_parties_remember(
    shire: World, tmp_path: Path
) -> None:
    """It would have a second key of a name that is certified; of another owner's, it may."""
    first = await made(shire, tenant="alice", key_id="treasury")
    assert first.status is Status.COMPLETED
    forget_keys(tmp_path)
    second = await made(shire, tenant="alice", key_id="treasury")
    assert second.failure is not None
    assert second.failure.code is FailureCode.KEY_EXISTS
    assert "choose another id" in second.failure.message
    assert not second.failure.retryable
    assert (await made(shire, tenant="bob", key_id="treasury")).status is Status.COMPLETED


async def test_a_name_that_was_taken_in_the_meantime_ends_the_key_generation(
    shire: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sessions for one name at once: the second is found out with its certificate."""

    async def not_seen(*_: object) -> bool:
        return False

    await made(shire, key_id="treasury")
    forget_keys(tmp_path)
    for store in shire.party_stores.values():
        monkeypatch.setattr(store, "name_taken", not_seen)
    second = await made(shire, key_id="treasury")
    assert second.failure is not None
    assert second.failure.code is FailureCode.KEY_EXISTS
    for store in shire.party_stores.values():
        assert len(await store.key_shares()) == 1


async def test_anothers_key_does_not_sign_whatever_the_coordinator_points_at(
    shire: World, tmp_path: Path
) -> None:
    """A request of mallory's own, for a key that is called as alice's is: parties are told to
    serve it with alice's."""
    alices = (await made(shire, tenant="alice", key_id="treasury")).key
    assert alices is not None
    request = shire.keygen_request(tenant="mallory", key_id="treasury")
    await shire.ask(request)
    await shire.run()
    lie(
        tmp_path,
        "UPDATE keys SET key_session = :session, certified = :certified WHERE owner = :owner",
        session=alices.facts.session_id,
        certified=alices.model_dump_json(),
        owner=request.owner,
    )
    stolen = await asked(shire, tenant="mallory", key_id="treasury")
    assert stolen.failure is not None
    assert stolen.failure.code is FailureCode.PARTY_REFUSED
    assert "another owner's key" in stolen.failure.message
    assert not any(each.kind == "share_signed" for each in shire.network.sent)
