"""What the migration makes of epochs that were known by their number alone."""

from __future__ import annotations

import json

import pytest
from alembic import command

import migrations
from workers.store.records import WordRecord

from .conftest import RawDatabase, open_party
from .examples import KEY

ROLE = "party"
OURS, THEIRS, FIRST, SECOND = (bytes([number]) * 32 for number in (1, 2, 3, 4))


def facts(epoch: int, session_id: bytes | None) -> dict[str, object]:
    made = {} if session_id is None else {"reshared": {"session_id": session_id.hex()}}
    return {"epoch": epoch, **made}


def bundle(epoch: int, session_id: bytes, before: dict[str, object]) -> str:
    made = {"key": {"facts": facts(epoch, session_id)}, "predecessor": {"facts": before}}
    return json.dumps(made)


async def at_0010(url: str, monkeypatch: pytest.MonkeyPatch) -> RawDatabase:
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0010"))
        patch.setattr(command, "check", lambda _: None)
        await migrations.upgrade("party", url)
    return RawDatabase(url)


async def test_what_is_known_of_sessions_is_kept_and_nothing_is_made_up(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await at_0010(empty_url, monkeypatch)
    keys = {number: bytes([number]) * 32 for number in range(10, 15)}

    async def word(key: bytes, epoch: int) -> None:
        await place.query(f"INSERT INTO words VALUES ({place.literal(key)}, {epoch}) RETURNING 1")

    async def known(key: bytes, epoch: int, session: bytes, status: str, proof: str = "") -> None:
        text = f"'{proof}'" if proof else "NULL"
        values = f"{place.literal(key)}, {epoch}, {place.literal(session)}, '{status}', {text}"
        await place.query(f"INSERT INTO epochs VALUES ({values}, 1, NULL) RETURNING 1")

    async def share(key: bytes, epoch: int, session: bytes) -> None:
        text = json.dumps(facts(epoch, session))
        values = f"{place.literal(key)}, {epoch}, 'svcA', 'k{key[0]}', '{text}', '{{}}'"
        secret = place.literal(KEY)
        await place.query(f"INSERT INTO key_shares VALUES ({values}, {secret}, true) RETURNING 1")

    # A try that came to nothing, or that is not over.
    await word(keys[10], 1)
    await known(keys[10], 1, OURS, "pending")
    # A share of the very epoch.
    await word(keys[11], 1)
    await known(keys[11], 1, OURS, "active", bundle(1, OURS, facts(0, None)))
    await share(keys[11], 1, OURS)
    # A word, and the proof of an epoch that may be another one of its number.
    await word(keys[12], 1)
    await known(keys[12], 1, THEIRS, "certified", bundle(1, THEIRS, facts(0, None)))
    # Never dealt here, and shown one after the other.
    await known(keys[13], 1, FIRST, "retired", bundle(1, FIRST, facts(0, None)))
    await known(keys[13], 2, SECOND, "active", bundle(2, SECOND, facts(1, FIRST)))
    # From a backup, by the number that others are asked with.
    await known(keys[14], 3, bytes(32), "suspended")
    await share(keys[14], 3, SECOND)

    await migrations.upgrade("party", empty_url)

    expected = {
        10: [WordRecord(1, OURS)],
        11: [WordRecord(1, OURS)],
        12: [WordRecord(1, None), WordRecord(1, THEIRS)],
        13: [WordRecord(2, SECOND)],
        14: [WordRecord(3, SECOND)],
    }
    # They are no shares that any master key opens, which a store finds out at once.
    await place.query("DELETE FROM key_shares")
    async with open_party(empty_url) as store:
        for number, words in expected.items():
            assert await store.signing_epochs(keys[number]) == words, number
