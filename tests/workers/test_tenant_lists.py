"""Keys of before certificates told the tenant: exported, signed, given at a party, and checked."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import migrations
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.keys import CertifiedKey, KeyFacts
from contracts.tenants import (
    LIST_TAG,
    KeyTenant,
    ListSignature,
    TenantList,
    open_list,
    sign_list,
)
from ops.cli import upgrade
from tests.protocols.simulate import coins
from tests.session.builders import CLIENT_ID, IDENTITIES, facts, key_record, old_facts
from tests.workers.backup.commands import MASTER_KEY, configure, keep, sealer
from workers.settings import PartySettings
from workers.store.interface import PartyStore
from workers.store.opening import open_party_store
from workers.store.records import KeyShareRecord
from workers.tenants import cli

pytestmark = pytest.mark.long

OPERATOR = Identity.generate()
NEW = facts(session_id=coins("new"), key_id="key-2")
OLD = old_facts()
DONE, FAILED, CONFIGURATION = 0, 1, 2


def key_of(made: KeyFacts, tenant: str | None, **changes: Any) -> KeyTenant:
    fields: dict[str, Any] = {
        "key_session": made.session_id,
        "public_key": made.public_key,
        "key_id": made.key_id,
        "client_id": made.client_id,
        "tenant": tenant,
    }
    return KeyTenant(**(fields | changes))


def record(made: KeyFacts) -> KeyShareRecord:
    return key_record(
        1,
        key_session=made.session_id,
        key_id=made.key_id,
        owner=made.owner,
        facts=made.model_dump_json(),
    )


class Place:
    """A party and a coordinator with a key of each kind, and who operates them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.list = folder / "tenants.json"
        self._url = f"sqlite:///{folder / 'party-1.sqlite'}"
        self.party = configure(folder, "party-1", self._url)
        self.party.write_text(
            self.party.read_text()
            + f'[[clients]]\nclient_id = "{CLIENT_ID}"\noperator = true\n'
            + f'public_key = "{OPERATOR.public.to_base64()}"\n'
        )
        self.coordinator = folder / "coordinator.toml"
        url = f"sqlite:///{folder / 'coordinator.sqlite'}"
        self.coordinator.write_text(
            f'[coordinator]\namqp_url = "amqp://u:p@127.0.0.1:1/w"\ndatabase_url = "{url}"\n'
            'private_key_file = "coordinator.key"\n'
            + "".join(
                f'[[parties]]\nparty_id = "party-{i}"\nindex = {i}\n'
                f'public_key = "{IDENTITIES[f"party-{i}"].public.to_base64()}"\n'
                for i in (1, 2)
            )
        )
        (folder / "operator.key").write_text(OPERATOR.to_base64())
        (folder / "coordinator.key").write_text(Identity.generate().to_base64())
        asyncio.run(migrations.upgrade("party", self._url))
        asyncio.run(migrations.upgrade("coordinator", url))
        self.keep(OLD, NEW)
        self.add_key(OLD, "alice")
        self.add_key(NEW, None)

    def at_party(self, work: Callable[[PartyStore], Any]) -> Any:
        async def opened() -> Any:
            settings = PartySettings.load(self.party)
            own = sealer(settings)
            async with open_party_store(self._url, party_id="party-1", sealer=own) as store:
                return await work(store)

        return asyncio.run(opened())

    def keep(self, *made: KeyFacts) -> None:
        """As if by the release that certified no names yet."""
        asyncio.run(keep(self.party, *map(record, made)))
        with closing(sqlite3.connect(self.folder / "party-1.sqlite")) as file, file:
            file.execute("DELETE FROM certified_names")

    def add_key(self, made: KeyFacts, tenant: str | None) -> None:
        certified = CertifiedKey(facts=made, certificates={}).model_dump_json()
        owner = CLIENT_ID if tenant is None else f"{CLIENT_ID}/{tenant}"
        values = (owner, made.key_id, made.session_id, 0, "ed25519", certified)
        with closing(sqlite3.connect(self.folder / "coordinator.sqlite")) as file, file:
            file.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?)", values)

    def write(self, *keys: KeyTenant, signer: Identity = OPERATOR) -> None:
        data = TenantList(keys=list(keys)).model_dump_json().encode()
        self.list.write_bytes(data)
        beside = self.list.with_name("tenants.json.signature")
        beside.write_text(sign_list(data, signer).model_dump_json())

    def run(self, app: typer.Typer, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    def give(self) -> Result:
        return self.run(cli.party, "import", str(self.list), "-c", str(self.party), "--json")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("WARREN_MASTER_KEY", MASTER_KEY)
    return Place(tmp_path)


def test_an_operators_list_from_the_coordinator_to_the_party(place: Place) -> None:
    left = place.run(upgrade.app, "check", "-c", str(place.party))
    assert left.exit_code == FAILED
    assert f"key {OLD.key_id} of {CLIENT_ID}" in left.output
    assert "warren party tenants import" in left.output
    exported = place.run(cli.app, "export", "-c", str(place.coordinator), "-o", str(place.list))
    assert exported.exit_code == DONE
    assert TenantList.model_validate_json(place.list.read_text()).keys == [key_of(OLD, "alice")]
    key_file = str(place.folder / "operator.key")
    assert place.run(cli.app, "sign", str(place.list), "-k", key_file).exit_code == DONE
    given = place.give()
    assert json.loads(given.output) == {"given": 1, "known": 0, "not_here": 0, "refused": 0}
    assert json.loads(place.give().output)["known"] == 1
    (share,) = place.at_party(lambda store: store.key_shares(f"{CLIENT_ID}/alice"))
    assert share.key_session == OLD.session_id
    shown = json.loads(place.run(cli.party, "show", "-c", str(place.party), "--json").output)
    assert [(each["session"], each["tenant"]) for each in shown] == [
        (OLD.session_id.hex(), "alice")
    ]
    done = place.run(upgrade.app, "check", "-c", str(place.party))
    assert (done.exit_code, done.output) == (DONE, "Nothing is left to do at this party.\n")


def test_what_the_coordinator_has_of_before_is_told_for_programs(place: Place) -> None:
    told = place.run(upgrade.app, "check", "-c", str(place.coordinator), "--json")
    assert told.exit_code == DONE  # nothing that is to be done here
    row = json.loads(told.output)["checks"][0]
    assert (row["name"], row["known"]) == ("keys_of_before_tenants", True)
    assert row["found"] == [f"key {OLD.key_id} of {CLIENT_ID}/alice, {OLD.session_id.hex()}"]


@pytest.mark.parametrize(
    "key",
    [
        key_of(OLD, "alice", public_key=bytes(32)),
        key_of(OLD, "alice", client_id="svcB"),
        key_of(OLD, "alice", key_id="other"),
        key_of(NEW, "alice"),
    ],
)
def test_a_key_that_is_not_the_lists_is_given_to_nobody(place: Place, key: KeyTenant) -> None:
    place.write(key)
    assert place.give().exit_code == FAILED
    assert place.at_party(lambda store: store.tenants()) == []


@pytest.mark.parametrize("first", ["alice", None])
def test_a_tenant_is_never_changed(place: Place, first: str | None) -> None:
    place.write(key_of(OLD, first))
    assert place.give().exit_code == DONE
    place.write(key_of(OLD, "mallory"))
    refused = place.give()
    assert (refused.exit_code, json.loads(refused.output)["refused"]) == (FAILED, 1)
    (given,) = place.at_party(lambda store: store.tenants())
    assert given.tenant == first


def test_a_tenant_that_came_with_a_backup_is_never_changed(place: Place) -> None:
    with closing(sqlite3.connect(place.folder / "party-1.sqlite")) as file, file:
        restored = (f"{CLIENT_ID}/alice", OLD.session_id)
        file.execute("UPDATE key_shares SET owner = ? WHERE key_session = ?", restored)
    place.write(key_of(OLD, "mallory"))
    assert json.loads(place.give().output)["refused"] == 1
    place.write(key_of(OLD, "alice"))
    assert json.loads(place.give().output)["known"] == 1


def test_no_tenant_gets_a_second_key_of_a_name(place: Place) -> None:
    alices = facts(session_id=coins("alice's"), tenant="alice")
    place.keep(alices)
    place.write(key_of(OLD, "alice"))
    assert json.loads(place.give().output)["refused"] == 1


def test_a_list_by_anybody_else_is_not_believed(place: Place) -> None:
    place.write(key_of(OLD, "mallory"), signer=Identity.generate())
    refused = place.give()
    assert refused.exit_code == FAILED
    assert "no operator's here" in refused.output
    place.write(key_of(OLD, "alice"))
    place.list.write_bytes(place.list.read_bytes().replace(b"alice", b"mallo"))
    assert "that of another list" in place.give().output
    assert place.at_party(lambda store: store.tenants()) == []


LIST = TenantList(keys=[key_of(OLD, "alice")]).model_dump_json().encode()
SIGNED = sign_list(LIST, OPERATOR).model_dump_json().encode()


def signed_anyway(data: bytes) -> bytes:
    """By an operator whose own tool looks at nothing."""
    by = ListSignature(signer=OPERATOR.public.der, signature=OPERATOR.sign(LIST_TAG, data))
    return by.model_dump_json().encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "no list of tenants"),
        (b'{"kind": "tenants", "keys": []}', "keys"),
        (LIST.replace(b'"tenant"', b'"tenant":"mallory","tenant"'), "tenant.*twice"),
    ],
)
def test_what_is_no_list_is_neither_signed_nor_read(data: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        sign_list(data, OPERATOR)
    with pytest.raises(ContractError, match=reason):
        open_list(data, signed_anyway(data), [OPERATOR.public])


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (b"{", "no signature of a list"),
        (SIGNED.replace(b'{"signer"', b'{"signer":"","signer"'), "signer.*twice"),
    ],
)
def test_what_is_no_signature_is_refused_in_a_sentence(signature: bytes, reason: str) -> None:
    assert open_list(LIST, SIGNED, [OPERATOR.public]).keys
    with pytest.raises(ContractError, match=reason):
        open_list(LIST, signature, [OPERATOR.public])


def test_a_missing_file_is_told(place: Place) -> None:
    missing = place.give()
    assert missing.exit_code == CONFIGURATION
    assert "tenants.json: No such file" in missing.output
