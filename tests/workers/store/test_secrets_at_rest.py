"""Who has the database without the master key has nothing, and cannot plant anything either."""

from __future__ import annotations

import pytest

from workers.store.interface import PartyStore
from workers.store.opening import open_party_store
from workers.store.records import Received
from workers.store.sealing import MasterKeys, SealError

from .conftest import RawDatabase, sealer_of, witness_of
from .examples import (
    KEY,
    key_share,
    nonce,
    party_change,
    place,
    presignature,
    received,
    session_id,
)

ROLE = "party"
SECRETS = [
    b"secret-of-the-share",
    b"secret-of-the-nonce",
    b"secret-of-the-presignature",
    b"secret-round-state",
    b"secret-body",
]


async def fill(store: PartyStore) -> None:
    """Two of everything that is sealed, everything with a secret in it."""
    share, pair, made, state, body = SECRETS
    for name in ["one", "two"]:
        key_session = session_id(f"key {name}")
        await store.commit(
            party_change(
                name,
                state=state,
                received=(received(body=body), received(sender="party-3", body=body)),
                key_share=key_share(key_session=key_session, key_id=name, secret=share),
                nonces=(nonce(name, key_session=key_session, secret=pair),),
                presignatures=(presignature(0, name, key_session=key_session, secret=made),),
            )
        )


async def read(store: PartyStore, name: str = "one") -> list[bytes]:
    """The secrets that belong to one session."""
    material = await store.signing_material(
        session_id(name),
        key_session=session_id(f"key {name}"),
        epoch=0,
        nonce_id=session_id(name),
        presignatures=[place(0, name)],
    )
    (made,) = material.presignatures
    assert made is not None
    assert material.session is not None
    assert material.key_share is not None
    assert material.nonce is not None
    bodies = {row.body for row in material.session.received}
    assert len(bodies) == 1
    secrets = [material.key_share.secret, material.nonce.secret, made.secret]
    return [*secrets, material.session.state, *bodies]


async def test_no_secret_s_bytes_are_in_the_database(party: PartyStore, raw: RawDatabase) -> None:
    await fill(party)
    assert await read(party) == SECRETS

    everything = str(await raw.everything())
    assert session_id("one").hex() in everything.lower()
    for secret in SECRETS:
        assert secret.decode() not in everything
        assert secret.hex() not in everything.lower()
    if not raw.on_postgres:
        files = b"".join(file.read_bytes() for file in raw.path.parent.glob("store.db*"))
        assert session_id("one") in files
        for secret in SECRETS:
            assert secret not in files


async def test_records_do_not_show_their_secrets(party: PartyStore) -> None:
    await fill(party)
    material = await party.signing_material(
        session_id("one"),
        key_session=session_id("key one"),
        epoch=0,
        nonce_id=session_id("one"),
        presignatures=[place(0, "one")],
    )
    change = party_change(state=SECRETS[3], received=(received(body=SECRETS[4]),))
    for secret in SECRETS:
        assert secret.decode() not in f"{material!r} {change!r}"


SEALED = [
    ("key_shares", "secret", "key_session", "key "),
    ("nonces", "secret", "nonce_id", ""),
    ("presignatures", "secret", "batch", ""),
    ("sessions", "state", "session_id", ""),
    ("inbox", "body", "session_id", ""),
]


@pytest.mark.parametrize(("table", "column", "id_column", "prefix"), SEALED)
async def test_a_value_that_moved_to_another_row_does_not_open(
    party: PartyStore, raw: RawDatabase, table: str, column: str, id_column: str, prefix: str
) -> None:
    await fill(party)
    rows = [
        f"{id_column} = {raw.literal(session_id(f'{prefix}{name}'))}" for name in ["one", "two"]
    ]
    one, two = [
        (await raw.query(f"SELECT {column} FROM {table} WHERE {row} LIMIT 1"))[0][0] for row in rows
    ]
    for row, value in zip(rows, [two, one], strict=True):
        change = f"UPDATE {table} SET {column} = {raw.literal(value)} WHERE {row} RETURNING 1"
        await raw.query(change)

    for name in ["one", "two"]:
        with pytest.raises(SealError, match="changed or moved") as caught:
            await read(party, name)
        assert "secret-" not in str(caught.value)


