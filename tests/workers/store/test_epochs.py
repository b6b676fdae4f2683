"""A key's epochs at a party: none begins twice, no share that was certified is replaced, and of a
retired one nothing is left or comes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from workers.store.interface import PartyStore, StoreUnavailableError
from workers.store.records import (
    EpochRecord,
    EpochStatus,
    EpochStep,
    KeyShareRecord,
    Outcome,
    PartyChange,
)
from workers.store.rows.halves import Halves
from workers.store.shared.party import SharedPartyStore, tombstones_beside
from workers.store.tombstones import Tombstones

from .conftest import RawDatabase, open_party, witness_of
from .examples import FAR_FUTURE, KEY, key_share, nonce, party_change, presignature, session_id

ROLE = "party"


PROOFS = {"party-1": b"one", "party-2": b"two"}
BUNDLE = '{"proves": "it"}'
TOLD = '{"deleted": "it"}'
OWNER = "svcA/alice"


def epoch_step(epoch: int, status: EpochStatus, **other: Any) -> EpochStep:
    """As of one request, unless something else is said."""
    values: dict[str, Any] = {"key_session": KEY, "owner": OWNER, "digest": bytes(32)}
    values |= {"open_until": FAR_FUTURE}
    return EpochStep(epoch=epoch, status=status, **(values | other))


def begin(epoch: int, name: str = "reshare", **other: Any) -> PartyChange:
    step = epoch_step(epoch, EpochStatus.BEGUN)
    return party_change(name, protocol="reshare", epoch=step, at=epoch, **other)


def certify(epoch: int, name: str = "reshare", **other: Any) -> PartyChange:
    """The change that stores our share."""
    values: dict[str, Any] = {
        "expected_version": 1,
        "cause": "round 4",
        "key_share": key_share(epoch=epoch, secret=f"share {epoch} of {name}".encode()),
    }
    step = epoch_step(epoch, EpochStatus.PENDING)
    return party_change(name, epoch=step, at=10 + epoch, **(values | other))


def proven(epoch: int, name: str = "reshare", **other: Any) -> EpochRecord:
    values: dict[str, Any] = {
        "key_session": KEY,
        "epoch": epoch,
        "session_id": session_id(name),
        "status": EpochStatus.CERTIFIED,
        "bundle": BUNDLE,
        "at": 20 + epoch,
        "due_at": 30 + epoch,
    }
    return EpochRecord(**(values | other))


async def statuses(store: PartyStore) -> dict[int, str]:
    return {each.epoch: each.status.value for each in await store.epochs(KEY)}


async def with_first_epoch(store: PartyStore) -> None:
    change = party_change("keygen", key_share=key_share(certificates=PROOFS, active=True))
    assert await store.commit(change) is Outcome.COMMITTED


async def switched_to(store: PartyStore, epoch: int) -> None:
    """From the first epoch."""
    await with_first_epoch(store)
    assert await store.commit(begin(epoch)) is Outcome.COMMITTED
    assert await store.commit(certify(epoch)) is Outcome.COMMITTED
    assert await store.certify_epoch(proven(epoch), PROOFS)
    assert await store.activate_epoch(KEY, epoch, 40, 48)


async def test_an_epoch_goes_its_way(party: PartyStore, party_twin: PartyStore) -> None:
    await with_first_epoch(party)
    assert await party.epochs(KEY) == []
    assert await party.commit(begin(1)) is Outcome.COMMITTED
    begun = proven(1, status=EpochStatus.BEGUN, bundle=None, at=1, due_at=None)
    assert await party_twin.epochs(KEY) == [begun]

    assert await party.commit(certify(1)) is Outcome.COMMITTED
    assert await party_twin.epochs(KEY) == [replace(begun, status=EpochStatus.PENDING, at=11)]
    pending = await party.key_share(KEY, 1)
    assert pending == key_share(epoch=1, secret=b"share 1 of reshare")

    assert await party_twin.certify_epoch(proven(1), PROOFS)
    assert await party.epochs(KEY) == [proven(1)]
    certified = await party.key_share(KEY, 1)
    assert certified == replace(pending, certificates=PROOFS, active=True)
    # The one before goes on beside it.
    before = await party.key_share(KEY, 0)
    assert before is not None
    assert before.active

    assert await party.activate_epoch(KEY, 1, 40, 48)
    assert await party.epochs(KEY) == [proven(1, status=EpochStatus.ACTIVE, at=40, due_at=48)]
    assert await party.key_share(KEY, 1) == certified
    # Nothing more begins with the one before; it is there for what was begun.
    assert await party.key_share(KEY, 0) == replace(before, active=False)

    assert await party.retire_epochs(KEY, 1, [], 50, TOLD)
    assert await party.key_share(KEY, 0) is None
    assert await party.key_share(KEY, 1) == certified
    assert await statuses(party) == {0: "retired", 1: "active"}


@pytest.mark.parametrize("later", [1, 2])
async def test_none_begins_that_is_not_above_all_that_did(party: PartyStore, later: int) -> None:
    """Whatever became of that."""
    await with_first_epoch(party)
    await party.commit(begin(2))
    failed = party_change("reshare", expected_version=1, cause="end", status="failed")
    await party.commit(failed)
    again = begin(later, "again")
    assert await party.commit(again) is Outcome.EPOCH_TAKEN
    assert await party.session(again.session_id) is None
    assert await statuses(party) == {2: "begun"}
    assert await party.commit(begin(3, "again")) is Outcome.COMMITTED
    elsewhere = epoch_step(1, EpochStatus.BEGUN, key_session=session_id("other"))
    other = party_change("other key's", epoch=elsewhere)
    assert await party.commit(other) is Outcome.COMMITTED


async def test_of_sessions_that_begin_at_once_each_epoch_has_one(
    party: PartyStore, party_twin: PartyStore
) -> None:
    await with_first_epoch(party)
    stores = [party, party_twin] * 6
    tries = [store.commit(begin(1, f"try {i}")) for i, store in enumerate(stores)]
    outcomes = await asyncio.gather(*tries)
    assert sorted(each.name for each in outcomes) == ["COMMITTED"] + ["EPOCH_TAKEN"] * 11
    assert await statuses(party) == {1: "begun"}


async def test_a_share_that_was_certified_is_never_replaced(party: PartyStore) -> None:
    """Not by another session, and not by its own."""
    await with_first_epoch(party)
    await party.commit(begin(1))
    await party.commit(certify(1))
    stored = await party.key_share(KEY, 1)
    await party.commit(party_change("another"))
    assert await party.commit(certify(1, "another")) is Outcome.EPOCH_TAKEN
    again = certify(1, expected_version=2, cause="again", key_share=key_share(epoch=1))
    assert await party.commit(again) is Outcome.EPOCH_TAKEN
    assert await party.key_share(KEY, 1) == stored
    assert await statuses(party) == {1: "pending"}


async def test_a_session_makes_no_other_epoch_than_it_began(party: PartyStore) -> None:
    await with_first_epoch(party)
    await party.commit(begin(1))
    assert await party.commit(certify(2)) is Outcome.EPOCH_TAKEN
    session = await party.session(session_id("reshare"))
    assert session is not None
    assert session.version == 1
    assert await party.key_share(KEY, 2) is None


async def test_who_does_not_receive_has_no_share_and_learns_of_the_epoch_all_the_same(
    party: PartyStore,
) -> None:
    await with_first_epoch(party)
    await party.commit(begin(1))
    assert await party.certify_epoch(proven(1), None)
    assert await party.activate_epoch(KEY, 1, 40, 48)
    assert await party.retire_epochs(KEY, 1, [], 50, TOLD)
    assert await party.key_shares() == []
    assert await statuses(party) == {0: "retired", 1: "active"}


async def test_who_was_away_learns_of_an_epoch_that_never_began_here(party: PartyStore) -> None:
    await with_first_epoch(party)
    assert await party.certify_epoch(proven(7, "elsewhere"), None)
    assert await party.epochs(KEY) == [proven(7, "elsewhere")]
    assert await party.commit(begin(7)) is Outcome.EPOCH_TAKEN


async def test_a_share_of_other_facts_than_were_proven_goes(party: PartyStore) -> None:
    await with_first_epoch(party)
    await party.commit(begin(1))
    await party.commit(certify(1))
    assert await party.certify_epoch(proven(1, "elsewhere"), None)
    assert await party.key_share(KEY, 1) is None
    assert await party.key_share(KEY, 0) is not None


async def test_an_epoch_is_proven_once(party: PartyStore, party_twin: PartyStore) -> None:
    await with_first_epoch(party)
    await party.commit(begin(1))
    await party.commit(certify(1))
    both = await asyncio.gather(
        party.certify_epoch(proven(1), PROOFS), party_twin.certify_epoch(proven(1), PROOFS)
    )
    assert sorted(both) == [False, True]
    assert await party.activate_epoch(KEY, 1, 40, 48)
    assert not await party.certify_epoch(proven(1, "another"), None)
    assert await party.epochs(KEY) == [proven(1, status=EpochStatus.ACTIVE, at=40, due_at=48)]
    assert await party.key_share(KEY, 1) is not None


async def test_only_what_was_proven_becomes_active_and_no_lower_one_after_it(
    party: PartyStore,
) -> None:
    await with_first_epoch(party)
    await party.commit(begin(1))
    await party.commit(certify(1))
    assert not await party.activate_epoch(KEY, 1, 40, 48)
    pending = await party.key_share(KEY, 1)
    assert pending is not None
    assert not pending.active
    await party.certify_epoch(proven(1), PROOFS)
    await party.certify_epoch(proven(2, "elsewhere"), None)
    assert await party.activate_epoch(KEY, 2, 41, 49)
    assert not await party.activate_epoch(KEY, 1, 42, 50)
    assert not await party.activate_epoch(KEY, 2, 43, 51)
    assert await statuses(party) == {1: "certified", 2: "active"}


async def test_nothing_is_retired_for_an_epoch_that_does_not_sign(party: PartyStore) -> None:
    await with_first_epoch(party)
    await party.commit(begin(1))
    await party.commit(certify(1))
    await party.certify_epoch(proven(1), PROOFS)
    await party.commit(party_change("signing"))
    assert not await party.retire_epochs(KEY, 1, [session_id("signing")], 50, TOLD)
    assert await party.key_share(KEY, 0) is not None
    session = await party.session(session_id("signing"))
    assert session is not None
    assert session.status == "in_progress"


async def test_nothing_is_left_of_a_retired_epoch(party: PartyStore, raw: RawDatabase) -> None:
    other_key = session_id("other key")
    await switched_to(party, 1)
    made = party_change(
        "batch",
        nonces=(nonce(), nonce("new", epoch=1), nonce("other", key_session=other_key)),
    )
    await party.commit(made)
    batches = party_change(
        "batches",
        presignatures=(
            presignature(),
            presignature(1, epoch=1),
            presignature(2, key_session=other_key),
        ),
    )
    await party.commit(batches)
    await party.commit(party_change("presigning", state=b"made with the old share"))

    assert await party.retire_epochs(KEY, 1, [session_id("presigning")], 50, TOLD)
    left = "SELECT epoch FROM {} ORDER BY epoch"
    for table, expected in (
        ("nonces", [(0,), (1,)]),  # 0: the other key's
        ("presignatures", [(0,), (1,)]),
        ("key_shares", [(1,)]),
    ):
        assert await raw.query(left.format(table)) == expected
    ended = await party.session(session_id("presigning"))
    assert ended is not None
    assert (ended.status, ended.state) == ("failed", b"")
    # Once more changes nothing.
    before = await party.epochs(KEY)
    assert await party.retire_epochs(KEY, 1, [], 60, TOLD)
    assert await party.epochs(KEY) == before


async def test_what_a_session_adds_to_a_retired_epoch_goes_as_well(
    party: PartyStore, raw: RawDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await switched_to(party, 1)
    await party.retire_epochs(KEY, 1, [], 50, TOLD)
    late = party_change("late", nonces=(nonce(), nonce("new", epoch=1)))
    later = party_change("later", presignatures=(presignature(),))
    assert await party.commit(late) is await party.commit(later) is Outcome.EPOCH_OVER
    # As if it had been sealed before.
    monkeypatch.setattr(cast("SharedPartyStore", party)._rows, "halves", Halves(None))
    assert await party.commit(late) is await party.commit(later) is Outcome.COMMITTED
    assert await party.purge_retired(since=51) == 0
    assert await party.purge_retired(since=50) == 2
    assert await raw.query("SELECT epoch FROM nonces") == [(1,)]
    assert await raw.query("SELECT epoch FROM presignatures") == []


async def test_a_retired_share_does_not_come_back(party: PartyStore) -> None:
    await switched_to(party, 1)
    (old, new) = await party.sealed_key_shares()
    assert (old.epoch, new.epoch) == (0, 1)
    await party.retire_epochs(KEY, 1, [], 50, TOLD)
    assert not await party.add_sealed_key_shares([old])
    assert await statuses(party) == {0: "retired", 1: "active"}


async def test_nor_does_one_below_what_was_proven(party: PartyStore, raw: RawDatabase) -> None:
    await switched_to(party, 1)
    (old, new) = await party.sealed_key_shares()
    await raw.query("DELETE FROM key_shares", "DELETE FROM certified_names")
    other = replace(old, key_session=session_id("other key"), key_id="other")
    assert not await party.add_sealed_key_shares([other, old])
    assert await party.key_shares() == []
    assert await party.add_sealed_key_shares([other, new])
    assert [each.epoch for each in await party.key_shares()] == [0, 1]


async def test_what_is_due_comes_in_its_order_until_it_is_done(party: PartyStore) -> None:
    await with_first_epoch(party)
    other = session_id("other key")
    for record in (proven(1), proven(2, key_session=other, due_at=25)):
        await party.certify_epoch(record, None)
    assert await party.keys_due(24, 10) == []
    assert await party.keys_due(31, 10) == [other, KEY]
    assert await party.keys_due(31, 1) == [other]
    await party.activate_epoch(KEY, 1, 40, 48)
    assert await party.keys_due(47, 10) == [other]
    assert await party.keys_due(48, 10) == [other, KEY]
    await party.retire_epochs(KEY, 1, [], 50, TOLD)
    assert await party.keys_due(10_000, 10) == [other]


async def test_a_keys_sessions_are_found_until_they_are_over(party: PartyStore) -> None:
    await party.commit(party_change("mine", key_session=KEY))
    await party.commit(party_change("over", key_session=KEY, status="failed"))
    await party.commit(party_change("other", key_session=session_id("other key")))
    await party.commit(party_change("keygen"))
    assert await party.sessions_under_way(KEY) == [session_id("mine")]


###
### A database that went back
###


async def gone_back(raw: RawDatabase, old: KeyShareRecord) -> None:
    """All that is in it is the share of before."""
    await raw.query("DELETE FROM key_shares", "DELETE FROM epochs", "DELETE FROM certified_names")
    async with open_party(raw.url) as store:
        assert await store.add_sealed_key_shares([old])


async def test_a_share_of_an_epoch_that_is_over_is_not_usable_in_an_old_database(
    party: PartyStore, raw: RawDatabase
) -> None:
    await switched_to(party, 1)
    (old, _) = await party.sealed_key_shares()
    await party.retire_epochs(KEY, 1, [], 50, TOLD)
    await gone_back(raw, old)
    async with open_party(raw.url) as store:
        share = await store.key_share(KEY, 0)
        assert share is not None
        assert not share.active
        material = await store.signing_material(session_id("any"), key_session=KEY, epoch=0)
        assert material.key_share == share
        assert [each.active for each in await store.key_shares()] == [False]


async def test_nor_is_it_added_to_an_empty_one(party: PartyStore, raw: RawDatabase) -> None:
    await switched_to(party, 1)
    (old, new) = await party.sealed_key_shares()
    await party.retire_epochs(KEY, 1, [], 50, TOLD)
    await raw.query("DELETE FROM key_shares", "DELETE FROM epochs", "DELETE FROM certified_names")
    assert await party.outdated([old, new]) == [old]


async def test_what_is_over_is_known_outside_before_anything_is_deleted(
    party: PartyStore, raw: RawDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await switched_to(party, 1)

    rise = Tombstones.rise

    def dies(kept: Tombstones, key_session: bytes, below: int) -> None:
        rise(kept, key_session, below)
        raise StoreUnavailableError("killed here")

    monkeypatch.setattr(Tombstones, "rise", dies)
    with pytest.raises(StoreUnavailableError):
        await party.retire_epochs(KEY, 1, [], 50, TOLD)
    assert await raw.query("SELECT count(*) FROM key_shares") == [(2,)]
    share = await party.key_share(KEY, 0)
    assert share is not None
    assert not share.active
    monkeypatch.undo()
    assert await party.retire_epochs(KEY, 1, [], 50, TOLD)
    assert await party.key_share(KEY, 0) is None


async def test_an_epoch_that_does_not_sign_ends_none_outside_either(party: PartyStore) -> None:
    await with_first_epoch(party)
    await party.certify_epoch(proven(1), None)
    assert not await party.retire_epochs(KEY, 1, [], 50, TOLD)
    share = await party.key_share(KEY, 0)
    assert share is not None
    assert share.active


async def test_without_the_file_no_share_is_used(party: PartyStore, url: str) -> None:
    await switched_to(party, 1)
    await party.retire_epochs(KEY, 1, [], 50, TOLD)
    path = tombstones_beside(witness_of(url))
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnavailableError, match="is damaged"):
        await party.key_share(KEY, 1)
    with pytest.raises(StoreUnavailableError, match="is damaged"):
        await party.retire_epochs(KEY, 1, [], 60, TOLD)
    path.unlink()
    assert await party.key_share(KEY, 1) is not None


async def test_a_restored_share_is_suspended_until_it_is_resumed(
    party: PartyStore, party_twin: PartyStore
) -> None:
    await with_first_epoch(party)
    await party.commit(begin(1))
    await party.commit(certify(1))
    assert await party.certify_epoch(proven(1), PROOFS)
    kept = await party.sealed_key_shares()
    other = session_id("other")
    pending = replace(kept[0], key_session=other, key_id="pending", active=False)
    assert not await party.add_sealed_key_shares(kept, suspended_at=70)  # they are there

    shares = [
        replace(kept[0], key_session=session_id("first"), key_id="first"),
        replace(kept[1], key_session=session_id("second"), key_id="second"),
        pending,
    ]
    assert await party.add_sealed_key_shares(shares, suspended_at=70)
    usable = {each.key_id: each.active for each in await party_twin.key_shares()}
    assert (usable["first"], usable["second"], usable["pending"]) == (False, False, False)
    assert await party.epochs(other) == []
    numbers = set()
    for share in shares[:2]:
        (record,) = await party.epochs(share.key_session)
        assert (record.epoch, record.status) == (share.epoch, EpochStatus.SUSPENDED)
        assert (record.at, record.due_at, record.bundle) == (70, 70, None)
        assert len(record.session_id) == 32
        numbers.add(record.session_id)
    assert len(numbers) == 2
    due = await party.keys_due(70, 10)
    assert {session_id("first"), session_id("second")} <= {*due}

    await party.put_off_epoch(session_id("first"), 0, 95)
    (record,) = await party.epochs(session_id("first"))
    assert record.due_at == 95
    for share in shares[:2]:
        name = share.key_session, share.epoch
        assert not await party.resume_epoch(share.key_session, share.epoch + 1, 80)
        assert await party.resume_epoch(*name, 80)
        assert not await party_twin.resume_epoch(*name, 81)
        (record,) = await party.epochs(share.key_session)
        # Of what is below it, this database may know more than the backup did.
        assert (record.status, record.due_at) == (EpochStatus.ACTIVE, 80 if share.epoch else None)
    usable = {each.key_id: each.active for each in await party.key_shares()}
    assert (usable["first"], usable["second"], usable["pending"]) == (True, True, False)


async def test_a_suspended_share_goes_when_a_later_epoch_is_alone(party: PartyStore) -> None:
    await with_first_epoch(party)
    (kept,) = await party.sealed_key_shares()
    share = replace(kept, key_session=session_id("key"), key_id="restored")
    assert await party.add_sealed_key_shares([share], suspended_at=70)
    later = proven(3, key_session=share.key_session)
    assert await party.certify_epoch(later, None)
    assert await party.activate_epoch(share.key_session, 3, 80, 90)
    assert not await party.resume_epoch(share.key_session, 3, 80)
    assert await party.retire_epochs(share.key_session, 3, [], 90, "{}")
    assert await party.key_share(share.key_session, 0) is None
    assert not await party.resume_epoch(share.key_session, 0, 91)
