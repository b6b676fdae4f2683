"""Of two requests for new shares of one key, one has its turn: both could be made otherwise."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from workers.store.interface import PartyStore
from workers.store.records import EpochStatus, Outcome, PartyChange

from .examples import FAR_FUTURE, KEY, party_change
from .test_epochs import begin, certify, epoch_step, proven, statuses, with_first_epoch

ROLE = "party"
OTHER = bytes([1]) * 32
BUSY, COMMITTED = Outcome.KEY_BUSY, Outcome.COMMITTED


def other(epoch: int, name: str = "other", **step: Any) -> PartyChange:
    """Another request's."""
    values = {"digest": OTHER} | step
    return replace(begin(epoch, name), epoch=epoch_step(epoch, EpochStatus.BEGUN, **values))


def ended(name: str = "reshare", version: int = 1, status: str = "failed") -> PartyChange:
    return party_change(name, expected_version=version, cause="ended", status=status)


@pytest.fixture
async def dealt(party: PartyStore) -> PartyStore:
    """With an epoch that is in the making."""
    await with_first_epoch(party)
    assert await party.commit(begin(1)) is COMMITTED
    return party


async def test_none_begins_while_another_requests_is_in_the_making(dealt: PartyStore) -> None:
    assert await dealt.commit(other(2)) is BUSY
    assert await statuses(dealt) == {1: "begun"}
    assert await dealt.session(other(2).session_id) is None
    # The first goes on, and a try of its own request may follow.
    assert await dealt.commit(certify(1)) is COMMITTED
    assert await dealt.commit(begin(2, "again")) is COMMITTED


async def test_what_keeps_a_request_waiting_is_told_without_beginning_any(
    dealt: PartyStore,
) -> None:
    own, now = epoch_step(1, EpochStatus.BEGUN).digest, await dealt.now()
    assert await dealt.is_busy(KEY, OTHER, now)
    assert not await dealt.is_busy(KEY, own, now)
    assert not await dealt.is_busy(bytes(32), OTHER, now)
    assert not await dealt.is_busy(KEY, OTHER, FAR_FUTURE + 1)
    assert await dealt.commit(certify(1)) is COMMITTED
    assert await dealt.commit(ended(version=2)) is COMMITTED
    assert await dealt.is_busy(KEY, OTHER, now)
    assert await dealt.certify_epoch(proven(1), {})
    assert not await dealt.is_busy(KEY, OTHER, now)


async def test_one_that_ended_before_a_word_was_given_is_out_of_the_way(dealt: PartyStore) -> None:
    assert await dealt.commit(ended()) is COMMITTED
    assert await dealt.commit(other(2)) is COMMITTED
    assert await dealt.commit(certify(1)) is Outcome.LOST_RACE


async def test_once_a_word_is_out_it_may_be_made_though_it_has_failed_here(
    dealt: PartyStore,
) -> None:
    assert await dealt.commit(certify(1)) is COMMITTED
    assert await dealt.commit(ended(version=2)) is COMMITTED
    assert await dealt.commit(other(2)) is BUSY
    assert await dealt.commit(begin(2, "again")) is COMMITTED


async def test_one_that_is_proven_is_in_nobodys_way(dealt: PartyStore) -> None:
    assert await dealt.commit(certify(1)) is COMMITTED
    assert await dealt.certify_epoch(proven(1), {})
    assert await dealt.commit(other(2)) is COMMITTED


async def test_nor_one_below_an_epoch_that_is_proven(dealt: PartyStore) -> None:
    """The highest that is proven wins."""
    assert await dealt.commit(certify(1)) is COMMITTED
    assert await dealt.certify_epoch(proven(2, "elsewhere"), None)
    assert await dealt.commit(other(3)) is COMMITTED


@pytest.mark.parametrize("word", [False, True])
async def test_nor_one_whose_request_has_expired(party: PartyStore, word: bool) -> None:
    """Nobody gives a word for it any more."""
    await with_first_epoch(party)
    assert await party.commit(other(1, "first", open_until=9)) is COMMITTED
    if word:
        step = epoch_step(1, EpochStatus.PENDING, digest=OTHER, open_until=9)
        assert await party.commit(replace(certify(1, "first"), epoch=step)) is COMMITTED
    assert await party.commit(begin(2)) is COMMITTED


async def test_another_key_is_another_matter(dealt: PartyStore) -> None:
    assert await dealt.commit(other(2, key_session=bytes([78]) * 32)) is COMMITTED


async def test_of_two_workers_that_begin_at_once_one_does(
    party: PartyStore, party_twin: PartyStore
) -> None:
    for number in range(20):
        key = (number + 1).to_bytes(32)
        first = other(1, f"first {number}", key_session=key, digest=KEY)
        second = other(2, f"second {number}", key_session=key)
        both = [party.commit(first), party_twin.commit(second)]
        outcomes = await asyncio.gather(*(reversed(both) if number % 2 else both))
        assert outcomes.count(COMMITTED) == 1
        assert {*outcomes} <= {COMMITTED, BUSY, Outcome.EPOCH_TAKEN}