@pytest.mark.parametrize(("table", "column", "id_column", "prefix"), SEALED)
async def test_a_value_with_a_flipped_bit_does_not_open(
    party: PartyStore, raw: RawDatabase, table: str, column: str, id_column: str, prefix: str
) -> None:
    await fill(party)
    row = f"{id_column} = {raw.literal(session_id(f'{prefix}one'))}"
    (sealed,) = (await raw.query(f"SELECT {column} FROM {table} WHERE {row} LIMIT 1"))[0]
    spoilt = sealed[:-1] + bytes([sealed[-1] ^ 1])
    await raw.query(f"UPDATE {table} SET {column} = {raw.literal(spoilt)} WHERE {row} RETURNING 1")

    with pytest.raises(SealError, match="changed or moved"):
        await read(party)


@pytest.mark.parametrize(
    ("table", "assignment"),
    [
        ("key_shares", "epoch = 1"),
        ("nonces", "scheme = 'bip340'"),
        ("nonces", "epoch = 1"),
        ("presignatures", "epoch = 1"),
        ("presignatures", "position = 1"),
        ("inbox", "sender = 'party-4'"),
        ("inbox", "slot = 'round-9'"),
    ],
)
async def test_a_value_whose_place_was_renamed_does_not_open(
    party: PartyStore, raw: RawDatabase, table: str, assignment: str
) -> None:
    await party.commit(
        party_change(key_share=key_share(), nonces=(nonce(),), presignatures=(presignature(),))
    )
    await party.commit(party_change(expected_version=1, cause="2", received=(received(),)))
    await raw.query(f"UPDATE {table} SET {assignment} RETURNING 1")

    epoch = 1 if (table, assignment) == ("key_shares", "epoch = 1") else 0
    with pytest.raises(SealError, match=r"changed or moved|put back the folder"):
        await party.signing_material(
            session_id(),
            key_session=KEY,
            epoch=epoch,
            nonce_id=session_id("nonce"),
            presignatures=[place(0), place(1)],
        )


OTHERS = [
    ("party-2", bytes(range(32)), "changed or moved"),
    ("party-1", bytes(32), "wrong master key"),
]


@pytest.mark.parametrize(("party_id", "master_key", "complaint"), OTHERS)
async def test_another_party_or_master_key_opens_no_share(
    party: PartyStore, url: str, party_id: str, master_key: bytes, complaint: str
) -> None:
    """It says so when the store is opened, not when the first signature is asked for."""
    await fill(party)
    sealer = sealer_of(url, MasterKeys({1: master_key}))
    with pytest.raises(SealError, match=complaint):
        async with open_party_store(url, party_id=party_id, sealer=sealer, witness=witness_of(url)):
            pass


@pytest.mark.parametrize(("party_id", "master_key", "complaint"), OTHERS)
async def test_another_party_or_master_key_opens_no_round(
    party: PartyStore, url: str, party_id: str, master_key: bytes, complaint: str
) -> None:
    await party.commit(party_change(nonces=(nonce(),), presignatures=(presignature(),)))
    sealer = sealer_of(url, MasterKeys({1: master_key}))
    async with open_party_store(
        url, party_id=party_id, sealer=sealer, witness=witness_of(url)
    ) as other:
        with pytest.raises(SealError, match=complaint):
            await other.session(session_id())
        with pytest.raises(SealError, match=complaint):
            await other.signing_material(
                session_id("none"), key_session=KEY, epoch=0, nonce_id=session_id("nonce")
            )
        with pytest.raises(SealError, match=complaint):
            await other.signing_material(
                session_id("none"), key_session=KEY, epoch=0, presignatures=[place()]
            )


async def test_after_a_rotation_old_and_new_values_open(party: PartyStore, url: str) -> None:
    await party.commit(party_change("old", key_share=key_share(), received=(received(),)))
    keys = {1: bytes(range(32)), 2: bytes(32)}
    async with open_party_store(
        url, party_id="party-1", sealer=sealer_of(url, MasterKeys(keys)), witness=witness_of(url)
    ) as rotated:
        await rotated.commit(party_change("new", key_share=key_share(epoch=1)))
        assert await rotated.key_share(KEY, 0) == key_share()
        assert await rotated.key_share(KEY, 1) == key_share(epoch=1)
        old = await rotated.session(session_id("old"))
        assert old is not None
        assert old.received == (received(),)

    with pytest.raises(SealError, match="version 2"):
        await party.key_share(KEY, 1)


async def test_what_was_received_keeps_its_digest(party: PartyStore) -> None:
    row = Received(slot="round-1", sender="party-2", digest=b"digest" * 5, body=b"")
    await party.commit(party_change(received=(row,)))
    session = await party.session(session_id())
    assert session is not None
    assert session.received == (row,)
