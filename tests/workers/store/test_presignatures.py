"""What a party's store promises about presignatures and bans."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from workers.store.interface import PartyStore
from workers.store.records import Outcome, PartyChange

from .conftest import RawDatabase
from .examples import (
    FAR_FUTURE,
    KEY,
    ban,
    key_share,
    nonce,
    outgoing,
    party_change,
    place,
    presignature,
    received,
    session_id,
)

ROLE = "party"
FINAL = ["completed", "failed", "expired", "cancelled"]


async def make(store: PartyStore, count: int, batch: str = "batch", **other: object) -> None:
    """A batch that is done."""
    made = tuple(presignature(position, batch, **other) for position in range(count))
    change = party_change(batch, status="completed", presignatures=made)
    assert await store.commit(change) is Outcome.COMMITTED


def answer(name: str, *places: tuple[bytes, int], **other: object) -> PartyChange:
    """A signature share, in one change."""
    values: dict[str, object] = {"status": "completed", "outgoing": (outgoing(f"by {name}"),)}
    return party_change(name, take_presignatures=places, **(values | other))


async def there(raw: RawDatabase) -> set[tuple[bytes, int]]:
    return {
        (row[0], row[1]) for row in await raw.query("SELECT batch, position FROM presignatures")
    }


async def test_signing_material_holds_presignatures_in_the_order_asked_for(
    party: PartyStore,
) -> None:
    await make(party, 3)
    await make(party, 2, "second")
    await party.commit(party_change(key_share=key_share(), received=(received(),)))
    asked = [place(1, "second"), place(9), place(2), place(0, "none"), place(0), place(2)]

    material = await party.signing_material(
        session_id(), key_session=KEY, epoch=0, presignatures=asked
    )

    assert material.session == await party.session(session_id())
    assert material.key_share == key_share()
    assert material.nonce is None
    assert material.presignatures == (
        presignature(1, "second"),
        None,
        presignature(2),
        None,
        presignature(0),
        presignature(2),
    )


async def test_signing_material_holds_what_is_there_when_nothing_else_is(party: PartyStore) -> None:
    await make(party, 1)
    material = await party.signing_material(
        session_id("none"), key_session=session_id("none"), epoch=0, presignatures=[place()]
    )
    assert (material.session, material.key_share, material.nonce) == (None, None, None)
    assert material.presignatures == (presignature(),)


async def test_signing_material_for_a_nonce_holds_no_presignatures(party: PartyStore) -> None:
    await make(party, 1)
    await party.commit(party_change(nonces=(nonce(),)))
    material = await party.signing_material(
        session_id(), key_session=KEY, epoch=0, nonce_id=session_id("nonce")
    )
    assert material.nonce == nonce()
    assert material.presignatures == ()


async def test_a_whole_list_of_256_is_loaded_and_taken(party: PartyStore, raw: RawDatabase) -> None:
    await make(party, 128)
    await make(party, 129, "second")
    asked = [place(position, batch) for position in range(128) for batch in ["second", "batch"]]

    material = await party.signing_material(
        session_id(), key_session=KEY, epoch=0, presignatures=asked
    )
    assert [(found.batch, found.position) for found in material.presignatures if found] == asked

    assert await party.commit(answer("list", *asked)) is Outcome.COMMITTED
    assert await there(raw) == {place(128, "second")}


async def test_a_presignature_comes_back_with_the_key_it_was_made_for(party: PartyStore) -> None:
    await make(party, 1, key_session=session_id("other"), epoch=3)
    material = await party.signing_material(
        session_id(), key_session=KEY, epoch=0, presignatures=[place()]
    )
    assert material.presignatures == (presignature(key_session=session_id("other"), epoch=3),)


async def test_a_presignature_signs_once_even_if_many_ask_at_the_same_time(
    party: PartyStore, party_twin: PartyStore, raw: RawDatabase
) -> None:
    await make(party, 2)

    outcomes = await asyncio.gather(
        *(
            (party if racer % 2 else party_twin).commit(answer(f"signing {racer}", place()))
            for racer in range(20)
        )
    )

    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.PRESIGNATURE_GONE) == 19
    winner = outcomes.index(Outcome.COMMITTED)
    (body,) = [row[0] for row in await raw.query("SELECT body FROM outbox")]
    assert body == outgoing(f"by signing {winner}").body
    assert await there(raw) == {place(1)}


async def test_of_lists_that_share_a_presignature_one_is_answered_and_the_others_keep_theirs(
    party: PartyStore, party_twin: PartyStore, raw: RawDatabase
) -> None:
    """In whatever order they name them, and without waiting for each other in a circle."""
    await make(party, 21)

    def list_of(racer: int) -> list[tuple[bytes, int]]:
        shared_and_own = [place(0), *(place(1 + 5 * (racer % 4) + own) for own in range(5))]
        return shared_and_own if racer % 3 else shared_and_own[::-1]

    outcomes = await asyncio.gather(
        *(
            (party if racer % 2 else party_twin).commit(answer(f"list {racer}", *list_of(racer)))
            for racer in range(12)
        )
    )

    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.PRESIGNATURE_GONE) == 11
    winner = outcomes.index(Outcome.COMMITTED)
    assert await there(raw) == {place(n) for n in range(21)} - set(list_of(winner))


async def test_a_second_session_that_names_a_used_presignature_writes_nothing(
    party: PartyStore, raw: RawDatabase
) -> None:
    await make(party, 2)
    assert await party.commit(answer("first", place(0))) is Outcome.COMMITTED
    before = await raw.everything()

    second = answer(
        "second",
        place(1),
        place(0),
        received=(received(),),
        key_share=key_share(),
        presignatures=(presignature(0, "fresh"),),
        bans=(ban(),),
    )

    assert await party.commit(second) is Outcome.PRESIGNATURE_GONE
    assert await raw.everything() == before
    assert await party.session(session_id("second")) is None


@pytest.mark.parametrize(
    "places", [[place(9)], [place(0, "none")], [place(0), place(0)], [place(1), place(0), place(1)]]
)
async def test_what_is_not_there_or_named_twice_is_gone(
    party: PartyStore, raw: RawDatabase, places: list[tuple[bytes, int]]
) -> None:
    await make(party, 2)
    before = await raw.everything()
    assert await party.commit(answer("signing", *places)) is Outcome.PRESIGNATURE_GONE
    assert await raw.everything() == before


async def test_a_change_that_fails_for_another_reason_gives_its_presignatures_back(
    party: PartyStore, raw: RawDatabase
) -> None:
    await make(party, 1)
    await party.commit(party_change(outgoing=(outgoing(),)))
    before = await raw.everything()

    moved_on = answer("session", place(), expected_version=7, cause="signing")
    assert await party.commit(moved_on) is Outcome.LOST_RACE
    sent_before = answer("session", place(), expected_version=1, cause="created")
    assert await party.commit(sent_before) is Outcome.LOST_RACE
    without_nonce = answer("signing", place(), take_nonce=session_id("never there"))
    assert await party.commit(without_nonce) is Outcome.NONCE_GONE

    assert await raw.everything() == before
    assert await party.commit(answer("signing", place())) is Outcome.COMMITTED


async def test_the_loser_of_a_race_for_session_and_presignature_hears_of_the_session(
    party: PartyStore, party_twin: PartyStore
) -> None:
    """Else it would give up a session that the winner has just answered."""
    await make(party, 1)
    change = answer("signing", place())

    outcomes = await asyncio.gather(*(store.commit(change) for store in [party, party_twin] * 5))

    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.LOST_RACE) == 9


async def test_a_change_that_takes_may_bring_presignatures_too(
    party: PartyStore, raw: RawDatabase
) -> None:
    await make(party, 1)
    change = answer("signing", place(), presignatures=(presignature(0, "fresh"),))
    assert await party.commit(change) is Outcome.COMMITTED
    assert await there(raw) == {place(0, "fresh")}


###
### The end of a batch
###


async def test_the_end_of_a_batch_that_is_done_forgets_what_it_made(
    party: PartyStore, raw: RawDatabase
) -> None:
    """It failed elsewhere: then it dies here, too."""
    await make(party, 3)
    await make(party, 1, "other")

    assert not await party.end(session_id("batch"), "failed", 5)

    assert await there(raw) == {place(0, "other")}
    session = await party.session(session_id("batch"))
    assert session is not None
    assert session.status == "completed"
    assert await party.commit(answer("signing", place())) is Outcome.PRESIGNATURE_GONE


async def test_the_end_of_a_batch_forgets_what_it_sent_and_that_of_others_does_not(
    party: PartyStore,
) -> None:
    for protocol, left in (("presign", ()), ("keygen", (outgoing(),))):
        change = party_change(protocol, protocol=protocol, cause="begun", outgoing=(outgoing(),))
        assert await party.commit(change) is Outcome.COMMITTED
        await party.end(session_id(protocol), "cancelled", 1)
        assert await party.outgoing(session_id(protocol), "begun") == left


async def test_a_batch_that_was_ended_first_adds_nothing(
    party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(party_change("batch"))
    assert await party.end(session_id("batch"), "cancelled", 5)
    late = party_change(
        "batch", expected_version=1, status="completed", presignatures=(presignature(),)
    )
    assert await party.commit(late) is Outcome.LOST_RACE
    assert await there(raw) == set()


async def test_no_presignature_outlives_an_end_at_the_moment_in_which_it_is_made(
    party: PartyStore, party_twin: PartyStore, raw: RawDatabase
) -> None:
    for attempt in range(20):
        name = f"batch {attempt}"
        await party.commit(party_change(name))
        made = tuple(presignature(position, name) for position in range(4))
        done = party_change(
            name, expected_version=1, cause="2", status="completed", presignatures=made
        )
        await asyncio.gather(party.commit(done), party_twin.end(session_id(name), "failed", 5))
    assert await there(raw) == set()


async def test_presignatures_outlive_their_batch_s_session(
    party: PartyStore, raw: RawDatabase
) -> None:
    await make(party, 2)
    assert await party.purge(ended_before=FAR_FUTURE) == 1
    assert await there(raw) == {place(0), place(1)}


###
### What was sent
###


@pytest.mark.parametrize("status", ["in_progress", *FINAL])
async def test_what_earlier_causes_sent_is_forgotten_when_a_change_says_so(
    party: PartyStore, status: str
) -> None:
    for version, cause in enumerate(["created", "round-1"]):
        await party.commit(
            party_change(expected_version=version, cause=cause, outgoing=(outgoing(cause),))
        )
    await party.commit(party_change("other", outgoing=(outgoing("theirs"),)))

    last = party_change(
        expected_version=2, cause="last", status=status, outgoing=(outgoing(),), forget_sent=True
    )
    assert await party.commit(last) is Outcome.COMMITTED

    assert await party.outgoing(session_id(), "created") == ()
    assert await party.outgoing(session_id(), "round-1") == ()
    assert await party.outgoing(session_id(), "last") == (outgoing(),)
    assert await party.outgoing(session_id("other"), "created") == (outgoing("theirs"),)


async def test_what_was_sent_is_kept_by_a_change_that_was_not_committed(party: PartyStore) -> None:
    await party.commit(party_change(outgoing=(outgoing(),)))
    last = answer("session", place(), expected_version=1, cause="last", forget_sent=True)
    assert await party.commit(last) is Outcome.PRESIGNATURE_GONE
    assert await party.outgoing(session_id(), "created") == (outgoing(),)


async def test_messages_of_batches_come_back_whole(party: PartyStore) -> None:
    """Megabytes, in the outbox, in the inbox and as state."""
    body = bytes(range(256)) * 10_600
    change = party_change(
        state=body,
        received=(received(body=body), received(sender="party-3", body=body)),
        outgoing=(outgoing(body=body), outgoing(body=body[1:])),
    )
    assert await party.commit(change) is Outcome.COMMITTED

    session = await party.session(session_id())
    assert session is not None
    assert session.state == body
    assert [row.body for row in session.received] == [body, body]
    assert await party.outgoing(session_id(), "created") == change.outgoing


###
### Trimming
###


async def make_aged(party: PartyStore, raw: RawDatabase, ages: dict[str, int]) -> None:
    """Batches of two, of the ages given; those named `other` are another key's."""
    for batch, age in ages.items():
        other = {"key_session": session_id("other")} if batch.startswith("other") else {}
        await make(party, 2, batch, **other)
        await raw.query(
            f"UPDATE presignatures SET made_at = {100 - age}"
            f" WHERE batch = {raw.literal(session_id(batch))} RETURNING 1"
        )


