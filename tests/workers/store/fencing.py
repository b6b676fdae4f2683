"""What the tests of the fence have in common: a party that answers, and one that would again."""

from __future__ import annotations

from pathlib import Path

from workers.store.interface import PartyStore
from workers.store.opening import open_party_store
from workers.store.records import Outcome
from workers.store.sealing import SealError

from .conftest import SEALER
from .examples import (
    KEY,
    ban,
    key_share,
    nonce,
    outgoing,
    parked,
    party_change,
    place,
    presignature,
    received,
    session_id,
)

BEGINS = "a new incarnation begins"


def opened(url: str, witness: Path) -> PartyStore:
    return open_party_store(url, party_id="party-1", sealer=SEALER, witness=witness)


async def prepare(store: PartyStore) -> None:
    """Something in each of the tables."""
    await store.commit(
        party_change(
            "prepared",
            key_share=key_share(active=True),
            nonces=(nonce("a"), nonce("b")),
            presignatures=(presignature(0), presignature(1)),
            bans=(ban(),),
            received=(received(),),
            outgoing=(outgoing(),),
        )
    )
    assert await store.park(parked("later"), max_count=9, max_bytes=999, now=1)


async def answer(store: PartyStore, what: str, nonce_id: str = "a") -> Outcome | None:
    """Sign `what` with a nonce, as a worker does; None if it is not there any more."""
    material = await store.signing_material(
        session_id(what), key_session=KEY, epoch=0, nonce_id=session_id(nonce_id)
    )
    if material.nonce is None:
        return None
    return await store.commit(
        party_change(
            what,
            status="completed",
            cause="answer",
            take_nonce=session_id(nonce_id),
            outgoing=(outgoing(what),),
        )
    )


async def assert_as_prepared(store: PartyStore) -> None:
    assert await store.session(session_id("prepared")) is not None
    assert len(await store.outgoing(session_id("prepared"), "created")) == 1
    assert len(await store.parked(session_id("later"))) == 1
    material = await store.signing_material(
        session_id("prepared"),
        key_session=KEY,
        epoch=0,
        nonce_id=session_id("b"),
        presignatures=[place(0), place(1)],
    )
    assert material.nonce == nonce("b")
    assert material.presignatures == (presignature(0), presignature(1))


async def assert_emptied(store: PartyStore) -> None:
    """Of all that can be used only once; key shares and bans are there."""
    assert await store.session(session_id("prepared")) is None
    assert await store.outgoing(session_id("prepared"), "created") == ()
    assert await store.parked(session_id("later")) == []
    material = await store.signing_material(
        session_id("prepared"),
        key_session=KEY,
        epoch=0,
        nonce_id=session_id("b"),
        presignatures=[place(0), place(1)],
    )
    assert material.nonce is None
    assert material.presignatures == (None, None)
    assert material.key_share == key_share(active=True)
    assert await store.bans() == [ban()]


async def opens(store: PartyStore, nonce_id: str = "b") -> bool:
    """The nonce is there, and of this incarnation."""
    try:
        material = await store.signing_material(
            session_id("none"), key_session=KEY, epoch=0, nonce_id=session_id(nonce_id)
        )
    except SealError:
        return False
    return material.nonce is not None
