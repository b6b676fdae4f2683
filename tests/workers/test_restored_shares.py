"""A share that came from a backup is used when other holders say that it is of today."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from contracts.envelope import UnverifiedEnvelope
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey
from contracts.sessions import VoucherGiven, VoucherShown, VouchersWanted
from contracts.vouchers import Voucher
from tests.workers.ecdsa import sent
from tests.workers.reshares import MESSAGE, OLD, ask, failed, make, pass_, reshared, shares, sign
from tests.workers.simulate import World, world
from workers.party.vouching import ASKS_AGAIN_MS
from workers.session.sending import instruction, report
from workers.store.records import EpochStatus, KeyShareRecord, Outgoing, Parked, WordRecord
from workers.store.shared.party import tombstones_beside

CURVE = "ed25519"
LOST = "party-1"


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


async def backup(shire: World, party_id: str = LOST) -> list[KeyShareRecord]:
    return await shire.party_stores[party_id].sealed_key_shares()


async def restore(
    shire: World, folder: Path, kept: list[KeyShareRecord], party_id: str = LOST
) -> None:
    """Into an emptied database, by a party that remembers nothing else of its keys."""
    with closing(sqlite3.connect(folder / f"{party_id}.sqlite")) as file, file:
        for table in ("key_shares", "epochs", "nonces", "presignatures"):
            file.execute(f"DELETE FROM {table}")
    tombstones_beside(folder / f"{party_id}.incarnation").unlink(missing_ok=True)
    store = shire.party_stores[party_id]
    assert await store.add_sealed_key_shares(kept, suspended_at=shire.clock())


async def status(shire: World, key: CertifiedKey, party_id: str = LOST) -> dict[int, EpochStatus]:
    store = shire.party_stores[party_id]
    return {each.epoch: each.status for each in await store.epochs(key.facts.session_id)}


async def test_it_is_used_when_enough_others_have_vouched(shire: World, folder: Path) -> None:
    key = await make(shire, CURVE)
    await restore(shire, folder, await backup(shire))
    assert (await shares(shire, key))[LOST] == {0: False}
    assert await status(shire, key) == {0: EpochStatus.SUSPENDED}

    await pass_(shire, 0)
    await shire.run()
    assert (await shares(shire, key))[LOST] == {0: True}
    assert await status(shire, key) == {0: EpochStatus.ACTIVE}
    assert {each.routing_key.partition(".")[2] for each in sent(shire, "voucher_given")} == {
        "party-2",
        "party-3",
    }
    await sign(shire, key, CURVE)
    # And deals again, too.
    await reshared(shire, key, dealers=[LOST, "party-2"])
    assert (await shares(shire, key))[LOST] == {0: True, 1: True}
    assert shire.dead == []


async def test_until_then_it_is_not(shire: World, folder: Path) -> None:
    """Its party says why, and others sign. One voucher of two is not enough; it asks again."""
    key = await make(shire, CURVE)
    await restore(shire, folder, await backup(shire))
    await pass_(shire, 0)
    await shire.run(dropped=all_vouchers_but("party-2"))
    assert await status(shire, key) == {0: EpochStatus.SUSPENDED}

    request = shire.sign_request(key_id=key.facts.key_id, message=MESSAGE, signers=OLD[:2])
    await shire.ask(request)
    await shire.run()
    code, why = failed(shire, request)
    assert code is FailureCode.PARTY_REFUSED
    assert "was restored from a backup" in why

    await pass_(shire, ASKS_AGAIN_MS / 1000)
    await shire.run()
    assert await status(shire, key) == {0: EpochStatus.ACTIVE}
    await sign(shire, key, CURVE)


async def test_one_of_an_epoch_that_is_over_is_shown_what_is_newer(
    shire: World, folder: Path
) -> None:
    """By who was shown out, too, it is not used; and what is above it is believed."""
    key = await make(shire, CURVE)
    old = await backup(shire)
    await reshared(shire, key, parties=["party-1", "party-2", "party-4"])
    await pass_(shire, 61)
    await pass_(shire, 11)
    await restore(shire, folder, old)
    await pass_(shire, 0)
    # The coordinator would rather not show it.
    await shire.run(dropped=lambda message: message.kind == "epoch_proven")
    assert (await shares(shire, key))[LOST] == {0: False}
    assert await status(shire, key) == {0: EpochStatus.SUSPENDED}

    await pass_(shire, ASKS_AGAIN_MS / 1000)
    await shire.run()
    assert await status(shire, key) == {0: EpochStatus.SUSPENDED, 1: EpochStatus.CERTIFIED}
    await pass_(shire, 61)
    await pass_(shire, 11)
    assert LOST not in await shares(shire, key)
    assert await status(shire, key) == {0: EpochStatus.RETIRED, 1: EpochStatus.ACTIVE}


async def test_who_has_missed_several_sees_each_of_them(shire: World, folder: Path) -> None:
    key = await make(shire, CURVE)
    old = await backup(shire)
    for _ in range(2):
        bundle = await reshared(shire, key)
        key = bundle.key
        await pass_(shire, 61)
        await pass_(shire, 11)
    await restore(shire, folder, old)
    await pass_(shire, 0)
    await shire.run()
    seen = await status(shire, key)
    assert (seen[0], seen[2]) == (EpochStatus.SUSPENDED, EpochStatus.CERTIFIED)
    assert shire.dead == []


async def test_the_word_of_who_was_shown_out_is_not_enough(shire: World, folder: Path) -> None:
    """A coordinator that asks nobody else: who dealt the next epoch is never among them."""
    key = await make(shire, CURVE)
    old = await backup(shire)
    await reshared(shire, key, parties=["party-1", "party-2", "party-4"])
    await pass_(shire, 61)
    await pass_(shire, 11)
    await restore(shire, folder, old)
    (record,) = await shire.party_stores[LOST].epochs(key.facts.session_id)
    for _ in range(5):
        word = Voucher.signed(
            shire.identities["party-3"],
            "party-3",
            asked_by=LOST,
            key_session=record.key_session,
            epoch=0,
            nonce=record.session_id,
            newest=0,
            at=shire.clock(),
        )
        told = VoucherShown(session_id=record.session_id, issued_at=shire.clock(), voucher=word)
        await shire.deliver(instruction(told, LOST, record.session_id))
    assert await status(shire, key) == {0: EpochStatus.SUSPENDED}
    assert (await shares(shire, key))[LOST] == {0: False}
    assert shire.dead == []


async def test_what_else_is_parked_under_the_number_is_no_voucher(
    shire: World, folder: Path
) -> None:
    """Any party may send a message of a session that is not there yet."""
    key = await make(shire, CURVE)
    await restore(shire, folder, await backup(shire))
    (record,) = await shire.party_stores[LOST].epochs(key.facts.session_id)
    for junk in ("party-4", "party-5"):
        parked = Parked(session_id=record.session_id, sender=junk, slot="keygen/1", body=b"{}")
        store = shire.party_stores[LOST]
        assert await store.park(parked, max_count=9, max_bytes=99, now=shire.clock())
    await pass_(shire, 0)
    await shire.run(dropped=all_vouchers_but("party-2"))
    assert await status(shire, key) == {0: EpochStatus.SUSPENDED}


async def test_what_was_said_too_long_ago_counts_no_more(shire: World, folder: Path) -> None:
    key = await make(shire, CURVE)
    await restore(shire, folder, await backup(shire))
    again_s = ASKS_AGAIN_MS / 1000
    for pause_s, heard in ((0, "party-2"), (400, "party-3"), (again_s, "party-2")):
        await pass_(shire, pause_s)
        await shire.run(dropped=all_vouchers_but(heard))
        assert await status(shire, key) == {0: EpochStatus.SUSPENDED}
    # The first word was too old for the second, and stood in the way of the third. All once more:
    await pass_(shire, again_s)
    await shire.run()
    assert await status(shire, key) == {0: EpochStatus.ACTIVE}


def all_vouchers_but(party_id: str) -> Callable[[Outgoing], bool]:
    return lambda message: message.kind == "voucher_given" and party_id not in message.routing_key


async def test_a_try_that_came_to_nothing_does_not_keep_it_out(shire: World, folder: Path) -> None:
    """The usual order: a party is lost, a reshare with it fails, and then it is restored."""
    key = await make(shire, CURVE)
    kept = await backup(shire)
    await ask(shire, key)
    await shire.run(dropped=lambda message: message.routing_key == LOST)
    await restore(shire, folder, kept)
    await pass_(shire, 0)
    await shire.run()
    assert (await status(shire, key))[0] == EpochStatus.ACTIVE


async def test_proof_of_a_later_epoch_outweighs_all_that_is_said(
    shire: World, folder: Path
) -> None:
    key = await make(shire, CURVE)
    kept = await backup(shire)
    await reshared(shire, key)
    await restore(shire, folder, kept)
    await pass_(shire, 0)
    await shire.run(dropped=lambda message: message.kind == "voucher_given")
    assert (await status(shire, key))[1] == EpochStatus.CERTIFIED
    assert not await shire.party_stores[LOST].resume_epoch(key.facts.session_id, 0, shire.clock())


async def test_what_is_restored_at_a_later_epoch_deals_again_and_is_named_in_statements(
    shire: World, folder: Path
) -> None:
    key = await make(shire, CURVE)
    bundle = await reshared(shire, key)
    await pass_(shire, 61)
    await pass_(shire, 11)
    await restore(shire, folder, await backup(shire))
    await pass_(shire, 0)
    await shire.run()
    store = shire.party_stores[LOST]
    assert await status(shire, key) == {1: EpochStatus.ACTIVE}
    made = bundle.key.facts.reshared
    assert made is not None
    words = [WordRecord(1, made.session_id)]
    assert await store.signing_epochs(key.facts.session_id) == words
    held = await shire.parties[LOST].epochs.held(key.facts.session_id)
    assert held.active is not None
    assert held.active.epoch == bundle.key.facts.epoch


async def test_who_restored_does_not_vouch(shire: World, folder: Path) -> None:
    key = await make(shire, CURVE)
    for party_id in ("party-1", "party-2"):
        await restore(shire, folder, await backup(shire, party_id), party_id)
    await pass_(shire, 0)
    await shire.run()
    for party_id in ("party-1", "party-2"):
        assert await status(shire, key, party_id) == {0: EpochStatus.SUSPENDED}
    # Whoever knows that there is nothing newer says so where it is.
    store = shire.party_stores["party-1"]
    assert await store.resume_epoch(key.facts.session_id, 0, shire.clock())
    assert not await store.resume_epoch(key.facts.session_id, 0, shire.clock())
    await pass_(shire, ASKS_AGAIN_MS / 1000)
    await shire.run()
    assert await status(shire, key, "party-2") == {0: EpochStatus.ACTIVE}


async def test_a_refresh_gives_it_a_share_without_it(shire: World, folder: Path) -> None:
    key = await make(shire, CURVE)
    await restore(shire, folder, await backup(shire))
    await reshared(shire, key, dealers=["party-2", "party-3"])
    await pass_(shire, 61)
    await pass_(shire, 11)
    assert (await shares(shire, key))[LOST] == {1: True}


async def test_a_forged_one_is_refused(shire: World, folder: Path) -> None:
    key = await make(shire, CURVE)
    await restore(shire, folder, await backup(shire))
    (record,) = await shire.party_stores[LOST].epochs(key.facts.session_id)
    await pass_(shire, 0)
    await shire.run(dropped=lambda message: message.kind == "voucher_shown")
    (true, *_) = [each for each in shire.network.sent if each.kind == "voucher_shown"]
    told = VoucherShown.model_validate_json(true.body)
    lie = told.voucher.model_copy(update={"party_id": "party-3", "at": told.voucher.at + 1})
    await shire.deliver(
        instruction(told.model_copy(update={"voucher": lie}), LOST, record.session_id)
    )
    assert await status(shire, key) == {0: EpochStatus.SUSPENDED}
    assert [why for _, why in shire.dead] != []


async def test_the_coordinator_carries_little(shire: World, folder: Path) -> None:
    """The same question within a second is asked once, one about no key of ours not at all, and
    what is for a party that is not there goes nowhere."""
    key = await make(shire, CURVE)
    await restore(shire, folder, await backup(shire))
    await pass_(shire, 0)
    (wanted,) = [each for each in shire.network.waiting if each.kind == "vouchers_wanted"]
    for _ in range(3):
        await shire.deliver(wanted)
    assert len(sent(shire, "voucher_asked")) == 2
    await shire.run()
    (given, *_) = sent(shire, "voucher_given")
    shown = len(sent(shire, "voucher_shown"))
    await shire.deliver(given)
    assert len(sent(shire, "voucher_shown")) == shown

    voucher = VoucherGiven(
        voucher=Voucher.signed(
            shire.identities["party-2"],
            "party-2",
            asked_by="mallory",
            key_session=key.facts.session_id,
            epoch=0,
            nonce=bytes(32),
            newest=0,
            at=shire.clock(),
        )
    )
    await shire.deliver(
        report(
            voucher,
            identity=shire.identities["party-2"],
            party_id="party-2",
            session_id=bytes(32),
        )
    )
    assert len(sent(shire, "voucher_shown")) == shown
    assert shire.dead == []
    # One in another's name goes nowhere, and does not stand in the true one's way.
    (true, *_) = [each for each in sent(shire, "voucher_given") if "party-2" in each.routing_key]
    said = VoucherGiven.model_validate_json(
        UnverifiedEnvelope.from_bytes(true.body).claimed.payload
    )
    for told in (said, VoucherGiven(voucher=said.voucher.model_copy(update={"epoch": 9}))):
        sender = "party-5" if told is said else "party-2"
        await shire.deliver(
            report(
                told,
                identity=shire.identities[sender],
                party_id=sender,
                session_id=said.voucher.nonce,
            )
        )
    assert [why for _, why in shire.dead] == [
        "party-5 brings a voucher of party-2",
        "wrong signature",
    ]
    shire.dead.clear()
    # And who holds no share of the key asks in vain.
    foreign = VouchersWanted(key_session=key.facts.session_id, epoch=0)
    asked = len(sent(shire, "voucher_asked"))
    await shire.deliver(
        report(
            foreign,
            identity=shire.identities["party-5"],
            party_id="party-5",
            session_id=bytes(32),
        )
    )
    assert len(sent(shire, "voucher_asked")) == asked
    await ask(shire, key, parties=OLD)  # and goes on with everything else
    await shire.run()
