"""Whom a party knows without a broker: by what its processes have stored of the lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from contracts.identity import Identity
from contracts.numbered_lists import ListOperator
from contracts.party_list import Action, PartyKey, PartyList
from contracts.peers import Role
from tests.workers.delivery.test_lists import OPERATOR, Store
from tests.workers.examples_of_settings import party_file
from workers.following import stored_of_party, stored_parties
from workers.settings import PartySettings
from workers.store.interface import PartyStore
from workers.store.records import ListEntryRecord

NEW = Identity.generate().public


def settings(folder: Path, *, operators: bool = True) -> PartySettings:
    pinned = (ListOperator(OPERATOR.public),) if operators else ()
    return replace(PartySettings.load(party_file(folder)), list_operators=pinned)


def store_with_a_fourth(*, forged: bool = False) -> PartyStore:
    listed, store = PartyList([ListOperator(OPERATOR.public)]), Store()
    signed = listed.signed(
        OPERATOR,
        issued_at=1,
        action=Action.PUT,
        party_id="party-4",
        index=4,
        role=Role.PERSISTENT,
        keys=(PartyKey(public_key=NEW.der),),
    )
    record = ListEntryRecord(
        list_name="parties",
        number=1,
        digest=signed.digest,
        body=signed.body,
        signature=b"" if forged else signed.signature,
    )
    store.kept.append(record)
    return cast("PartyStore", store)


async def test_what_is_stored_of_the_list_of_parties_counts(tmp_path: Path) -> None:
    own = settings(tmp_path)
    parties = await stored_parties(own, store_with_a_fourth())
    assert set(parties) == {"party-1", "party-4", "party-9"}
    assert parties["party-4"].current == (NEW,)
    known = await stored_of_party(own, store_with_a_fourth())
    assert known.parties == parties


async def test_without_operators_the_configuration_is_all(tmp_path: Path) -> None:
    own = settings(tmp_path, operators=False)
    assert await stored_parties(own, store_with_a_fourth()) is own.peers


async def test_what_does_not_check_out_makes_nobody_a_party(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parties = await stored_parties(settings(tmp_path), store_with_a_fourth(forged=True))
    assert set(parties) == {"party-1", "party-9"}
    assert "not used to its end" in caplog.text
