"""Each of the causes why a reshare loses no key, and no share of before is used: without it, in the
very case that it is there for, a judge that knows nothing of it says what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.envelope import UnverifiedEnvelope
from contracts.keys import CertifiedKey, EpochBundle, Holder, KeyFacts, Resharing
from contracts.verification import check_key
from tests.workers.ecdsa import sent
from tests.workers.reshares import MESSAGE, OLD, ask, asked_by, make, pass_, reshared, shares
from tests.workers.simulate import CLIENT, World, world
from workers.party import switching
from workers.protocols.groups import ED25519
from workers.session.coordinator import resharing
from workers.session.epochs import ENDS_S, SIGNS_ON_S
from workers.session.party import signing
from workers.store.share_keys import ShareKeys
from workers.store.sqlite.party import SqlitePartyStore
from workers.store.tombstones import Tombstones

pytestmark = pytest.mark.long

Patch = pytest.MonkeyPatch
LOST, WITHOUT, REVIVED = "key lost", "certified without a share", "old share used"


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made


###
### The judge
###


async def broken(shire: World, key: CertifiedKey, over: int = 0) -> set[str]:
    """
    Arguments:
        over: Every epoch below it is, for all of its holders.
    """
    found = set()
    usable: dict[int, set[str]] = {}
    for party_id, own in (await shares(shire, key)).items():
        for epoch, active in own.items():
            usable.setdefault(epoch, set()).update({party_id} if active else ())
    if all(len(holders) < key.facts.threshold for holders in usable.values()):
        found.add(LOST)
    for party_id, store in shire.party_stores.items():
        for each in await store.epochs(key.facts.session_id):
            if each.bundle is None:
                continue
            facts = EpochBundle.model_validate_json(each.bundle).key.facts
            holds = {holder.party_id for holder in facts.holders}
            if party_id in holds and party_id not in usable.get(each.epoch, ()):
                found.add(WITHOUT)
    for message in sent(shire, "share_signed"):
        if UnverifiedEnvelope.from_bytes(message.body).claimed.epoch < over:
            found.add(REVIVED)
    return found


###
### The cases
###


async def fails_at_the_end(shire: World) -> set[str]:
    """All have stored their shares, and no certificate reaches anybody."""
    key = await make(shire, "ed25519")
    await ask(shire, key)
    await shire.run(dropped=lambda each: each.kind == "reshare/5")
    await pass_(shire, 60)
    return await broken(shire, key)


async def killed_at_the_end(shire: World) -> set[str]:
    """A receiver, in the step in which it stores its share; what it heard comes again once the
    others are done."""
    key = await make(shire, "ed25519")
    killed: list[str] = []
    store: Any = shire.party_stores["party-2"]
    commit = store.commit

    async def dies(change: Any) -> Any:
        if change.key_share is not None and not killed:
            killed.append(change.cause)
            await before_disk(shire, change)
            raise asyncio.CancelledError
        return await commit(change)

    store.commit = dies
    late: list[Any] = []
    bag: Any = shire
    deliver = bag.deliver

    async def deliver_or_die(message: Any) -> None:
        try:
            await deliver(message)
        except asyncio.CancelledError:
            late.append(message)

    bag.deliver = deliver_or_die
    await ask(shire, key)
    await shire.run()
    assert killed
    shire.network.waiting += late
    await shire.run()
    return await broken(shire, key)


async def before_disk(shire: World, change: Any) -> None:
    """What is sent before it is stored: nothing."""


async def asked_by_the_old_epoch(shire: World) -> set[str]:
    """While the shares of before are still there, so that what was begun with them can end."""
    key = await make(shire, "ed25519")
    await reshared(shire, key)
    await pass_(shire, SIGNS_ON_S)
    await _ask_by(shire, key.facts)
    return await broken(shire, key, over=1)


async def restored_from_before(shire: World) -> set[str]:
    """Two parties, from backups, into empty databases."""
    key = await make(shire, "ed25519")
    stores: list[Any] = [shire.party_stores[name] for name in OLD[:2]]
    backups = [await store.sealed_key_shares() for store in stores]
    await reshared(shire, key)
    for seconds in (SIGNS_ON_S, ENDS_S):
        await pass_(shire, seconds)
    for store, backup in zip(stores, backups, strict=True):
        for table in ("key_shares", "epochs", "certified_names"):
            await store._database.execute(f"DELETE FROM {table}")
        assert await store.add_sealed_key_shares(backup)
    await _ask_by(shire, key.facts)
    # With two databases emptied the epoch that signs is lost, whatever comes back.
    return await broken(shire, key, over=1) - {LOST}


async def shown_what_colluders_certify(shire: World) -> set[str]:
    """Two pinned parties and the coordinator: an epoch of which nobody has a share."""
    key = await make(shire, "ed25519")
    bundle = _invented(shire, key)
    for message in resharing.proof(bundle, OLD, now=shire.clock()):
        await shire.deliver(message)
    for seconds in (SIGNS_ON_S, ENDS_S):
        await pass_(shire, seconds)
    return await broken(shire, key)


async def _ask_by(shire: World, facts: KeyFacts) -> None:
    with pytest.MonkeyPatch.context() as patched:
        asked_by(patched, facts)
        request = shire.sign_request(key_id=facts.key_id, message=MESSAGE, signers=OLD[:2])
        await shire.ask(request)
        await shire.run()


def _invented(shire: World, key: CertifiedKey) -> EpochBundle:
    """On a line through the key: at 0 it is the key, at 1 something."""
    colluders = ("party-4", "party-5")
    known = key.facts
    public_key = ED25519.point_from_bytes_checked(known.public_key)
    first = ED25519.scalar(11) * ED25519.generator
    points = (first, first + first - public_key)
    facts = known.model_copy(
        update={
            "version": 3,
            "epoch": 1,
            "holders": [
                Holder(
                    party_id=name,
                    identity=shire.identities[name].public.der,
                    public_share=point.to_bytes(),
                )
                for name, point in zip(colluders, points, strict=True)
            ],
            "reshared": Resharing(
                session_id=bytes(32), predecessor=known.digest(), dealers=OLD[:2]
            ),
        }
    )
    certificates = {name: facts.certify(shire.identities[name]) for name in colluders}
    return EpochBundle(
        request=b"{}",
        request_signature=b"",
        predecessor=key,
        key=CertifiedKey(facts=facts, certificates=certificates),
        possessions=dict.fromkeys(colluders, b""),
        dealt=dict.fromkeys(OLD[:2], b""),
    )


###
### What is left out
###


def deletes_early(patch: Patch) -> None:
    """With the certificate, and not with the proof that all have certified."""
    store: Any = SqlitePartyStore
    commit = store.commit

    async def commit_and_delete(self: Any, change: Any) -> Any:
        outcome = await commit(self, change)
        if change.key_share is not None and change.key_share.epoch:
            await self._database.execute(
                "DELETE FROM key_shares WHERE key_session = $1 AND epoch < $2",
                change.key_share.key_session,
                change.key_share.epoch,
            )
        return outcome

    patch.setattr(store, "commit", commit_and_delete)


def certifies_before_disk(patch: Patch) -> None:
    async def publish(shire: World, change: Any) -> None:
        await shire.network.publish_all(change.outgoing)

    patch.setattr(__name__ + ".before_disk", publish)


def accepts_an_old_epoch(patch: Patch) -> None:
    patch.setattr(signing, "usable", lambda share: share)


def forgets_the_tombstone(patch: Patch) -> None:
    """Neither file tells what is over."""
    patch.setattr(Tombstones, "rise", lambda *_: None)
    patch.setattr(ShareKeys, "erase_below", lambda *_: None)


def trusts_certificates(patch: Patch) -> None:
    def check(bundle: EpochBundle, known: KeyFacts, *, pinned: Any, owners: Any) -> None:
        check_key(bundle.key, pinned=pinned, client_id=CLIENT, tenant=None)

    patch.setattr(switching, "check_bundle", check)


CASES: dict[str, tuple[Callable[[World], Awaitable[set[str]]], Callable[[Patch], None], str]] = {
    "delete early": (fails_at_the_end, deletes_early, LOST),
    "certify before disk": (killed_at_the_end, certifies_before_disk, WITHOUT),
    "accept an old epoch": (asked_by_the_old_epoch, accepts_an_old_epoch, REVIVED),
    "forget the tombstone": (restored_from_before, forgets_the_tombstone, REVIVED),
    "trust certificates": (shown_what_colluders_certify, trusts_certificates, LOST),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "without"])
async def test_each_cause_is_missed_where_it_is_left_out(
    shire: World, monkeypatch: Patch, name: str, whole: bool
) -> None:
    case, leave_out, rule = CASES[name]
    if not whole:
        leave_out(monkeypatch)
    assert await case(shire) == (set() if whole else {rule})
