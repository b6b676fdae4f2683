"""What a party's store promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from workers.store.interface import PartyStore
from workers.store.records import Outcome, TenantRecord

from .conftest import RawDatabase
from .examples import (
    FAR_FUTURE,
    KEY,
    evidence,
    key_share,
    nonce,
    outgoing,
    parked,
    party_change,
    received,
    session_id,
)

ROLE = "party"
ROOM = {"max_count": 10, "max_bytes": 1_000, "now": 1}


async def test_a_key_share_comes_back_as_it_was_stored(party: PartyStore) -> None:
    assert await party.key_share(KEY, 0) is None
    await party.commit(party_change(key_share=key_share()))
    assert await party.key_share(KEY, 0) == key_share()
    assert await party.key_share(KEY, 1) is None


async def test_a_key_share_is_replaced_by_the_same_epoch_and_not_by_another(
    party: PartyStore,
) -> None:
    active = key_share(certificates={"party-1": b"1", "party-2": b"2"}, active=True)
    refreshed = key_share(epoch=1, secret=b"another share")
    for version, share in enumerate([key_share(), active, refreshed]):
        change = party_change(expected_version=version, cause=str(version), key_share=share)
        assert await party.commit(change) is Outcome.COMMITTED

    assert await party.key_share(KEY, 0) == active
    assert await party.key_share(KEY, 1) == refreshed


async def test_key_shares_are_listed_by_owner_without_their_secrets(party: PartyStore) -> None:
    theirs = key_share(key_session=session_id("theirs"), owner="svcB")
    legacy = key_share(key_session=session_id("legacy"), owner="")
    for name, share in [("1", key_share()), ("2", theirs), ("3", legacy)]:
        await party.commit(party_change(name, key_share=share))

    bare = [replace(share, secret=b"") for share in (legacy, key_share(), theirs)]
    assert await party.key_shares() == bare
    assert await party.key_shares("svcA") == [bare[1]]
    assert await party.key_shares("") == [bare[0]]
    assert await party.key_shares("nobody") == []


async def test_a_name_is_one_keys_for_ever(party: PartyStore, party_twin: PartyStore) -> None:
    assert not await party.name_taken("svcA", "treasury", KEY)
    await party.commit(party_change("1", key_share=key_share(active=False)))
    assert not await party.name_taken("svcA", "treasury", KEY)
    other = key_share(key_session=session_id("other"))
    assert await party_twin.name_taken("svcA", "treasury", other.key_session)
    assert await party_twin.commit(party_change("2", key_share=other)) is Outcome.KEY_EXISTS
    assert await party.session(session_id("2")) is None
    assert await party.key_share(other.key_session, 0) is None
    # A name is an owner's; and the key itself goes on, whatever became of its session.
    theirs = replace(other, owner="svcA/alice")
    assert await party.commit(party_change("3", key_share=theirs)) is Outcome.COMMITTED
    done = party_change("1", expected_version=1, cause="2", key_share=key_share(active=True))
    assert await party.commit(done) is Outcome.COMMITTED


async def test_of_two_keys_for_one_name_at_the_same_time_one_is_certified(
    party: PartyStore, party_twin: PartyStore
) -> None:
    outcomes = await asyncio.gather(
        party.commit(party_change("1", key_share=key_share(key_session=session_id("1")))),
        party_twin.commit(party_change("2", key_share=key_share(key_session=session_id("2")))),
    )
    assert {*outcomes} == {Outcome.COMMITTED, Outcome.KEY_EXISTS}
    assert len(await party.key_shares()) == 1


async def test_a_name_is_taken_by_a_restored_share_too(party: PartyStore) -> None:
    assert await party.add_sealed_key_shares([key_share()])
    other = key_share(key_session=session_id("other"))
    assert await party.commit(party_change(key_share=other)) is Outcome.KEY_EXISTS


async def test_a_name_stays_taken_when_a_dump_is_restored_over_it(
    party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(party_change(key_share=key_share()))
    await raw.query("DELETE FROM key_shares")
    other = key_share(key_session=session_id("other"))
    assert await party.commit(party_change("2", key_share=other)) is Outcome.KEY_EXISTS


async def test_a_key_is_given_its_tenant_once(party: PartyStore) -> None:
    given = TenantRecord(key_session=KEY, owner="svcA/alice", tenant="alice", given_at=7)
    assert await party.give_tenant(given) is Outcome.LOST_RACE  # there is no such key
    await party.commit(party_change(key_share=key_share(owner="svcA")))
    assert await party.tenants() == []
    taken = key_share(key_session=session_id("taken"), owner="svcA/bob")
    await party.commit(party_change("2", key_share=taken))
    bobs = replace(given, owner="svcA/bob", tenant="bob")
    assert await party.give_tenant(bobs) is Outcome.KEY_EXISTS
    assert await party.tenants() == []
    assert await party.give_tenant(given) is Outcome.COMMITTED
    for again in (given, replace(given, owner="svcA/carol", tenant="carol")):
        assert await party.give_tenant(again) is Outcome.LOST_RACE
    assert await party.tenants() == [given]
    (share,) = await party.key_shares("svcA/alice")
    assert share.key_session == KEY
    assert await party.name_taken("svcA/alice", "treasury", session_id("new"))


async def test_signing_material_is_the_session_the_share_and_the_nonce(party: PartyStore) -> None:
    await party.commit(
        party_change(received=(received(),), key_share=key_share(), nonces=(nonce(),))
    )

    material = await party.signing_material(
        session_id(), key_session=KEY, epoch=0, nonce_id=session_id("nonce")
    )

    assert material.session == await party.session(session_id())
    assert material.session is not None
    assert material.session.received == (received(),)
    assert material.key_share == key_share()
    assert material.nonce == nonce()


@pytest.mark.parametrize("missing", ["session", "key_share", "nonce"])
async def test_signing_material_says_what_is_not_there(party: PartyStore, missing: str) -> None:
    await party.commit(party_change(key_share=key_share(), nonces=(nonce(),)))

    material = await party.signing_material(
        session_id("none" if missing == "session" else "session"),
        key_session=KEY,
        epoch=1 if missing == "key_share" else 0,
        nonce_id=session_id("none" if missing == "nonce" else "nonce"),
    )

    for part in ["session", "key_share", "nonce"]:
        assert (getattr(material, part) is None) == (part == missing)


async def test_a_nonce_is_taken_once_even_by_many_at_the_same_time(
    party: PartyStore, party_twin: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(party_change(nonces=(nonce(),)))

    outcomes = await asyncio.gather(
        *(
            (party if racer % 2 else party_twin).commit(
                party_change(
                    f"signing {racer}",
                    status="completed",
                    take_nonce=session_id("nonce"),
                    outgoing=(outgoing(f"share {racer}"),),
                )
            )
            for racer in range(20)
        )
    )

    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.NONCE_GONE) == 19
    winner = outcomes.index(Outcome.COMMITTED)
    (body,) = [row[0] for row in await raw.query("SELECT body FROM outbox")]
    assert body == outgoing(f"share {winner}").body


async def test_the_loser_of_a_race_for_session_and_nonce_hears_of_the_session(
    party: PartyStore, party_twin: PartyStore
) -> None:
    """Else it would give up a session that the winner has just answered."""
    await party.commit(party_change("before", nonces=(nonce(),)))
    change = party_change(take_nonce=session_id("nonce"), outgoing=(outgoing(),))

    outcomes = await asyncio.gather(*(store.commit(change) for store in [party, party_twin] * 5))

    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.LOST_RACE) == 9


async def test_a_change_whose_nonce_is_gone_leaves_nothing(
    party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(party_change(received=(received(),), nonces=(nonce("kept"),)))
    before = await raw.everything()

    change = party_change(
        expected_version=1,
        status="completed",
        cause="signing",
        received=(received("round-2"),),
        outgoing=(outgoing(),),
        key_share=key_share(),
        nonces=(nonce("fresh"),),
        take_nonce=session_id("never there"),
    )

    assert await party.commit(change) is Outcome.NONCE_GONE
    assert await raw.everything() == before


async def test_a_change_that_lost_its_race_leaves_nothing(
    party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(party_change(nonces=(nonce(),)))
    before = await raw.everything()

    change = party_change(
        received=(received(),),
        outgoing=(outgoing(),),
        key_share=key_share(),
        nonces=(nonce("fresh"),),
        take_nonce=session_id("nonce"),
    )

    assert await party.commit(change) is Outcome.LOST_RACE
    assert await raw.everything() == before


@pytest.mark.parametrize("end", ["commit", "end"])
async def test_the_end_of_a_session_wipes_its_state_and_inbox(
    party: PartyStore, raw: RawDatabase, end: str
) -> None:
    await party.commit(party_change(received=(received(),), outgoing=(outgoing(),)))
    await party.commit(party_change("other", received=(received(),)))

    if end == "commit":
        last = party_change(
            expected_version=1,
            cause="last",
            status="completed",
            received=(received("round-2"),),
        )
        await party.commit(last)
    else:
        assert await party.end(session_id(), "cancelled", 5)

    session = await party.session(session_id())
    assert session is not None
    assert session.version == 2
    assert session.state == b""
    assert session.received == ()
    assert await raw.query("SELECT DISTINCT session_id FROM inbox") == [(session_id("other"),)]
    assert await party.outgoing(session_id(), "created") == (outgoing(),)


async def test_a_tombstone_before_its_session_keeps_it_from_beginning(party: PartyStore) -> None:
    assert await party.end(session_id(), "cancelled", 5)

    assert await party.commit(party_change()) is Outcome.LOST_RACE
    assert await party.commit(party_change(expected_version=1)) is Outcome.LOST_RACE
    session = await party.session(session_id())
    assert session is not None
    assert session.status == "cancelled"


async def test_what_is_over_is_not_ended_again(party: PartyStore) -> None:
    await party.commit(party_change(status="completed"))
    assert not await party.end(session_id(), "cancelled", 5)
    assert await party.end(session_id("other"), "cancelled", 5)
    assert not await party.end(session_id("other"), "expired", 6)

    session = await party.session(session_id())
    assert session is not None
    assert session.status == "completed"


async def test_a_tombstone_is_purged_by_its_time(party: PartyStore) -> None:
    await party.end(session_id(), "cancelled", 5)
    assert await party.purge(ended_before=5) == 0
    assert await party.purge(ended_before=6) == 1


async def test_parked_messages_come_back_in_their_order(party: PartyStore) -> None:
    first, second = parked(slot="b"), parked(slot="a", sender="party-3")
    for at, message in enumerate([first, second, parked("other")]):
        assert await party.park(message, max_count=10, max_bytes=1_000, now=at)

    assert await party.parked(session_id()) == [first, second]

    await party.unpark(session_id())
    assert await party.parked(session_id()) == []
    assert await party.parked(session_id("other")) == [parked("other")]


async def test_a_message_is_parked_once(party: PartyStore) -> None:
    for _ in range(3):
        assert await party.park(parked(), max_count=1, max_bytes=10, now=1)
    assert await party.parked(session_id()) == [parked()]


async def test_a_sender_may_park_so_many_messages_and_no_more(party: PartyStore) -> None:
    for name in "abc":
        assert await party.park(parked(name), max_count=3, max_bytes=1_000, now=1)

    assert not await party.park(parked("d"), max_count=3, max_bytes=1_000, now=1)
    assert await party.parked(session_id("d")) == []
    assert await party.park(parked("d", sender="party-3"), max_count=3, max_bytes=1_000, now=1)


async def test_a_sender_may_park_so_many_bytes_and_no_more(party: PartyStore) -> None:
    assert await party.park(parked("a"), max_count=10, max_bytes=25, now=1)
    assert await party.park(parked("b"), max_count=10, max_bytes=25, now=1)

    assert not await party.park(parked("c"), max_count=10, max_bytes=25, now=1)
    assert await party.park(parked("c", body=b"12345"), max_count=10, max_bytes=25, now=1)


async def test_the_bounds_hold_against_many_at_the_same_time(
    party: PartyStore, party_twin: PartyStore, raw: RawDatabase
) -> None:
    answers = await asyncio.gather(
        *(
            (party if place % 2 else party_twin).park(
                parked(f"session {place}"), max_count=5, max_bytes=1_000, now=1
            )
            for place in range(20)
        )
    )
    assert answers.count(True) == 5
    assert len(await raw.query("SELECT * FROM parked")) == 5


async def test_nothing_is_parked_for_a_session_that_is_there(party: PartyStore) -> None:
    await party.commit(party_change())
    await party.end(session_id("ended"), "cancelled", 1)
    for name in ["session", "ended"]:
        assert not await party.park(parked(name), **ROOM)
        assert await party.parked(session_id(name)) == []


async def test_a_message_beside_its_session_s_birth_is_refused_or_found_afterwards(
    party: PartyStore, party_twin: PartyStore
) -> None:
    """Parked after the look and before the birth, it would wait for ever."""

    async def begin(name: str) -> int:
        await party.commit(party_change(name))
        return len(await party.parked(session_id(name)))

    for attempt in range(30):
        name = f"session {attempt}"
        kept, found = await asyncio.gather(
            party_twin.park(parked(name), max_count=100, max_bytes=10_000, now=1), begin(name)
        )
        assert found == int(kept)


async def test_what_was_parked_for_nothing_is_purged(party: PartyStore) -> None:
    for at, name in enumerate("abc"):
        await party.park(parked(name), max_count=10, max_bytes=1_000, now=at)
    assert await party.purge_parked(before=2) == 2
    assert await party.parked(session_id("c")) == [parked("c")]


async def test_the_end_of_a_session_forgets_what_was_parked_for_it(party: PartyStore) -> None:
    await party.park(parked(), **ROOM)
    await party.end(session_id(), "cancelled", 1)
    assert await party.parked(session_id()) == []


async def test_the_oldest_nonces_beyond_the_limit_are_trimmed(
    party: PartyStore, raw: RawDatabase
) -> None:
    names = ["a", "b", "c", "d", "e"]
    others = (nonce("other key", key_session=session_id()), nonce("other", scheme="bip340"))
    await party.commit(party_change(nonces=(*map(nonce, names), *others)))
    for age, name in enumerate(names):
        literal = raw.literal(session_id(name))
        update = f"UPDATE nonces SET made_at = {100 - age} WHERE nonce_id = {literal}"
        await raw.query(f"{update} RETURNING 1")

    assert await party.trim_nonces(KEY, 0, "ed25519", 2) == 3
    assert await party.trim_nonces(KEY, 0, "ed25519", 2) == 0

    left = {row[0] for row in await raw.query("SELECT nonce_id FROM nonces")}
    assert left == {session_id(name) for name in ["a", "b", "other key", "other"]}


async def test_a_key_share_outlives_its_session(party: PartyStore) -> None:
    await party.commit(party_change(status="completed", key_share=key_share(), nonces=(nonce(),)))
    assert await party.purge(ended_before=FAR_FUTURE) == 1
    assert await party.key_share(KEY, 0) == key_share()


async def test_evidence_comes_back_as_it_was_kept_the_latest_first(party: PartyStore) -> None:
    older, newer = evidence(), evidence(name="another", at=8)
    for each in (older, newer):
        assert await party.keep_evidence(each, max_count=10)
    assert await party.evidence() == [newer, older]


async def test_evidence_of_one_place_is_kept_once_and_stays_the_first(party: PartyStore) -> None:
    assert await party.keep_evidence(evidence(), max_count=10)
    assert not await party.keep_evidence(evidence(second=b"a third"), max_count=10)
    assert await party.keep_evidence(evidence(slot="keygen/3"), max_count=10)
    assert await party.evidence() == [evidence(), evidence(slot="keygen/3")]


async def test_one_sender_cannot_fill_the_database_with_evidence(party: PartyStore) -> None:
    for name in "abc":
        assert await party.keep_evidence(evidence(name=name), max_count=3)
    assert not await party.keep_evidence(evidence(name="d"), max_count=3)
    assert await party.keep_evidence(evidence("party-3", name="d"), max_count=3)
    assert len(await party.evidence()) == 4


async def test_evidence_outlives_its_session_and_the_incarnation(party: PartyStore) -> None:
    await party.commit(party_change(status="failed", received=(received(),)))
    await party.keep_evidence(evidence(), max_count=10)
    assert await party.purge(ended_before=FAR_FUTURE) == 1
    await party.begin_incarnation("a test")
    assert await party.evidence() == [evidence()]


async def test_evidence_goes_when_it_is_discarded(party: PartyStore) -> None:
    kept = evidence(name="another")
    for each in (evidence(), evidence(slot="keygen/3"), kept):
        await party.keep_evidence(each, max_count=10)
    assert await party.discard_evidence(session_id()) == 2
    assert await party.discard_evidence(session_id()) == 0
    assert await party.evidence() == [kept]


def test_evidence_is_not_in_what_a_record_shows() -> None:
    assert "another" not in repr(evidence())
