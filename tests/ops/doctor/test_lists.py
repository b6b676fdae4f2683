"""How far files and stores follow what operators say, and whom that makes a party."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contracts.client_list import Action as ClientAction
from contracts.client_list import ClientList
from contracts.identity import Identity
from contracts.numbered_lists import ListOperator, NumberedList, SignedEntry
from contracts.party_list import Action, PartyKey, PartyList
from contracts.peers import Role
from ops.doctor import agreement
from ops.doctor.report import Verdict
from ops.doctor.surroundings import Surroundings
from workers.delivery.lists import ListFollower
from workers.settings import PartySettings
from workers.store.floors import Floor, Reached
from workers.store.opening import open_coordinator_store

from .samples import PARTIES, Office, is_right, row

OPERATOR = Identity.generate()


def listed(kind: type[NumberedList[Any]]) -> NumberedList[Any]:
    return kind([ListOperator(OPERATOR.public)])


def clients() -> SignedEntry:
    return listed(ClientList).signed(
        OPERATOR, issued_at=1, action=ClientAction.REMOVE, client_id="nobody"
    )


def parties(name: str, index: int, key: Identity) -> SignedEntry:
    return listed(PartyList).signed(
        OPERATOR,
        issued_at=1,
        action=Action.PUT,
        party_id=name,
        index=index,
        role=Role.PERSISTENT,
        keys=(PartyKey(public_key=key.public.der),),
    )


@pytest.fixture
async def followers(files: Office) -> Office:
    """Files in which an operator is pinned, and a party's database."""
    pinned = f'\n[[clients]]\npublic_key = "{OPERATOR.public.to_base64()}"\noperator = true\n'
    for name in ("party-1", "coordinator"):
        path = files.folder / f"{name}.toml"
        path.write_text(path.read_text() + pinned)
    await files.migrate("party-1", "coordinator")
    return files


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """What lies in the stream."""
    entries: list[tuple[str, bytes]] = []

    async def said_so_far(url: str) -> AsyncGenerator[tuple[str, bytes]]:
        for each in entries:
            yield each

    async def connected(surroundings: Surroundings, subject: object) -> None:
        return None

    monkeypatch.setattr(agreement, "said_so_far", said_so_far)
    monkeypatch.setattr(Surroundings, "connected", connected)
    return entries


def settings(files: Office) -> PartySettings:
    return PartySettings.load(files.folder / "party-1.toml")


async def store(files: Office, list_: NumberedList[Any], *entries: SignedEntry) -> None:
    async with settings(files).opened(fenced=True) as opened:
        follower = ListFollower(opened, list_)
        for entry in entries:
            await follower.hear(list_.name, entry.to_bytes())
        assert follower.number == len(entries)


async def lists(files: Office) -> Any:
    return await row("configuration.lists", Surroundings(subjects=files.subjects("party-1")))


async def test_lists_that_are_stored_to_their_end_have_no_finding(
    followers: Office, said: list[tuple[str, bytes]]
) -> None:
    entries = {"clients": clients(), "parties": parties("party-9", 9, Identity.generate())}
    said += [(name, entry.to_bytes()) for name, entry in entries.items()]
    await store(followers, listed(ClientList), entries["clients"])
    await store(followers, listed(PartyList), entries["parties"])
    assert is_right(await lists(followers))


@pytest.mark.parametrize("name", ["clients", "parties"])
async def test_an_entry_that_is_in_the_stream_only_is_told(
    followers: Office, said: list[tuple[str, bytes]], name: str
) -> None:
    entries = {"clients": clients(), "parties": parties("party-9", 9, Identity.generate())}
    said += [(name, entries[name].to_bytes()), (name, b"nobody's"), ("weather", b"rain")]
    found = await lists(followers)
    assert found.verdict is Verdict.FAILED
    assert found.found == [f"the list of {name} has 1 entries, 1 of them not here"]


@pytest.mark.parametrize(("kind", "command"), [(ClientList, "client"), (PartyList, "party")])
async def test_an_entry_that_counted_before_and_is_nowhere_is_told(
    followers: Office,
    said: list[tuple[str, bytes]],
    kind: type[NumberedList[Any]],
    command: str,
) -> None:
    path: Path = settings(followers).incarnation_file
    Floor(path.with_name(f"{path.name}.{kind.name}")).reach(Reached(3, bytes(32)))
    found = await lists(followers)
    assert found.found == [
        f"entry 3 of the list of {kind.name} counted here before, and is nowhere"
    ]
    assert f"warren {command} publish" in found.todo


###
### Whom a list makes a party
###


async def pins(files: Office) -> Any:
    subjects = files.subjects("party-1", "party-2")
    return await row("configuration.pins", Surroundings(subjects=subjects))


async def test_a_party_that_changed_its_key_by_the_list_agrees_with_who_follows_it(
    followers: Office,
) -> None:
    followers.identities["party-2"] = Identity.generate()
    new = followers.identities["party-2"]
    followers.secret("party-2.key", new.to_base64())
    followers.secret("party-2.toml", followers.party("party-2"))
    found = await pins(followers)
    assert "another public key of party-2" in " ".join(found.found)
    await store(followers, listed(PartyList), parties("party-2", 2, new))
    assert is_right(await pins(followers))


async def test_a_party_of_the_list_is_no_stranger_and_is_waited_for(followers: Office) -> None:
    coordinator = Surroundings(subjects=followers.subjects("coordinator"))
    with closing(sqlite3.connect(followers.folder / "coordinator.sqlite")) as file, file:
        for name in (*PARTIES, "party-9"):
            file.execute("INSERT INTO parties VALUES (?, ?)", (name, time.time_ns() // 1_000_000))
    assert "party-9 gives signs of life" in (await row("parties.known", coordinator)).found[0]
    entry = parties("party-9", 9, Identity.generate())
    path = followers.folder / "coordinator.sqlite"
    async with open_coordinator_store(f"sqlite:///{path}") as opened:
        await ListFollower(opened, listed(PartyList)).hear("parties", entry.to_bytes())
    assert is_right(await row("parties.known", coordinator))
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DELETE FROM parties WHERE party_id = 'party-9'")
    assert (await row("parties.alive", coordinator)).found == ["party-9 never gave a sign of life"]
