"""Of epochs that were never made no file stays."""

from __future__ import annotations

from typing import Any

import pytest

from workers.store.interface import PartyStore
from workers.store.records import (
    CancellationRecord,
    Outcome,
    PartyChange,
    PromiseRecord,
    WordRecord,
)

from .conftest import RawDatabase, share_keys_of
from .examples import FAR_FUTURE, KEY, key_share, party_change, session_id
from .test_epochs import OWNER, begin, certify, proven, switched_to, with_first_epoch

ROLE = "party"
OTHER = session_id("another key")


def receiving(epoch: int, name: str = "reshare", **other: Any) -> PartyChange:
    """The beginning of a reshare in which we do not deal."""
    return begin(epoch, name, key_session=KEY, erased_with=epoch, **other)


def files(url: str) -> set[tuple[bytes, int]]:
    found = (path.name.partition("-") for path in share_keys_of(url).folder.rglob("*-*"))
    return {(bytes.fromhex(key), int(epoch)) for key, _, epoch in found}


def keygen(key: bytes, **other: Any) -> PartyChange:
    values = {"session_id": key, "protocol": "keygen", "erased_with": 0, **other}
    return party_change(**values)


@pytest.mark.parametrize("end", ["failed", "expired", "cancelled"])
async def test_a_key_that_was_not_made_leaves_none(party: PartyStore, url: str, end: str) -> None:
    await party.commit(keygen(KEY))
    await party.commit(keygen(OTHER))
    (path,) = share_keys_of(url).folder.rglob(f"{KEY.hex()}-0")
    if end == "cancelled":
        assert await party.end(KEY, end, 7)
    else:
        await party.commit(keygen(KEY, expected_version=1, cause="end", status=end, state=b""))
    await party.purge(ended_before=0)
    assert files(url) == {(KEY, 0), (OTHER, 0)}  # not yet
    watched = path.open("rb")
    while await party.purge(ended_before=FAR_FUTURE):
        pass
    assert files(url) == {(OTHER, 0)}  # under way
    assert watched.read().startswith(b"erased")
    watched.close()


async def test_what_there_is_a_share_of_keeps_its_own(party: PartyStore, url: str) -> None:
    """Whatever became of the session: the others may have proven it."""
    await party.commit(keygen(KEY))
    saved = {"expected_version": 1, "cause": "round 3", "state": b"more"}
    await party.commit(keygen(KEY, key_share=key_share(), **saved))
    await party.commit(keygen(KEY, expected_version=2, cause="e", status="failed", state=b""))
    await party.commit(receiving(1))
    await party.commit(certify(1, protocol="reshare", key_session=KEY, erased_with=1))
    await party.end(session_id("reshare"), "failed", 7)
    while await party.purge(ended_before=FAR_FUTURE):
        pass
    assert files(url) == {(KEY, 0), (KEY, 1)}
    assert await party.key_share(KEY, 0) == key_share()


async def test_an_epoch_that_was_not_made_leaves_none(party: PartyStore, url: str) -> None:
    await with_first_epoch(party)
    await party.commit(receiving(1))
    await party.commit(receiving(2, "again"))
    assert files(url) == {(KEY, 0), (KEY, 1), (KEY, 2)}
    await party.end(session_id("reshare"), "failed", 7)
    while await party.purge(ended_before=FAR_FUTURE):
        pass
    assert files(url) == {(KEY, 0), (KEY, 2)}
    again = await party.session(session_id("again"))
    assert again is not None
    assert again.state == b"the state"


async def test_a_dealers_failure_costs_no_share(party: PartyStore, url: str) -> None:
    await with_first_epoch(party)
    await party.commit(begin(1, key_session=KEY, erased_with=0))
    await party.end(session_id("reshare"), "failed", 7)
    while await party.purge(ended_before=FAR_FUTURE):
        pass
    share = await party.key_share(KEY, 0)
    assert share is not None
    assert share.secret == key_share().secret


async def test_what_is_over_stays_so(party: PartyStore, url: str) -> None:
    """Its file tells it."""
    await switched_to(party, 1)
    await party.commit(receiving(2, "again"))
    assert await party.certify_epoch(proven(3, "third"), None)
    assert await party.activate_epoch(KEY, 3, 40, 48)
    assert await party.retire_epochs(KEY, 3, [session_id("again")], 50, "{}")
    while await party.purge(ended_before=FAR_FUTURE):
        pass
    assert files(url) == {(KEY, 0), (KEY, 1), (KEY, 2)}
    assert all(share_keys_of(url).erased(KEY, epoch) for epoch in range(3))


async def test_an_epoch_that_did_not_begin_leaves_none(
    party: PartyStore, party_twin: PartyStore, url: str
) -> None:
    await with_first_epoch(party)
    await party.commit(receiving(1))
    # Somebody else's by now, whose file it is.
    assert await party_twin.commit(receiving(1, "other")) is Outcome.EPOCH_TAKEN
    assert await party_twin.commit(receiving(1)) is Outcome.LOST_RACE
    assert files(url) == {(KEY, 0), (KEY, 1)}
    there = await party.session(session_id("reshare"))
    assert there is not None
    assert there.state == b"the state"

    incarnation = await party.incarnation()
    assert incarnation is not None
    promised = CancellationRecord(
        owner=OWNER,
        request_id="cancelled",
        issued_until=1,
        forbidden_until=FAR_FUTURE,
        statement="{}",
        limit=10,
        incarnation=incarnation.incarnation,
        promise=PromiseRecord(key_session=KEY, epochs=(WordRecord(1, session_id("reshare")),)),
    )
    cancel = party_change("cancel", status="completed", state=b"", forbids=promised)
    assert await party.commit(cancel) is Outcome.COMMITTED
    assert await party.commit(receiving(2, "third")) is Outcome.PROMISED
    refused = party_change("third", protocol="reshare", status="failed", state=b"")
    assert await party.commit(refused) is Outcome.COMMITTED
    assert await party.commit(receiving(2, "third")) is Outcome.LOST_RACE
    assert files(url) == {(KEY, 0), (KEY, 1)}


async def test_a_database_that_knows_of_no_such_session_costs_no_file(
    party: PartyStore, raw: RawDatabase
) -> None:
    """It may be another one, put there by mistake."""
    keys = share_keys_of(raw.url)
    keys.make(OTHER, 0)
    keys.make(KEY, 5)
    await party.commit(party_change("other", protocol="sign", status="failed", state=b""))
    while await party.purge(ended_before=FAR_FUTURE):
        pass
    assert files(raw.url) == {(OTHER, 0), (KEY, 5)}