async def test_a_key_s_oldest_presignatures_beyond_its_limit_are_trimmed(
    party: PartyStore, raw: RawDatabase
) -> None:
    await make_aged(party, raw, {"old": 3, "older": 9, "new": 1, "other": 20})
    await make(party, 1, "next epoch", epoch=1)
    kept = {place(0, "new"), place(1, "new"), place(1, "old")}
    others = {place(0, "other"), place(1, "other"), place(0, "next epoch")}

    assert await party.trim_presignatures(KEY, 0, keep=3, keep_in_all=100) == 3
    assert await there(raw) == kept | others
    assert await party.trim_presignatures(KEY, 0, keep=3, keep_in_all=100) == 0


async def test_the_oldest_presignatures_of_all_keys_are_trimmed_beyond_the_limit_of_all(
    party: PartyStore, raw: RawDatabase
) -> None:
    await make_aged(party, raw, {"new": 1, "other new": 2, "old": 3, "other old": 4})
    assert await party.trim_presignatures(KEY, 0, keep=100, keep_in_all=5) == 3
    assert await there(raw) == {
        place(0, "new"),
        place(1, "new"),
        place(0, "other new"),
        place(1, "other new"),
        place(1, "old"),
    }


async def test_what_a_key_has_beyond_its_own_limit_costs_no_other_key_a_presignature(
    party: PartyStore, raw: RawDatabase
) -> None:
    await make_aged(party, raw, {"new": 1, "old": 2, "other": 3})
    assert await party.trim_presignatures(KEY, 0, keep=2, keep_in_all=4) == 2
    assert await there(raw) == {
        place(0, "new"),
        place(1, "new"),
        place(0, "other"),
        place(1, "other"),
    }


