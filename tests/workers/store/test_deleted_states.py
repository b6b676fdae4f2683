# what varies in a statement are our own names, never a value
"""After an epoch is over, nothing opens what a party kept between messages and that tells its
share: no copy of nonces, presignatures or round state, with every file of the party and the master
key of afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from workers.store.interface import PartyStore
from workers.store.opening import open_party_store
from workers.store.records import Outcome, PartyChange
from workers.store.rows.halves import Halves
from workers.store.rows.party import NONCE_COLUMNS, PRESIGNATURE_COLUMNS, PartyRows
from workers.store.sealing import ERASABLE_END, ErasedError, Sealer, SealError
from workers.store.shared.party import SharedPartyStore

from .conftest import (
    MASTER_KEYS,
    SEALER,
    RawDatabase,
    open_party,
    sealer_of,
    share_keys_of,
    witness_of,
)
from .examples import KEY, nonce, party_change, place, presignature, session_id
from .test_epochs import switched_to, with_first_epoch

ROLE = "party"
STATE_COLUMNS = "session_id, version, protocol, key_session, status, deadline, state"
SECRET = b"the state"


def presigning(epoch: int = 0, **other: Any) -> PartyChange:
    other = {"protocol": "presign", "key_session": KEY, "erased_with": epoch} | other
    return party_change("presigning", **other)


def making(**other: Any) -> PartyChange:
    """The session that makes the key: its id is the key's."""
    return party_change(**{"session_id": KEY, "protocol": "keygen", "erased_with": 0, **other})


@dataclass(frozen=True)
class Kept:
    """
    Attributes:
        change: That brings a row of epoch 0 into the database.
        opened: What is secret in the row.
    """

    change: PartyChange
    table: str
    columns: str
    column: str
    where: bytes
    opened: Callable[[PartyRows, Any], bytes]

    async def copied(self, raw: RawDatabase) -> Mapping[str, Any]:
        """The row, as a dump or a snapshot has it."""
        (row,) = await self._found(raw)
        return dict(zip(self.columns.split(", "), row, strict=True))

    async def is_gone(self, raw: RawDatabase) -> bool:
        return await self._found(raw) == []

    async def _found(self, raw: RawDatabase) -> list[tuple[Any, ...]]:
        there = f"{self.columns.split(', ')[0]} = {raw.literal(self.where)}"
        return await raw.query(
            f"SELECT {self.columns} FROM {self.table} WHERE {there} AND length({self.column}) > 0"
        )


def _state(rows: PartyRows, row: Any) -> bytes:
    return rows.session(row, ()).state


KEPT = {
    "nonce": Kept(
        party_change("batch of nonces", nonces=(nonce(),), status="completed"),
        "nonces",
        NONCE_COLUMNS,
        "secret",
        nonce().nonce_id,
        lambda rows, row: rows.nonce(row).secret,
    ),
    "presignature": Kept(
        party_change("batch", presignatures=(presignature(),), status="completed"),
        "presignatures",
        PRESIGNATURE_COLUMNS,
        "secret",
        presignature().batch,
        lambda rows, row: rows.presignature(row).secret,
    ),
    "state of a presigning": Kept(
        presigning(), "sessions", STATE_COLUMNS, "state", presigning().session_id, _state
    ),
    "state of a dealer": Kept(
        presigning(protocol="reshare"),
        "sessions",
        STATE_COLUMNS,
        "state",
        presigning().session_id,
        _state,
    ),
    "state of a key generation": Kept(
        making(), "sessions", STATE_COLUMNS, "state", making().session_id, _state
    ),
}


@pytest.fixture(params=KEPT)
def kept(request: pytest.FixtureRequest) -> Kept:
    return KEPT[request.param]


async def rows_of(store: PartyStore, sealer: Sealer) -> PartyRows:
    """Of somebody with the master key, as far as this sealer has the files."""
    rows, incarnation = PartyRows("party-1", sealer), await store.incarnation()
    assert incarnation is not None
    rows.enter(incarnation.incarnation)
    return rows


class Always:
    """One half for all."""

    def __init__(self, half: bytes) -> None:
        self._half = half

    def find(self, key_session: bytes, epoch: int) -> bytes:
        return self._half


async def test_no_copy_of_it_opens(party: PartyStore, raw: RawDatabase, kept: Kept) -> None:
    await switched_to(party, 1)
    assert await party.commit(kept.change) is Outcome.COMMITTED
    copy = await kept.copied(raw)
    halves = share_keys_of(raw.url)
    secret = kept.opened(await rows_of(party, sealer_of(raw.url)), copy)
    assert secret in (nonce().secret, presignature().secret, SECRET)
    before = halves.find(KEY, 0)
    assert kept.opened(await rows_of(party, _with(before)), copy) == secret

    under_way = await party.sessions_under_way(KEY)
    assert (kept.change.session_id in under_way) is (kept.table == "sessions")
    assert await party.retire_epochs(KEY, 1, under_way, 50, "{}")
    assert await kept.is_gone(raw)
    with pytest.raises(ErasedError, match=r"epoch 0 .* is over"):
        kept.opened(await rows_of(party, sealer_of(raw.url)), copy)
    # Nor with any half that is on the disk, nor with none.
    there = [path.read_bytes() for path in halves.folder.rglob("*-*")]
    assert sorted(map(len, there)) == [32, 32]
    assert before not in there
    for half in there:
        with pytest.raises(SealError, match="changed or moved"):
            kept.opened(await rows_of(party, _with(half)), copy)
    bare = dict(copy) | {kept.column: copy[kept.column].replace(ERASABLE_END, b"")}
    for each in (copy, bare):
        with pytest.raises(SealError):
            kept.opened(await rows_of(party, SEALER), each)


