"""After an epoch is over, nothing opens its shares: no copy of the database of any time, with every
file of the party and the master key of afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from workers.store.interface import PartyStore, StoreUnavailableError
from workers.store.records import KeyShareRecord, Outcome
from workers.store.rows.party import PartyRows
from workers.store.sealing import ERASABLE_END, ErasedError, Kind, SealError
from workers.store.shared.party import SharedPartyStore

from .conftest import SEALER, RawDatabase, open_party, sealer_of, share_keys_of
from .examples import KEY, key_share, party_change, session_id
from .test_epochs import PROOFS, begin, certify, proven, switched_to, with_first_epoch

ROLE = "party"
OTHER = session_id("another key")


async def sealed_now(store: PartyStore) -> list[KeyShareRecord]:
    """The rows, as a dump, a base backup or a log has them."""
    return await store.sealed_key_shares()


async def test_no_copy_of_the_row_opens(party: PartyStore, raw: RawDatabase) -> None:
    await switched_to(party, 1)
    rows = PartyRows("party-1", sealer_of(raw.url))
    copies = await sealed_now(party)
    assert [each.epoch for each in copies] == [0, 1]
    assert {rows.opened(each).secret for each in copies} == {
        key_share().secret,
        b"share 1 of reshare",
    }

    assert await party.retire_epochs(KEY, 1, [], 50, "{}")
    before, now = copies
    assert rows.opened(now).secret == b"share 1 of reshare"
    with pytest.raises(ErasedError, match=r"epoch 0 .* is over"):
        rows.opened(before)
    # Nor with any other half that is on the disk, nor with none.
    halves = [path.read_bytes() for path in share_keys_of(raw.url).folder.rglob("*-*")]
    assert sorted(map(len, halves)) == [32, 32]
    place = KEY, b"party-1", bytes(4)
    for half in (*halves, None):
        with pytest.raises(SealError):
            SEALER.open_share(before.secret, *place, erasable=half)


async def test_of_the_row_a_file_of_sqlite_has_nothing_and_a_log_of_postgresql_still_all(
    party: PartyStore, raw: RawDatabase
) -> None:
    """The latter is why it has to be useless."""
    await switched_to(party, 1)
    before, _ = await sealed_now(party)
    assert await is_in_files(before.secret, raw)
    assert await party.retire_epochs(KEY, 1, [], 50, "{}")
    assert await is_in_files(before.secret, raw) is raw.on_postgres


async def is_in_files(secret: bytes, raw: RawDatabase) -> bool:
    """Or a part of it: a page of the log may end in the middle."""
    half = len(secret) // 2
    everything = await _in_files(raw)
    return any(part in everything for part in (secret[:half], secret[half:]))


async def _in_files(raw: RawDatabase) -> bytes:
    if raw.on_postgres:  # a private server of this machine
        ((folder,),) = await raw.query("SELECT current_setting('data_directory')")
        log = Path(folder) / "pg_wal"
        files = sorted(path for path in log.iterdir() if path.is_file())
    else:
        files = sorted(raw.path.parent.glob("store.db*"))
    return b"".join(file.read_bytes() for file in files)


async def test_a_killed_deletion_goes_on(party: PartyStore, url: str) -> None:
    """Erased, and then nothing more: the share is no more usable, the store opens, and who retires
    again finishes it."""
    await switched_to(party, 1)
    share_keys_of(url).erase_below(KEY, 1)
    over = await party.key_share(KEY, 0)
    assert over is not None
    assert (over.active, over.secret) == (False, b"")
    material = await party.signing_material(session_id("none"), key_session=KEY, epoch=0)
    assert material.key_share == over
    async with open_party(url) as other:
        await other.ping()
        assert [each.active for each in await other.key_shares()] == [False, True]
        assert await other.retire_epochs(KEY, 1, [], 50, "{}")
    assert await party.key_share(KEY, 0) is None


async def test_what_a_session_adds_in_the_last_moment_is_erased_too(
    party: PartyStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_first_epoch(party)
    await switched(party)
    keys, inside = share_keys_of(url), cast("SharedPartyStore", party)
    leave = inside._leave_behind

    async def left(key_session: bytes, below: int) -> bool:
        done = await leave(key_session, below)
        keys.make(key_session, 1)  # of a try that failed, in another process
        return done

    monkeypatch.setattr(party, "_leave_behind", left)
    assert await party.retire_epochs(KEY, 2, [], 50, "{}")
    assert keys.erased(KEY, 1)


async def switched(store: PartyStore) -> None:
    assert await store.commit(begin(2)) is Outcome.COMMITTED
    assert await store.commit(certify(2)) is Outcome.COMMITTED
    assert await store.certify_epoch(proven(2), PROOFS)
    assert await store.activate_epoch(KEY, 2, 40, 48)


async def test_another_keys_shares_stay(party: PartyStore) -> None:
    await switched_to(party, 1)
    await party.commit(party_change("other", key_share=key_share(key_session=OTHER, key_id="2")))
    assert await party.retire_epochs(KEY, 1, [], 50, "{}")
    assert await party.key_share(OTHER, 0) == key_share(key_session=OTHER, key_id="2")


async def test_without_the_folder_a_store_does_not_open(party: PartyStore, url: str) -> None:
    """It says so when it is opened, and not when the first signature is asked for."""
    await with_first_epoch(party)
    folder = share_keys_of(url).folder
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(SealError, match=r"put back the folder .*share_keys_folder"):
        async with open_party(url):
            pass
    with pytest.raises(SealError, match="put back the folder"):
        await party.ping()
    folder.with_name("elsewhere").rename(folder)
    async with open_party(url):
        await party.ping()


async def test_a_share_of_before_there_were_such_keys_opens(party: PartyStore, url: str) -> None:
    old = PartyRows("party-1", SEALER).sealed(key_share(certificates=PROOFS, active=True))
    assert await party.add_sealed_key_shares([old])
    await party.commit(party_change("new", key_share=key_share(key_session=OTHER, key_id="2")))
    assert await party.key_share(KEY, 0) == replace(old, secret=key_share().secret)
    folder = share_keys_of(url).folder
    folder.rename(folder.with_name("elsewhere"))
    # One of each kind is opened at the start, whichever comes first.
    with pytest.raises(SealError, match="put back the folder"):
        async with open_party(url):
            pass


async def test_a_folder_that_takes_nothing_is_as_a_database_that_is_away(
    party: PartyStore, url: str
) -> None:
    folder = share_keys_of(url).folder
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(StoreUnavailableError, match="is its volume mounted"):
        await with_first_epoch(party)
    assert await party.key_shares() == []
    folder.with_name("elsewhere").rename(folder)
    await with_first_epoch(party)


@pytest.mark.parametrize("kind", [Kind.NONCE, Kind.PRESIGNATURE, Kind.ROUND_STATE])
def test_either_half_alone_tells_nothing_of_what_tells_a_share(kind: Kind) -> None:
    half, place = bytes(range(32)), (KEY, b"party-1", bytes(4))
    sealed = SEALER.seal(kind, b"secret", *place, erasable=half)
    assert SEALER.open(kind, sealed, *place, erasable=half) == b"secret"
    for other in (None, bytes(32)):
        for each in (sealed, sealed.removesuffix(ERASABLE_END)):
            with pytest.raises(SealError, match="changed or moved"):
                SEALER.open(kind, each, *place, erasable=other)


def test_either_half_alone_tells_nothing() -> None:
    half, place = bytes(range(32)), (KEY, b"party-1", bytes(4))
    sealed = SEALER.seal_share(b"secret", *place, erasable=half)
    assert SEALER.open_share(sealed, *place, erasable=half) == b"secret"
    for other in (None, bytes(32)):
        with pytest.raises(SealError, match="changed or moved"):
            SEALER.open_share(sealed, *place, erasable=other)
    record = key_share(secret=sealed)
    with pytest.raises(SealError, match="share_keys_folder"):
        PartyRows("party-1", SEALER).opened(record)
