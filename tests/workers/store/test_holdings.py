"""What `warren party shares` tells of a key on its way through its epochs."""

from __future__ import annotations

from typing import Any

import pytest

from workers import holdings
from workers.holdings import usable_in_words
from workers.store.interface import PartyStore, WitnessError
from workers.store.opening import open_party_store
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones

from .conftest import RawDatabase, sealer_of, witness_of
from .examples import KEY, key_share, party_change
from .test_epochs import PROOFS, begin, certify, gone_back, proven, switched_to, with_first_epoch

ROLE = "party"
USABLE, LEFT = "yes", "no, a later epoch signs; to be deleted"
INCOMPLETE, ABSENT = "no, certificates are missing", "no, this party has no share of it"


def beside(raw: RawDatabase) -> Tombstones:
    return Tombstones(tombstones_beside(witness_of(raw.url)))


def as_a_command_opens(raw: RawDatabase) -> PartyStore:
    """Without a witness: where there is none, one would be made, and what was made ahead lost."""
    return open_party_store(raw.url, party_id="party-1", sealer=sealer_of(raw.url))


async def rows(store: PartyStore, raw: RawDatabase) -> list[dict[str, Any]]:
    return await holdings.told(store, beside(raw))


async def told(store: PartyStore, raw: RawDatabase) -> list[tuple[int, str, str]]:
    found = await rows(store, raw)
    return [(row["epoch"], row["status"], usable_in_words(row)) for row in found]


async def test_each_step_of_an_epoch_is_told(party: PartyStore, raw: RawDatabase) -> None:
    await party.commit(party_change("keygen", key_share=key_share()))
    assert await told(party, raw) == [(0, "pending", INCOMPLETE)]
    await party.commit(
        party_change(
            "keygen",
            expected_version=1,
            cause="certificates",
            key_share=key_share(certificates=PROOFS, active=True),
        )
    )
    assert await told(party, raw) == [(0, "active", USABLE)]
    # What was begun and came to nothing is no epoch to tell of.
    await party.commit(begin(1))
    assert await told(party, raw) == [(0, "active", USABLE)]
    await party.commit(certify(1))
    assert await told(party, raw) == [(0, "active", USABLE), (1, "pending", INCOMPLETE)]
    await party.certify_epoch(proven(1), PROOFS)
    assert await told(party, raw) == [(0, "active", USABLE), (1, "certified", USABLE)]
    await party.activate_epoch(KEY, 1, 40, 48)
    assert await told(party, raw) == [(0, "leaving", LEFT), (1, "active", USABLE)]
    await party.retire_epochs(KEY, 1, [], 50, "{}")
    assert await told(party, raw) == [(0, "retired", "no, deleted"), (1, "active", USABLE)]


async def test_of_an_epoch_that_is_over_programs_are_told_that_it_is(
    party: PartyStore, raw: RawDatabase
) -> None:
    await switched_to(party, 1)
    await party.retire_epochs(KEY, 1, [], 50_000, "{}")
    before, now = await rows(party, raw)
    assert (before["over"], before["usable"], before["kept"]) == (True, False, False)
    assert before["since"] == "1970-01-01T00:00:50+00:00"
    assert (now["over"], now["usable"], now["kept"]) == (False, True, True)
    assert "secret" not in str((before, now))


async def test_who_was_shown_out_has_no_share_of_the_new_epoch(
    party: PartyStore, raw: RawDatabase
) -> None:
    await with_first_epoch(party)
    await party.certify_epoch(proven(1), None)
    assert await told(party, raw) == [(0, "active", USABLE), (1, "certified", ABSENT)]
    await party.activate_epoch(KEY, 1, 40, 48)
    assert await told(party, raw) == [(0, "leaving", LEFT), (1, "active", ABSENT)]
    await party.retire_epochs(KEY, 1, [], 50, "{}")
    assert await told(party, raw) == []


async def test_a_share_that_came_back_with_an_old_database_is_marked(
    party: PartyStore, raw: RawDatabase
) -> None:
    await switched_to(party, 1)
    (old, _) = await party.sealed_key_shares()
    await party.retire_epochs(KEY, 1, [], 50, "{}")
    await gone_back(raw, old)
    async with as_a_command_opens(raw) as store:
        (row,) = await rows(store, raw)
    assert (row["status"], row["kept"], row["over"], row["usable"]) == (
        "retired",
        True,
        True,
        False,
    )
    assert usable_in_words(row) == "no, and it should be gone: this database is one of before"


async def test_damaged_tombstones_are_not_taken_for_none(
    party: PartyStore, raw: RawDatabase
) -> None:
    await with_first_epoch(party)
    tombstones_beside(witness_of(raw.url)).write_bytes(b"not a database at all" * 100)
    async with as_a_command_opens(raw) as store:
        with pytest.raises(WitnessError, match="is damaged"):
            await rows(store, raw)
