"""What the list of clients tells a gateway about itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from contracts.client import ClientSettings
from contracts.client_list import Action, ClientKey, ClientList
from contracts.coordinators import Coordinators
from contracts.identity import Identity
from contracts.list_log import Logged
from contracts.numbered_lists import ListOperator, SignedEntry
from gateway.listed import SOON_MS, Listed

OPERATOR, OWN, NEXT, STRANGER = (Identity.generate() for _ in range(4))
SETTINGS = ClientSettings(
    amqp_url="amqp://nobody@127.0.0.1:1/none",
    client_id="gateway",
    identity=OWN,
    coordinators=Coordinators.of(OPERATOR.public),
    parties={},
)


class Office:
    """Signs, and lets a gateway hear of it."""

    def __init__(self, path: Path | None = None) -> None:
        self.told: list[int] = []
        self.now = 0
        self.said = ClientList([ListOperator(OPERATOR.public)])
        self.listed = Listed(
            SETTINGS,
            ClientList([ListOperator(OPERATOR.public)]),
            path,
            told=self.told.append,
            clock=lambda: self.now,
        )

    def say(self, **content: Any) -> bytes:
        signed = self.said.signed(OPERATOR, issued_at=1, **content)
        self.said.take(signed)
        self.listed.hear(Logged("clients", signed.to_bytes()))
        return signed.to_bytes()

    def put(self, *keys: ClientKey, client_id: str = "gateway") -> bytes:
        return self.say(action=Action.PUT, client_id=client_id, keys=keys)


def key(identity: Identity, until: int | None = None) -> ClientKey:
    return ClientKey(public_key=identity.public.der, valid_until=until)


def test_who_is_not_in_the_list_or_there_with_its_key_is_not_troubled() -> None:
    office = Office()
    assert office.listed.trouble() is None
    office.put(key(STRANGER), client_id="svcA")
    assert office.listed.trouble() is None
    office.put(key(OWN))
    assert office.listed.trouble() is None
    assert office.told == [1, 2]


def test_a_key_that_ends_soon_or_has_ended_is_told() -> None:
    office = Office()
    office.put(key(OWN, until=2 * SOON_MS), key(NEXT))
    assert office.listed.trouble() is None
    office.now = int(1.5 * SOON_MS)
    assert office.listed.trouble() == "our key counts for 12.0 hours more: take the new one"
    office.now = 2 * SOON_MS
    assert "entry 1, does not have our key" in str(office.listed.trouble())


def test_who_has_another_key_or_was_removed_is_told() -> None:
    office = Office()
    office.put(key(NEXT))
    assert "entry 1, does not have our key" in str(office.listed.trouble())
    office.say(action=Action.REMOVE, client_id="gateway")
    assert office.listed.trouble() == "the list of clients, entry 2, has removed us"


def test_what_nobody_signed_and_other_lists_change_nothing() -> None:
    office = Office()
    forged = ClientList([ListOperator(STRANGER.public)]).signed(
        STRANGER, issued_at=1, action=Action.REMOVE, client_id="gateway"
    )
    for logged in (
        Logged("clients", forged.to_bytes()),
        Logged("clients", b"junk"),
        Logged("parties", b"junk"),
    ):
        office.listed.hear(logged)
    assert (office.told, office.listed.trouble()) == ([], None)


def test_what_was_kept_is_known_after_a_restart_and_to_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "clients.list"
    office = Office(path)
    said = [office.put(key(NEXT)), office.put(key(OWN))]
    assert path.stat().st_mode & 0o777 == 0o600
    other = Office(path)
    other.listed.hear(Logged("clients", said[0]))
    assert other.listed.trouble() is None
    assert other.told == [2]
    assert path.read_bytes().count(b"\n") == 2


def test_a_long_list_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from its beginning for each entry: ten thousand would keep callers waiting."""
    office, read = Office(tmp_path / "clients.list"), list[int]()
    parse = SignedEntry.from_bytes

    def counted(data: bytes) -> SignedEntry:
        read.append(len(data))
        return parse(data)

    monkeypatch.setattr(SignedEntry, "from_bytes", counted)
    for number in range(50):
        office.put(key(Identity.generate()), client_id=f"svc{number}")
    assert office.told[-1] == 50
    assert len(read) == 50


def test_an_id_of_another_case_is_another_client() -> None:
    office = Office()
    office.say(action=Action.REMOVE, client_id="Gateway")
    assert office.listed.trouble() is None


def test_a_client_without_an_id_is_in_no_list() -> None:
    settings = dataclasses.replace(SETTINGS, client_id=None)
    assert Listed(settings, ClientList([]), None).trouble() is None
