"""What a party says of a key's earlier epochs: kept with their deletion, due until it is told."""

from __future__ import annotations

import pytest

from workers.store.interface import PartyStore
from workers.store.records import Outcome

from .conftest import RawDatabase
from .examples import KEY, key_share, party_change, session_id
from .test_epochs import PROOFS, begin, certify, proven, switched_to, with_first_epoch

ROLE = "party"
OTHER = session_id("another key")
SAID = '{"below": 1}'


async def moved_on(store: PartyStore) -> None:
    """To another epoch."""
    assert await store.commit(begin(2, "second")) is Outcome.COMMITTED
    assert await store.commit(certify(2, "second")) is Outcome.COMMITTED
    assert await store.certify_epoch(proven(2, "second"), PROOFS)
    assert await store.activate_epoch(KEY, 2, 60, 68)


async def test_what_is_said_is_due_until_it_is_told(party: PartyStore) -> None:
    await switched_to(party, 1)
    assert await party.retirement(KEY) is None
    assert await party.retire_epochs(KEY, 1, [], 50, SAID)
    assert await party.retirement(KEY) == SAID
    assert await party.retirements_due(49, 10) == []
    assert await party.retirements_due(50, 10) == [KEY]
    await party.retirement_told(KEY, 2)
    assert await party.retirements_due(50, 10) == [KEY], "another word was told"
    await party.retirement_told(KEY, 1)
    assert await party.retirements_due(50, 10) == []
    assert await party.retirement(KEY) == SAID


async def test_the_first_word_on_an_epoch_stays_and_a_later_one_takes_its_place(
    party: PartyStore,
) -> None:
    await switched_to(party, 1)
    assert await party.retire_epochs(KEY, 1, [], 50, SAID)
    await party.retirement_told(KEY, 1)
    assert await party.retire_epochs(KEY, 1, [], 60, '{"again": 1}')
    assert await party.retirement(KEY) == SAID
    assert await party.retirements_due(60, 10) == []
    await moved_on(party)
    assert await party.retire_epochs(KEY, 2, [], 70, '{"below": 2}')
    assert await party.retirement(KEY) == '{"below": 2}'
    assert await party.retirements_due(70, 10) == [KEY]


async def test_nothing_is_said_where_nothing_is_deleted(party: PartyStore) -> None:
    await switched_to(party, 1)
    assert not await party.retire_epochs(KEY, 2, [], 50, "said too early")
    assert await party.retirement(KEY) is None


async def test_neither_the_deletion_nor_the_word_is_there_without_the_other(
    party: PartyStore, raw: RawDatabase
) -> None:
    await switched_to(party, 1)
    await raw.query("ALTER TABLE retirements RENAME TO gone")
    with pytest.raises(Exception, match="retirements"):
        await party.retire_epochs(KEY, 1, [], 50, SAID)
    assert [each.epoch for each in await party.key_shares()] == [0, 1]
    await raw.query("ALTER TABLE gone RENAME TO retirements")
    assert await party.retirement(KEY) is None
    assert await party.retire_epochs(KEY, 1, [], 50, SAID)
    assert [each.epoch for each in await party.key_shares()] == [1]


async def test_which_shares_are_in_a_backup_is_known_when_they_are_gone(
    party: PartyStore,
) -> None:
    assert await party.backed_up_at(KEY, 1) is None
    await party.note_backup(10)
    await switched_to(party, 1)
    assert await party.backed_up_at(KEY, 1) is None, "it had no share yet"
    other = key_share(key_session=OTHER, key_id="other", epoch=0)
    await party.commit(party_change("other", key_share=other))
    await party.note_backup(20)
    # Of each key the latest share is in it: of this one that of epoch 1.
    assert await party.backed_up_at(KEY, 1) is None
    assert await party.backed_up_at(KEY, 2) == 20
    assert await party.backed_up_at(OTHER, 1) == 20
    await party.note_backup(30)
    await moved_on(party)
    await party.retire_epochs(KEY, 2, [], 50, "said")
    assert await party.backed_up_at(KEY, 2) == 30


###
### What a share of before waits for
###


async def test_a_share_stands_in_a_backup_once_that_is_written(party: PartyStore) -> None:
    """`note_backup` is said before, and proves nothing."""
    await with_first_epoch(party)
    await party.note_backup(10)
    assert not await party.is_backed_up(KEY, 0)
    await party.backup_kept([(KEY, 0)], 20, unless_due_by=30)
    assert await party.is_backed_up(KEY, 0)
    assert not await party.is_backed_up(KEY, 1)
    assert not await party.is_backed_up(OTHER, 0)
    await party.backup_kept([(KEY, 0), (OTHER, 3)], 40, unless_due_by=50)
    assert await party.is_backed_up(OTHER, 3)


async def test_a_backup_makes_due_what_waits_for_it_and_nothing_else(party: PartyStore) -> None:
    await with_first_epoch(party)
    assert await party.commit(begin(1)) is Outcome.COMMITTED
    assert await party.commit(certify(1)) is Outcome.COMMITTED
    assert await party.certify_epoch(proven(1), PROOFS)
    assert await party.activate_epoch(KEY, 1, 100, 110)

    async def due() -> int | None:
        return (await party.epochs(KEY))[-1].due_at

    await party.backup_kept([(KEY, 1)], 105, unless_due_by=115)
    assert await due() == 110, "its sessions have their seconds to end"
    await party.put_off_epoch(KEY, 1, 5_000)
    await party.backup_kept([(KEY, 0), (OTHER, 1)], 200, unless_due_by=210)
    assert await due() == 5_000
    await party.backup_kept([(KEY, 1)], 200, unless_due_by=210)
    assert await due() == 200
    assert await party.kept_epochs(KEY) == [0, 1]
    assert await party.kept_epochs(OTHER) == []
