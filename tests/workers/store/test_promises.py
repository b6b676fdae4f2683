"""What a party states of a key's epochs stays true: nothing is dealt of the key meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from workers.store.interface import PartyStore
from workers.store.records import Outcome, PartyChange, PromiseRecord, WordRecord

from .conftest import RawDatabase
from .examples import FAR_FUTURE, KEY, session_id
from .test_cancellations import OWNER, forbid, forbidding
from .test_epochs import PROOFS, begin, certify, proven, with_first_epoch

ROLE = "party"
OTHER_KEY = bytes([77]) * 32


def word(epoch: int, name: str) -> WordRecord:
    return WordRecord(epoch, session_id(name))


def promise(*epochs: WordRecord, key_session: bytes = KEY) -> PromiseRecord:
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
    vain, made = word(1, "vain"), word(3, "made")
    assert await party.signing_epochs(KEY) == [vain, made]
    for named in ([vain], [made], [vain, word(3, "vain")], [word(1, "made"), made]):
        assert await promised(party, promise=promise(*named)) is Outcome.EPOCH_TAKEN
    assert await raw.query("SELECT count(*) AS count FROM promises") == [(0,)]
    assert await party.statement("svcA/alice", "request-1") is None
    assert await promised(party, promise=promise(made, vain)) is Outcome.COMMITTED
    # What is retired stays known.
    assert await party.activate_epoch(KEY, 3, 40, 48)
    assert await party.retire_epochs(KEY, 3, [], 50, "{}")
    assert await party.signing_epochs(KEY) == [vain, made]


async def test_of_two_epochs_with_one_number_each_is_named(party: PartyStore) -> None:
    """This party's word is out for the one, and it is shown the other."""
    await with_first_epoch(party)
    assert await party.commit(begin(1, "ours")) is Outcome.COMMITTED
    assert await party.commit(certify(1, "ours")) is Outcome.COMMITTED
    assert await party.certify_epoch(proven(1, "theirs"), None)
    both = [word(1, "ours"), word(1, "theirs")]
    assert sorted(await party.signing_epochs(KEY), key=str) == sorted(both, key=str)
    for named in both:
        assert await promised(party, promise=promise(named)) is Outcome.EPOCH_TAKEN
    assert await promised(party, promise=promise(*both)) is Outcome.COMMITTED


async def test_what_a_proven_epoch_comes_from_is_named_no_more(party: PartyStore) -> None:
    """Whoever knows the one knows the other, so a key may be refreshed as often as one likes."""
    await with_first_epoch(party)
    assert await party.commit(begin(1, "vain")) is Outcome.COMMITTED
    assert await party.commit(certify(1, "vain", key_share=None)) is Outcome.COMMITTED
    before = None
    for epoch in range(2, 300):
        name = f"reshare {epoch}"
        assert await party.certify_epoch(proven(epoch, name), None, before=before)
        before = word(epoch, name)
    assert before is not None
    assert await party.signing_epochs(KEY) == [word(1, "vain"), before]
    # One of the same number that it does not come from stays.
    other = word(299, "another line")
    assert await party.certify_epoch(proven(300, "reshare 300"), None, before=other)
    found = [word(1, "vain"), before, word(300, "reshare 300")]
    assert await party.signing_epochs(KEY) == found
    assert await promised(party, promise=promise(*found)) is Outcome.COMMITTED


@pytest.mark.parametrize(
    "change",
    ["UPDATE words SET session_id = {} WHERE epoch = 1", "DELETE FROM words WHERE epoch = 1"],
)
async def test_an_epoch_whose_session_was_not_kept_is_told_of_without_it_and_promised_never(
    party: PartyStore, raw: RawDatabase, change: str
) -> None:
    """As of before sessions were kept."""
    await with_first_epoch(party)
    assert await party.certify_epoch(proven(1, "reshare"), None)
    await raw.query(change.format(raw.literal(b"")))
    assert await party.signing_epochs(KEY) == [WordRecord(1, None)]
    for named in ([], [word(1, "reshare")], [WordRecord(1, None)], [WordRecord(1, b"")]):
        assert await promised(party, promise=promise(*named)) is Outcome.EPOCH_TAKEN


async def test_an_owner_has_as_many_promises_as_cancellations(
    party: PartyStore, raw: RawDatabase
) -> None:
    """One cancel that names another key each time is one cancellation."""
    keys = [number.to_bytes(32) for number in range(4)]

    async def ask(number: int, **other: Any) -> Outcome:
        named = promise(key_session=keys[number])
        values = {"request_id": "the same", "limit": 3, "promise": named}
        return await promised(party, f"cancel {number} {other}", **(values | other))

    for number in range(3):
        assert await ask(number) is Outcome.COMMITTED
    assert await ask(3) is Outcome.OVERLOADED
    assert await raw.query("SELECT count(*) AS count FROM promises") == [(3,)]
    # Again of a key of which there is one, of another owner, and once some are over.
    assert await ask(0, request_id="another") is Outcome.COMMITTED
    assert await ask(3, owner="svcB/bank") is Outcome.COMMITTED
    await raw.query("UPDATE promises SET until = 9")
    assert await ask(3) is Outcome.COMMITTED


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