###
### Bans
###


async def test_a_ban_comes_back_as_it_was_stored_and_by_party(party: PartyStore) -> None:
    assert await party.bans() == []
    await party.commit(party_change(status="failed", bans=(ban("party-3", at=9), ban())))
    assert await party.bans() == [ban(), ban("party-3", at=9)]


async def test_a_party_stays_banned_for_the_first_reason(party: PartyStore) -> None:
    await party.commit(party_change("1", status="failed", bans=(ban(),)))
    again = ban(check="another", session_id=session_id("later"), at=99)
    change = party_change("2", status="failed", bans=(again, ban("party-3")))
    assert await party.commit(change) is Outcome.COMMITTED
    assert await party.bans() == [ban(), ban("party-3")]


async def test_a_ban_outlives_its_session(party: PartyStore) -> None:
    await party.commit(party_change(status="failed", bans=(ban(),)))
    await party.purge(ended_before=FAR_FUTURE)
    assert await party.bans() == [ban()]


async def test_a_ban_is_lifted_once_and_may_come_again(party: PartyStore) -> None:
    await party.commit(party_change("1", status="failed", bans=(ban(), ban("party-3"))))
    assert await party.lift_ban("party-2")
    assert not await party.lift_ban("party-2")
    assert await party.bans() == [ban("party-3")]

    again = replace(ban(), at=99)
    await party.commit(party_change("2", status="failed", bans=(again,)))
    assert await party.bans() == [again, ban("party-3")]