def _with(half: bytes) -> Sealer:
    return Sealer(MASTER_KEYS, erasable=cast("Any", Always(half)))


async def test_what_was_sealed_before_there_were_halves_opens(
    party: PartyStore, raw: RawDatabase, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_first_epoch(party)
    rows = cast("SharedPartyStore", party)._rows
    with monkeypatch.context() as earlier:
        earlier.setattr(rows, "halves", Halves(None))
        assert await party.commit(kept.change) is Outcome.COMMITTED
    copy = await kept.copied(raw)
    assert ERASABLE_END not in copy[kept.column]
    secret = kept.opened(rows, copy)
    assert secret == kept.opened(await rows_of(party, SEALER), copy)
    session = await party.session(kept.change.session_id)
    material = await party.signing_material(
        session_id("none"),
        key_session=KEY,
        epoch=0,
        nonce_id=nonce().nonce_id,
        presignatures=[place()],
    )
    there = [material.nonce, *material.presignatures]
    found = {each.secret for each in there if each is not None} | {session and session.state}
    assert secret in found


async def test_a_party_without_a_folder_keeps_them_as_before(raw: RawDatabase, kept: Kept) -> None:
    async with open_party_store(
        raw.url, party_id="party-1", sealer=SEALER, witness=witness_of(raw.url)
    ) as store:
        assert await store.commit(kept.change) is Outcome.COMMITTED
        copy = await kept.copied(raw)
        secret = kept.opened(await rows_of(store, SEALER), copy)
        assert secret in (nonce().secret, presignature().secret, SECRET)
    assert not share_keys_of(raw.url).folder.exists()


async def test_a_deletion_that_was_killed_has_deleted_them(
    party: PartyStore, raw: RawDatabase, kept: Kept
) -> None:
    """Erased, and then nothing more: what is there counts as gone, and whoever comes upon a session
    ends it."""
    await switched_to(party, 1)
    await party.commit(kept.change)
    share_keys_of(raw.url).erase_below(KEY, 1)
    material = await party.signing_material(
        session_id("none"),
        key_session=KEY,
        epoch=0,
        nonce_id=nonce().nonce_id,
        presignatures=[place()],
    )
    assert (material.nonce, material.presignatures) == (None, (None,))
    if kept.table == "sessions":
        late = kept.change.session_id
        assert late in await party.overdue(kept.change.deadline + 1, 100)
        ended = await party.session(late)
        assert ended is not None
        assert (ended.status, ended.state) == ("failed", b"")
        assert late not in await party.overdue(kept.change.deadline + 1, 100)
    async with open_party(raw.url) as other:
        assert await other.retire_epochs(KEY, 1, await other.sessions_under_way(KEY), 50, "{}")
    assert await kept.is_gone(raw)


async def test_nothing_more_is_kept_of_an_epoch_that_is_over(
    party: PartyStore, raw: RawDatabase, kept: Kept
) -> None:
    await switched_to(party, 1)
    assert await party.retire_epochs(KEY, 1, [], 50, "{}")
    before = await raw.everything()
    assert await party.commit(kept.change) is Outcome.EPOCH_OVER
    assert await raw.everything() == before


async def test_nor_if_that_ends_while_it_is_being_written(
    party: PartyStore, raw: RawDatabase, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    await switched_to(party, 1)
    inside = cast("SharedPartyStore", party)
    prepare = inside._prepare

    async def then_over(change: PartyChange) -> None:
        await prepare(change)
        share_keys_of(raw.url).erase_below(KEY, 1)

    monkeypatch.setattr(inside, "_prepare", then_over)
    before = await raw.everything()
    assert await party.commit(kept.change) is Outcome.EPOCH_OVER
    assert await raw.everything() == before


async def test_a_session_goes_on_under_the_same_half(party: PartyStore, raw: RawDatabase) -> None:
    await switched_to(party, 1)
    await party.commit(presigning())
    on = presigning(expected_version=1, cause="round 1", state=b"more")
    assert await party.commit(on) is Outcome.COMMITTED
    found = await party.session(on.session_id)
    assert found is not None
    assert found.state == b"more"
    # What it makes for the next epoch is another half's.
    other = presigning(1, session_id=session_id("other"))
    assert await party.commit(other) is Outcome.COMMITTED
    assert await party.retire_epochs(KEY, 1, [on.session_id], 50, "{}")
    kept = await party.session(other.session_id)
    assert kept is not None
    assert kept.state == SECRET


async def test_without_its_file_a_state_says_what_is_missing(
    party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(making())
    for path in share_keys_of(raw.url).folder.rglob("*-0"):
        path.unlink()
    with pytest.raises(SealError, match="put back the folder"):
        await party.session(KEY)


async def test_a_number_that_was_changed_opens_nothing(party: PartyStore, raw: RawDatabase) -> None:
    """Behind a state stands which half it takes."""
    await switched_to(party, 1)
    await party.commit(presigning())
    kept = KEPT["state of a presigning"]
    copy = dict(await kept.copied(raw))
    rows = await rows_of(party, sealer_of(raw.url))
    assert kept.opened(rows, copy) == SECRET
    copy["state"] = copy["state"][:-4] + (1).to_bytes(4)
    with pytest.raises(SealError, match="changed or moved"):
        kept.opened(rows, copy)
