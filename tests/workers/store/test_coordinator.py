"""What the coordinator's store promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import Admission, Event, Outcome, PartySeen

from .conftest import RawDatabase
from .examples import (
    FAR_FUTURE,
    KEY,
    claim,
    commitment,
    coordinator_change,
    key,
    outgoing,
    received,
    request,
    session_id,
)

ROLE = "coordinator"
NAME = ("svcA", "treasury")
FINAL = ["completed", "failed", "expired", "cancelled"]


async def test_a_request_comes_back_by_its_id_and_by_its_session(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.commit(coordinator_change(request=request()))

    assert await coordinator.request("svcA", "request") == request()
    assert await coordinator.request_of(session_id()) == request()
    assert await coordinator.request("svcB", "request") is None
    assert await coordinator.request_of(session_id("other")) is None


async def test_the_result_of_a_session_is_its_request_s_and_is_sent_last(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.commit(coordinator_change(request=request(), outgoing=(outgoing("first"),)))
    change = coordinator_change(
        expected_version=1,
        cause="last",
        status="completed",
        outgoing=(outgoing("a"), outgoing("b")),
        result=outgoing("result"),
    )
    assert await coordinator.commit(change) is Outcome.COMMITTED

    answered = request(result=outgoing("result"))
    assert await coordinator.request("svcA", "request") == answered
    assert await coordinator.request_of(session_id()) == answered
    assert (await coordinator.admit("svcA", "request", request().digest)).request == answered
    sent = await coordinator.outgoing(session_id(), "last")
    assert sent == (outgoing("a"), outgoing("b"), outgoing("result"))


async def test_a_session_may_begin_and_end_in_one_change(coordinator: CoordinatorStore) -> None:
    change = coordinator_change(request=request(), status="failed", result=outgoing("result"))
    assert await coordinator.commit(change) is Outcome.COMMITTED
    assert await coordinator.request("svcA", "request") == request(result=outgoing("result"))


async def test_a_request_id_is_taken_once_for_each_owner(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(coordinator_change(request=request()))
    before = await raw.everything()

    again = coordinator_change(
        "again",
        request=request(session_id=session_id("again")),
        received=(received(),),
        outgoing=(outgoing(),),
        events=(Event(event="session_created"),),
        commitments=(commitment(),),
        reserve_key=NAME,
    )
    assert await coordinator.commit(again) is Outcome.DUPLICATE_REQUEST
    assert await raw.everything() == before

    theirs = request(owner="svcB", session_id=session_id("again"))
    assert await coordinator.commit(replace(again, request=theirs)) is Outcome.COMMITTED


async def test_of_many_requests_of_one_id_exactly_one_is_taken(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    outcomes = await asyncio.gather(
        *(
            (coordinator if racer % 2 else coordinator_twin).commit(
                coordinator_change(
                    f"session {racer}", request=request(session_id=session_id(f"session {racer}"))
                )
            )
            for racer in range(10)
        )
    )
    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.DUPLICATE_REQUEST) == 9


async def test_a_key_comes_back_as_it_was_stored(coordinator: CoordinatorStore) -> None:
    other = key(key_id="another", key_session=session_id("another"), certified='{"facts": 1}')
    for name, made in [("1", key()), ("2", other), ("3", key(owner=""))]:
        await coordinator.commit(coordinator_change(name, status="completed", key=made))

    assert await coordinator.key(*NAME) == key()
    assert await coordinator.key("svcB", "treasury") is None
    assert await coordinator.keys("svcA") == [other, key()]
    assert await coordinator.keys("svcA", limit=1) == [other]
    assert await coordinator.keys("svcA", after="another", limit=1) == [key()]
    assert await coordinator.keys("svcA", after="treasury") == []
    assert await coordinator.keys("") == [key(owner="")]
    assert await coordinator.keys("svcB") == []


async def test_a_new_epoch_replaces_its_key_and_another_key_does_not(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(coordinator_change("1", status="completed", key=key()))
    refreshed = key(epoch=1, certified="{ }")
    change = coordinator_change("2", status="completed", key=refreshed)
    assert await coordinator.commit(change) is Outcome.COMMITTED
    before = await raw.everything()

    usurper = key(epoch=2, key_session=session_id("usurper"))
    change = coordinator_change("3", status="completed", key=usurper, outgoing=(outgoing(),))
    assert await coordinator.commit(change) is Outcome.KEY_EXISTS

    assert await raw.everything() == before
    assert await coordinator.key(*NAME) == refreshed


@pytest.mark.parametrize("taken_by", ["a key", "an unfinished session"])
async def test_a_key_s_name_that_is_taken_is_not_given_again(
    coordinator: CoordinatorStore, raw: RawDatabase, taken_by: str
) -> None:
    await coordinator.commit(coordinator_change("first", reserve_key=NAME))
    if taken_by == "a key":
        made = coordinator_change(
            "first", expected_version=1, cause="2", status="completed", key=key()
        )
        assert await coordinator.commit(made) is Outcome.COMMITTED
    before = await raw.everything()

    second = coordinator_change(
        "second",
        reserve_key=NAME,
        request=request(session_id=session_id("second")),
        outgoing=(outgoing(),),
        events=(Event(event="session_created"),),
    )
    assert await coordinator.commit(second) is Outcome.KEY_EXISTS
    assert await raw.everything() == before

    theirs = replace(second, reserve_key=("svcB", "treasury"))
    assert await coordinator.commit(theirs) is Outcome.COMMITTED


@pytest.mark.parametrize("status", FINAL)
async def test_a_session_that_ends_without_a_key_frees_its_name(
    coordinator: CoordinatorStore, status: str
) -> None:
    await coordinator.commit(coordinator_change("first", reserve_key=NAME))
    ended = coordinator_change("first", expected_version=1, cause="2", status=status)
    await coordinator.commit(ended)

    second = coordinator_change("second", reserve_key=NAME)
    assert await coordinator.commit(second) is Outcome.COMMITTED


async def test_a_name_stays_reserved_while_its_session_moves_on(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.commit(coordinator_change("first", reserve_key=NAME))
    await coordinator.commit(coordinator_change("first", expected_version=1, cause="2"))
    second = coordinator_change("second", reserve_key=NAME)
    assert await coordinator.commit(second) is Outcome.KEY_EXISTS


async def test_of_many_sessions_for_one_name_exactly_one_begins(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    outcomes = await asyncio.gather(
        *(
            (coordinator if racer % 2 else coordinator_twin).commit(
                coordinator_change(f"session {racer}", reserve_key=NAME)
            )
            for racer in range(10)
        )
    )
    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.KEY_EXISTS) == 9


async def test_no_name_is_given_again_in_the_moment_in_which_its_key_appears(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    for attempt in range(15):
        first, second = f"first {attempt}", f"second {attempt}"
        name = ("svcA", f"key-{attempt}")
        made = key(key_id=name[1], key_session=session_id(first))
        await coordinator.commit(coordinator_change(first, reserve_key=name))
        finished, refused = await asyncio.gather(
            coordinator.commit(
                coordinator_change(
                    first, expected_version=1, cause="2", status="completed", key=made
                )
            ),
            coordinator_twin.commit(coordinator_change(second, reserve_key=name)),
        )
        assert (finished, refused) == (Outcome.COMMITTED, Outcome.KEY_EXISTS)


async def test_events_are_numbered_in_their_session_and_stay_in_order(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.commit(
        coordinator_change(events=(Event(event="created"), Event(event="sent", details='{"n":3}')))
    )
    await coordinator.commit(coordinator_change("other", events=(Event(event="created"),)))
    joined = Event(event="joined", party_id="party-1")
    await coordinator.commit(coordinator_change(expected_version=1, cause="2", events=(joined,)))

    events = await coordinator.events(session_id())
    assert [(event.sequence, event.event, event.party_id, event.details) for event in events] == [
        (1, "created", None, "{}"),
        (2, "sent", None, '{"n":3}'),
        (3, "joined", "party-1", "{}"),
    ]
    assert 0 < events[0].at <= events[2].at
    assert [event.sequence for event in await coordinator.events(session_id("other"))] == [1]
    assert await coordinator.events(session_id("none")) == []


async def test_a_claim_takes_one_commitment_of_each_party_that_has_one(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    stored = (
        commitment("a"),
        commitment("b"),
        commitment("c", party_id="party-2"),
        commitment("other epoch", epoch=1, party_id="party-3"),
        commitment("other scheme", scheme="bip340", party_id="party-3"),
        commitment("other key", key_session=session_id("other"), party_id="party-3"),
    )
    await coordinator.commit(coordinator_change(commitments=stored))
    parties = ["party-1", "party-2", "party-3", "party-1"]

    first = await claim(coordinator, parties)
    second = await claim(coordinator, parties)
    third = await claim(coordinator, parties)

    assert first.keys() == {"party-1", "party-2"}
    assert first["party-2"] == stored[2]
    assert second.keys() == {"party-1"}
    assert {first["party-1"], second["party-1"]} == {stored[0], stored[1]}
    assert third == {}
    assert len(await raw.query("SELECT * FROM commitments")) == 3


async def test_a_claim_takes_the_newest_commitment(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(coordinator_change(commitments=tuple(map(commitment, "abc"))))
    await raw.query(
        "UPDATE commitments SET made_at = made_at + 1000"
        f" WHERE nonce_id = {raw.literal(session_id('b'))} RETURNING 1"
    )
    claimed = await claim(coordinator, ["party-1"])
    assert claimed == {"party-1": commitment("b")}


async def test_each_commitment_goes_to_one_of_many_claimers(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    parties = ["party-1", "party-2"]
    stored = {
        commitment(f"{party} {number}", party_id=party) for party in parties for number in range(12)
    }
    await coordinator.commit(coordinator_change(commitments=tuple(stored)))

    async def claim_until_there_is_none(store: CoordinatorStore) -> list[object]:
        mine: list[object] = []
        while claimed := await claim(store, parties):
            mine += claimed.values()
        return mine

    claims = await asyncio.gather(
        *(
            claim_until_there_is_none(coordinator if racer % 2 else coordinator_twin)
            for racer in range(10)
        )
    )

    taken = [claimed for mine in claims for claimed in mine]
    assert len(taken) == len(stored)
    assert set(taken) == stored


async def test_one_commitment_is_stored_once(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(coordinator_change(commitments=(commitment("a"),)))
    again = coordinator_change(
        expected_version=1, cause="2", commitments=(commitment("a"), commitment("b"))
    )
    assert await coordinator.commit(again) is Outcome.COMMITTED
    assert len(await raw.query("SELECT * FROM commitments")) == 2


async def test_a_new_request_is_admitted_with_its_commitments(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.commit(
        coordinator_change(commitments=(commitment("a"), commitment("b", party_id="party-2")))
    )

    admission = await coordinator.admit(
        "svcA",
        "new",
        request().digest,
        key_session=KEY,
        epoch=0,
        scheme="ed25519",
        parties=["party-1", "party-2", "party-3"],
    )

    assert admission == Admission(
        request=None,
        claimed={"party-1": commitment("a"), "party-2": commitment("b", party_id="party-2")},
    )
    assert await claim(coordinator, ["party-1", "party-2"]) == {}


async def test_only_the_commitments_of_that_party_key_and_scheme_are_forgotten(
    coordinator: CoordinatorStore,
) -> None:
    others = (
        commitment("other party", party_id="party-2"),
        commitment("other scheme", scheme="bip340"),
        commitment("other epoch", epoch=1),
        commitment("other key", key_session=session_id("other")),
    )
    await coordinator.commit(
        coordinator_change(commitments=(commitment("a"), commitment("b"), *others))
    )
    assert await coordinator.forget_commitments(KEY, 0, "ed25519", "party-1") == 2
    assert await coordinator.forget_commitments(KEY, 0, "ed25519", "party-1") == 0
    assert await claim(coordinator, ["party-1", "party-2"]) == {"party-2": others[0]}


async def test_a_known_request_claims_nothing(coordinator: CoordinatorStore) -> None:
    await coordinator.commit(coordinator_change(request=request(), commitments=(commitment(),)))

    admission = await coordinator.admit(
        "svcA", "request", request().digest, key_session=KEY, scheme="ed25519", parties=["party-1"]
    )

    assert admission == Admission(request=request(), claimed={})
    claimed = await claim(coordinator, ["party-1"])
    assert claimed == {"party-1": commitment()}


async def test_an_admission_that_needs_no_commitments_gets_none(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.commit(coordinator_change(commitments=(commitment(),)))
    assert await coordinator.admit("svcA", "new", request().digest) == Admission(
        request=None, claimed={}
    )


async def test_a_party_was_last_seen_at_its_latest_sign_of_life(
    coordinator: CoordinatorStore,
) -> None:
    for party_id, at in [("party-2", 5), ("party-1", 7), ("party-2", 9), ("party-1", 6)]:
        await coordinator.seen(party_id, at)
    assert await coordinator.parties() == [
        PartySeen(party_id="party-1", last_seen=7),
        PartySeen(party_id="party-2", last_seen=9),
    ]


async def test_purge_forgets_a_session_s_request_and_events_and_keeps_its_key(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(
        coordinator_change(
            status="completed",
            request=request(),
            events=(Event(event="created"),),
            received=(received(),),
            key=key(),
            reserve_key=NAME,
            result=outgoing("result"),
        )
    )

    assert await coordinator.purge(ended_before=FAR_FUTURE) == 1

    assert {table for table, _ in await raw.everything()} == {
        "keys",
        "warren_coordinator_version",
    }
    assert await coordinator.key(*NAME) == key()


async def test_of_sessions_those_that_are_over_or_unknown_are_told(
    coordinator: CoordinatorStore,
) -> None:
    for name in ("goes on", "ends"):
        await coordinator.commit(
            coordinator_change(name, request=request(name, session_id=session_id(name)))
        )
    await coordinator.commit(
        coordinator_change("ends", expected_version=1, cause="end", status="completed")
    )
    asked = [session_id(name) for name in ("goes on", "ends", "never was")]
    assert {*await coordinator.finished(asked)} == {*asked[1:]}
    assert await coordinator.finished([]) == []
