"""`warren key history` and `warren key retire`: what they ask, delete, and show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.client import Client, ClientSettings
from contracts.retirements import Retirement
from tests.contracts.samples import CLIENT, COORDINATOR, STRANGER
from tests.contracts.test_client_histories import AT, FIRST, SECOND, client, said, told, views
from tests.ops.terminals import Run
from tests.session.epoch_bundles import FROM_EPOCH, IDENTITIES, PINNED, TO_EPOCH, Forger, old_facts
from tests.session.party.reshares import share_of
from tests.workers.migrated import migrate
from tests.workers.party.nodes import KEY, holding
from workers.settings import PartySettings
from workers.store.interface import PartyStore
from workers.store.records import EpochRecord, EpochStatus

MASTER_KEY = "1f" * 32
BUNDLE = Forger().bundle()


###
### What a client is shown
###


@dataclass
class Told:
    """A coordinator's answer, through a client's own checks."""

    retirements: list[Retirement] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self, _: ClientSettings) -> AsyncIterator[Client]:
        yield client(told(views(*self.retirements)))


@pytest.fixture
def fake() -> Told:
    backed_up = Retirement.signed(
        IDENTITIES["p1"], "p1", FIRST.session_id, 1, retired_at=AT, backed_up_at=AT - 60_000
    )
    return Told([backed_up, said("p2", 1, by=STRANGER)])


def test_a_history_says_who_still_has_to_delete_and_what_that_is_good_for(run: Run) -> None:
    shown = run("key", "history", "treasury")
    assert shown.code == 0, shown.err
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["EPOCH", "MADE", "SIGNS", "FROM", "SIGN", "HOLDERS"] in rows
    assert ["0", "-", "-", "2", "of", "3", "p1,", "p2,", "p3"] in rows
    (_, _, of_first) = shown.out.partition("Shares of epoch 0, followed by 1:\n")
    p1, p2, p3, promise = of_first.splitlines()[1:]
    assert p1.split() == ["p1", *["2023-11-14", "22:13:20", "UTC", "2023-11-14", "22:12:20", "UTC"]]
    assert p2 == "p2     not told: still to delete", "what was forged is not told"
    assert p3 == "p3     not told: still to delete"
    assert promise == (
        "They sign no more once 2 of the 3 holders have honestly deleted theirs, backups included: "
        "1 has said so."
    )


def test_programs_get_what_was_signed(run: Run, fake: Told) -> None:
    shown = run("key", "history", "treasury", "--json")
    assert shown.code == 0, shown.err
    newest, older, first = shown.json["epochs"]
    assert (newest["epoch"], older["epoch"], first["epoch"]) == (4, 1, 0)
    assert (older["threshold"], older["parties"]) == (3, ["p4", "p5", "p2", "p6"])
    assert older["before"]["still_to_delete"] == ["p2", "p3"]
    assert older["before"]["deleters_needed"] == 2
    (signed,) = older["before"]["retired"]
    assert Retirement.model_validate(signed, strict=False) == fake.retirements[0]
    assert "before" not in first


def test_an_operator_names_a_session(run: Run) -> None:
    shown = run("key", "history", SECOND.session_id.hex(), "--session", "--json")
    assert shown.code == 0, shown.err
    for wrong in ("treasury", "00"):
        assert run("key", "history", wrong, "--session").code == 2


###
### What a party deletes by hand
###


@pytest.fixture
async def party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a former holder that is told of nothing any more."""
    monkeypatch.setenv("WARREN_MASTER_KEY", MASTER_KEY)
    (tmp_path / "p1.key").write_text(IDENTITIES["p1"].to_base64())
    path, database = tmp_path / "p1.toml", f"sqlite:///{tmp_path / 'p1.db'}"
    peers = "".join(
        f'[[peers]]\nparty_id = "{name}"\nindex = {name[1:]}\n'
        f'public_key = "{identity.to_base64()}"\n'
        for name, identity in PINNED.items()
    )
    path.write_text(
        '[party]\nparty_id = "p1"\nindex = 1\nprivate_key_file = "p1.key"\n'
        f'amqp_url = "amqp://u:p@127.0.0.1:1/w"\ndatabase_url = "{database}"\n'
        f'[[coordinators]]\npublic_key = "{COORDINATOR.public.to_base64()}"\n'
        f'[[clients]]\nclient_id = "svcA"\npublic_key = "{CLIENT.public.to_base64()}"\n'
        f'operations = ["sign", "reshare"]\n{peers}'
    )
    await migrate("party", database)
    share = share_of("p1", old_facts(BUNDLE.key.facts.curve))
    assert share is not None
    first = EpochRecord(
        key_session=KEY, epoch=FROM_EPOCH, session_id=b"x", status=EpochStatus.CERTIFIED, at=0
    )
    async with opened(tmp_path) as store:
        await store.commit(holding(share))
        await store.certify_epoch(first, share.certificates)
        await store.activate_epoch(KEY, FROM_EPOCH, 0, 0)
    return path


def opened(folder: Path) -> PartyStore:
    return PartySettings.load(folder / "p1.toml").opened(fenced=True)


async def held(folder: Path) -> list[int]:
    async with opened(folder) as store:
        return [each.epoch for each in await store.key_shares()]


async def by_hand(run: Run, party: Path, content: str | bytes, *more: str) -> Any:
    file = party.with_name("epoch.json")
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = ("key", "retire", str(file), "--config", str(party), *more)
    return await asyncio.to_thread(run, *words)


async def test_a_party_deletes_by_hand_and_prints_what_it_says(run: Run, party: Path) -> None:
    shown = await by_hand(run, party, BUNDLE.model_dump_json() + "\n")
    assert shown.code == 0, shown.err
    sentence, signed = shown.out.splitlines()
    assert sentence.startswith(f"p1 has nothing more of epochs below {TO_EPOCH} of this key, since")
    word = Retirement.model_validate_json(signed)
    word.verify(PINNED["p1"], party_id="p1", key_session=KEY, epoch=TO_EPOCH)
    assert await held(party.parent) == []
    assert PartySettings.load(party).share_keys.erased(KEY, FROM_EPOCH)
    again = await by_hand(run, party, BUNDLE.model_dump_json(), "--json")
    assert Retirement.model_validate(again.json, strict=False) == word
    # Its processes tell the coordinator.
    async with opened(party.parent) as store:
        assert await store.retirements_due(2**60, 10) == [KEY]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Forger(signer=STRANGER).bundle().model_dump_json(), "nothing was deleted"),
        (Forger(secrets={}).bundle().model_dump_json(), "has not proven that it has its share"),
        ("{}", "is not what proves an epoch"),
        (b"\xff", "is not what proves an epoch"),
        ('{"request": "", "request": ""}', "is not what proves an epoch"),
    ],
    ids=["not asked for", "without shares", "another thing", "bytes", "a field twice"],
)
async def test_what_proves_nothing_deletes_nothing(
    run: Run, party: Path, content: str | bytes, reason: str
) -> None:
    shown = await by_hand(run, party, content)
    assert shown.code == 1, shown.out
    assert reason in shown.err
    assert await held(party.parent) == [FROM_EPOCH]


async def test_what_is_not_there_is_said_in_a_sentence(run: Run, party: Path) -> None:
    missing = run("key", "retire", str(party.with_name("no.json")), "--config", str(party))
    assert (missing.code, "No such file" in missing.err) == (2, True)
    nobody = await by_hand(run, party.with_name("nobody.toml"), BUNDLE.model_dump_json())
    assert nobody.code == 2
    assert "nobody.toml" in nobody.err
