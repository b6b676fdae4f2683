"""What a party states of a key's epochs stays true: nothing is dealt of the key meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from workers.store.interface import PartyStore
from workers.store.records import Outcome, PartyChange, PromiseRecord

from .conftest import RawDatabase
from .examples import FAR_FUTURE, KEY
from .test_cancellations import OWNER, forbid, forbidding
from .test_epochs import PROOFS, begin, certify, proven, with_first_epoch

ROLE = "party"
OTHER_KEY = bytes([77]) * 32


def promise(*epochs: int, key_session: bytes = KEY) -> PromiseRecord:
    return PromiseRecord(key_session=key_session, epochs=epochs)


def of_key(key_session: bytes, change: PartyChange) -> PartyChange:
    assert change.epoch is not None
    return replace(change, epoch=replace(change.epoch, key_session=key_session))


async def promised(store: PartyStore, name: str = "cancel", **other: Any) -> Outcome:
    values = {"promise": promise(), "forbidden_until": FAR_FUTURE}
    return await forbid(store, name, **(values | other))


async def test_what_is_promised_keeps_an_epoch_from_beginning_and_from_going_on(
    party: PartyStore,
) -> None:
    await with_first_epoch(party)
    assert await party.commit(begin(1)) is Outcome.COMMITTED
    assert await promised(party) is Outcome.COMMITTED
    assert await party.commit(certify(1)) is Outcome.PROMISED
    assert await party.commit(begin(2, "later")) is Outcome.PROMISED
    assert await party.signing_epochs(KEY) == []
    assert [(each.epoch, each.status.value) for each in await party.epochs(KEY)] == [(1, "begun")]
    # By the clock that lets what was cancelled get too old.
    assert await party.purge_cancellations(before=FAR_FUTURE + 1) == 1
    assert await party.commit(certify(1)) is Outcome.COMMITTED


async def test_a_promise_lasts_as_long_as_the_longest_of_its_key(party: PartyStore) -> None:
    await with_first_epoch(party)
    for name, until in (("first", FAR_FUTURE), ("second", 1_000)):
        made = await promised(party, name, request_id=name, forbidden_until=until)
        assert made is Outcome.COMMITTED
    assert await party.commit(begin(1)) is Outcome.PROMISED
    await party.purge_cancellations(before=FAR_FUTURE)
    assert await party.commit(begin(1)) is Outcome.PROMISED


@pytest.mark.parametrize(
    "other",
    [
        {"promise": promise(key_session=OTHER_KEY)},
        {"promise": None},
        {"forbidden_until": 9},
        {"owner": "svcA/mallory"},
    ],
)
async def test_nothing_else_keeps_it(party: PartyStore, other: dict[str, Any]) -> None:
    """Another key's promise, a cancel that names none, one that is over, and another owner's: whose
    a key is, who has no share of it cannot tell."""
    await with_first_epoch(party)
    assert await promised(party, **other) is Outcome.COMMITTED
    assert await party.commit(begin(1)) is Outcome.COMMITTED
    assert await party.commit(certify(1)) is Outcome.COMMITTED


async def test_nothing_is_stated_that_leaves_out_an_epoch(
    party: PartyStore, raw: RawDatabase
) -> None:
    """One that this party gave its word for, be it in vain, or one that was proven to it."""
    await with_first_epoch(party)
    for epoch, name in ((1, "vain"), (2, "begun only"), (3, "made")):
        assert await party.commit(begin(epoch, name)) is Outcome.COMMITTED
    assert await party.signing_epochs(KEY) == []
    # In the order in which they were begun the first one is behind; it may still be certified.
    assert await party.commit(certify(1, "vain")) is Outcome.COMMITTED
    assert await party.certify_epoch(proven(3, "made"), PROOFS)
    assert await party.signing_epochs(KEY) == [1, 3]
    assert await promised(party, promise=promise(1)) is Outcome.EPOCH_TAKEN
    assert await promised(party, promise=promise(3)) is Outcome.EPOCH_TAKEN
    assert await raw.query("SELECT count(*) AS count FROM promises") == [(0,)]
    assert await party.statement("svcA/alice", "request-1") is None
    assert await promised(party, promise=promise(1, 3)) is Outcome.COMMITTED
    # What is retired stays known.
    assert await party.activate_epoch(KEY, 3, 40, 48)
    assert await party.retire_epochs(KEY, 3, [], 50, "{}")
    assert await party.signing_epochs(KEY) == [1, 3]


async def test_whose_a_key_is(party: PartyStore) -> None:
    await with_first_epoch(party)
    assert len(await party.owners(KEY)) == 1
    assert await party.owners(OTHER_KEY) == []


async def test_a_word_or_a_statement_without_it_and_never_both(
    party: PartyStore, party_twin: PartyStore
) -> None:
    """Two workers at the same time, in either order."""
    seen = set()
    for number in range(20):
        key = number.to_bytes(32)
        begun = of_key(key, begin(1, f"reshare {number}"))
        word = of_key(key, certify(1, f"reshare {number}", key_share=None))
        assert await party.commit(begun) is Outcome.COMMITTED
        stating = await forbidding(
            party_twin,
            f"cancel {number}",
            request_id=f"request {number}",
            promise=promise(key_session=key),
            forbidden_until=FAR_FUTURE,
            limit=99,
        )
        both = [party.commit(word), party_twin.commit(stating)]
        if number % 2:
            second, first = await asyncio.gather(*reversed(both))
        else:
            first, second = await asyncio.gather(*both)
        assert (first is Outcome.COMMITTED) != (second is Outcome.COMMITTED)
        assert {first, second} - {Outcome.COMMITTED} <= {Outcome.PROMISED, Outcome.EPOCH_TAKEN}
        seen.add(first)
    assert seen <= {Outcome.COMMITTED, Outcome.PROMISED}


async def test_a_promise_can_be_looked_at(party: PartyStore) -> None:
    """By its key, its owner, and the time until which it counts."""
    await with_first_epoch(party)
    assert not await party.promised(KEY, OWNER, 1_000)
    assert await promised(party, forbidden_until=2_000) is Outcome.COMMITTED
    assert await party.promised(KEY, OWNER, 2_000)
    assert not await party.promised(KEY, OWNER, 2_001)
    assert not await party.promised(KEY, "another", 1_000)
    assert not await party.promised(OTHER_KEY, OWNER, 1_000)
