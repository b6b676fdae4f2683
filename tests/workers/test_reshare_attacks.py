"""A coordinator that lies about epochs, a party that was shown out, and shares that come back: they
get no signature, no share, and no other key. For bundles that prove nothing see
`tests/session/test_epochs.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.results import Status
from contracts.terms import ReshareMember
from tests.protocols.simulate import reconstruct
from tests.workers.ecdsa import only_result, sender, sent
from tests.workers.reshares import (
    MESSAGE,
    NEW,
    OLD,
    ask,
    asked_by,
    bundle_of,
    epoch_of,
    failed,
    make,
    pass_,
    requests_expire,
    reshared,
    shares,
    sign,
)
from tests.workers.simulate import World, world
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import PartyIndex
from workers.session.coordinator import resharing
from workers.session.epochs import ENDS_S, SIGNS_ON_S, SWITCH_S
from workers.session.sending import instruction
from workers.store.records import KeyShareRecord, Outgoing

pytestmark = pytest.mark.long


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made


async def over(shire: World) -> None:
    """All that had to follow an epoch has followed."""
    for seconds in (SWITCH_S, SIGNS_ON_S - SWITCH_S, ENDS_S):
        await pass_(shire, seconds)


def told(messages: list[Outgoing]) -> dict[str, sessions.ReshareCreated]:
    """By party, what the coordinator says of a reshare."""
    return {
        message.routing_key: sessions.ReshareCreated.model_validate_json(message.body)
        for message in messages
    }


async def held_back(shire: World, key: CertifiedKey, **changes: Any) -> dict[str, Any]:
    """The invitations to a reshare that its owner asks for; nobody has them yet."""
    await ask(shire, key, **changes)
    waiting = [each for each in shire.network.waiting if each.kind == "reshare_created"]
    shire.network.waiting = []
    return told(waiting)


async def tell(shire: World, party_id: str, created: sessions.ReshareCreated) -> None:
    """With the coordinator's signature."""
    await shire.deliver(instruction(created, party_id, created.session_id))


def refusals(shire: World) -> dict[str, str]:
    """Party -> what it said last of a session that it took no part in."""
    return {
        sender(message): sessions.SessionFailed.model_validate_json(
            payload(message)
        ).failure.message
        for message in sent(shire, "session_failed")
    }


def payload(message: Outgoing) -> bytes:
    return UnverifiedEnvelope.from_bytes(message.body).claimed.payload


###
### A coordinator that tells two stories
###


async def test_of_two_committees_for_one_epoch_at_most_one_gets_it(shire: World) -> None:
    """Both are what the owner asked for, with other dealers. Each party is told of both, half of
    them of the one first."""
    key = await make(shire)
    invited = await held_back(shire, key, parties=NEW, threshold=3)
    first = next(iter(invited.values()))
    dealers = [each.party_id for each in first.terms.members if each.deals_as is not None]
    others = {"party-1", "party-2", "party-3"} - set(dealers[:1])
    second = retold(first, members=seats(shire, key.facts, others, NEW))
    assert first.session_id != second.session_id
    parties = list(shire.identities)
    for at, party_id in enumerate(parties):
        for created in (first, second) if at % 2 else (second, first):
            if party_id in {member.party_id for member in created.terms.members}:
                await tell(shire, party_id, created)
    await shire.run()
    assert any(
        "is not above 1, the highest of this key" in each for each in refusals(shire).values()
    )
    for party_id in parties:
        store = shire.party_stores[party_id]
        assert len(await store.epochs(key.facts.session_id)) <= 1
    certified = {
        sessions.EpochCertified.model_validate_json(payload(each)).key.facts.digest()
        for each in sent(shire, "epoch_certified")
    }
    assert len(certified) <= 1
    assert epoch_of(shire, await sign(shire, key, "bip340")) == 0
    # Whoever has begun one of them waits for it as long as it could be made.
    third = await ask(shire, key, parties=NEW, threshold=3, first_epoch=2)
    await shire.run()
    assert failed(shire, third)[0] is FailureCode.KEY_BUSY
    await requests_expire(shire)
    await reshared(shire, key, parties=NEW, threshold=3, first_epoch=3)
    await over(shire)
    assert epoch_of(shire, await sign(shire, key, "bip340")) == 3


def retold(created: sessions.ReshareCreated, **changes: Any) -> sessions.ReshareCreated:
    terms = created.terms.model_copy(update=changes)
    return created.model_copy(update={"terms": terms, "session_id": terms.session_id()})


def seats(
    shire: World, facts: KeyFacts, dealers: set[str], receivers: list[str]
) -> list[ReshareMember]:
    old = {holder.party_id: i for i, holder in enumerate(facts.holders, start=1)}
    names = sorted(dealers | set(receivers))
    return [
        ReshareMember(
            party_id=name,
            index=place,
            identity=shire.identities[name].public.der,
            deals_as=old[name] if name in dealers else None,
            receives_as=receivers.index(name) + 1 if name in receivers else None,
        )
        for place, name in enumerate(names, start=1)
    ]


async def test_a_newcomer_that_is_told_another_key_refuses(shire: World) -> None:
    """One that exists, and has the same owner."""
    key, other = await make(shire), await make(shire)
    invited = await held_back(shire, key, parties=NEW, threshold=3, dealers=OLD[:2])
    wrong = retold(
        invited["party-4"],
        key_session=other.facts.session_id,
        predecessor=other.facts.digest(),
    ).model_copy(update={"predecessor": other})
    invited["party-4"] = wrong
    for party_id, created in invited.items():
        await tell(shire, party_id, created)
    await shire.run()
    assert "the session's key is not the one that was asked for" in refusals(shire)["party-4"]
    assert "party-4" not in await shares(shire, key)
    assert "party-4" not in await shares(shire, other)
    assert sent(shire, "epoch_certified") == []
    assert epoch_of(shire, await sign(shire, key, "bip340")) == 0


async def test_what_one_is_told_otherwise_ends_before_anything_is_dealt(shire: World) -> None:
    """A split view within one session: the terms are as they are, the predecessor is another."""
    key, other = await make(shire), await make(shire)
    invited = await held_back(shire, key)
    invited["party-2"] = invited["party-2"].model_copy(update={"predecessor": other})
    for party_id, created in invited.items():
        await tell(shire, party_id, created)
    await shire.run()
    assert "name another key or epoch than the one sent along" in refusals(shire)["party-2"]
    assert sent(shire, "reshare/4") == []
    assert await shares(shire, key) == {name: {0: True} for name in OLD}


###
### Withheld
###


async def test_a_last_certificate_that_one_alone_sees_is_enough_for_all(shire: World) -> None:
    key = await make(shire)
    request = await ask(shire, key)

    def withheld(message: Outgoing) -> bool:
        return message.kind == "reshare/5" and message.routing_key != "party-1"

    await shire.run(dropped=withheld)
    assert {sender(each) for each in sent(shire, "epoch_certified")} == {"party-1"}
    assert bundle_of(shire, request).key.facts.epoch == 1
    assert await shares(shire, key) == {name: {0: True, 1: True} for name in OLD}
    await over(shire)
    assert await shares(shire, key) == {name: {1: True} for name in OLD}


async def test_an_epoch_whose_proof_is_withheld_never_signs_and_the_next_one_wins(
    shire: World,
) -> None:
    """There is none before the request has expired. Shown later it is believed by nobody who knows
    the next one, and by who does not, until it is shown that."""
    key = await make(shire)
    request = await ask(shire, key, dealers=OLD[:2])
    await shire.run(dropped=lambda message: message.kind == "epoch_proven")
    withheld = bundle_of(shire, request)
    assert await shares(shire, key) == {name: {0: True, 1: False} for name in OLD}
    await over(shire)
    assert await shares(shire, key) == {name: {0: True, 1: False} for name in OLD}
    await _forgets(shire, key)
    refused = await ask(shire, key, first_epoch=2, dealers=OLD[:2])
    await shire.run()
    assert failed(shire, refused)[0] is FailureCode.KEY_BUSY
    await requests_expire(shire)
    second = await ask(shire, key, first_epoch=3, dealers=OLD[:2])
    await shire.run(
        dropped=lambda each: each.kind == "epoch_proven" and each.routing_key == "party-3"
    )
    for message in resharing.proof(withheld, OLD, now=shire.clock()):
        await shire.deliver(message)
    found = await shares(shire, key)
    assert found["party-1"] == found["party-2"] == {0: True, 1: False, 3: True}
    assert found["party-3"] == {0: True, 1: True, 3: False}
    for message in resharing.proof(bundle_of(shire, second), OLD, now=shire.clock()):
        await shire.deliver(message)
    for _ in range(2):
        await over(shire)
    assert await shares(shire, key) == {name: {3: True} for name in OLD}
    assert epoch_of(shire, await sign(shire, key, "bip340")) == 3


async def _forgets(shire: World, key: CertifiedKey) -> None:
    """A coordinator that has the key go on from the epoch that it wants."""
    store: Any = shire.coordinator_store
    await store._database.execute(
        "UPDATE keys SET epoch = 0, certified = $1 WHERE key_session = $2",
        key.model_dump_json(),
        key.facts.session_id,
    )


###
### What is over
###


@pytest.mark.parametrize("blind", [False, True])
async def test_an_epoch_that_comes_back_from_a_backup_signs_nothing(
    shire: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blind: bool
) -> None:
    """Into an empty database; the party remembers what is over, or has lost both files that tell
    it; the coordinator asks by the old epoch."""
    key = await make(shire, "ed25519")
    store: Any = shire.party_stores["party-1"]
    backup = [store._rows.portable(each) for each in await store.sealed_key_shares()]
    bundle = await reshared(shire, key)
    await over(shire)
    for table in ("key_shares", "epochs", "certified_names"):
        await store._database.execute(f"DELETE FROM {table}")
    if blind:
        (tmp_path / "party-1.incarnation.epochs").unlink()
        (half,) = (tmp_path / "party-1.share-keys").rglob("*-0")
        half.unlink()
    await store.add_sealed_key_shares(backup)
    assert await shares(shire, key) == {
        "party-1": {0: blind},
        "party-2": {1: True},
        "party-3": {1: True},
    }
    with monkeypatch.context() as patched:
        asked_by(patched, key.facts)
        for signers in (OLD[:2], OLD[::2]):
            request = shire.sign_request(key_id=key.facts.key_id, message=MESSAGE, signers=signers)
            await shire.ask(request)
            await shire.run()
            assert only_result(shire, request).status is Status.FAILED
    # Asked honestly, it hears of the epoch, and has none of it: the others sign.
    request = shire.sign_request(key_id=key.facts.key_id, message=MESSAGE, signers=OLD[:2])
    await shire.ask(request)
    await shire.run()
    assert only_result(shire, request).status is Status.FAILED
    assert epoch_of(shire, await sign(shire, key, "ed25519")) == 1
    await reshared(shire, bundle.key, dealers=OLD[1:], tries=2)
    await over(shire)
    after = await shares(shire, key)
    assert after["party-1"] == after["party-2"]
    assert 0 not in after["party-1"]
    request = shire.sign_request(key_id=key.facts.key_id, message=MESSAGE, signers=OLD[:2])
    await shire.ask(request)
    await shire.run()
    assert only_result(shire, request).status is Status.COMPLETED


async def test_the_share_of_a_party_that_was_shown_out_is_none_beside_new_ones(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where the coordinator seats it among them, nor with t - 1 of theirs in its hands."""
    key = await make(shire, "ed25519")
    kept = await _share(shire, "party-1", key, 0)
    bundle = await reshared(shire, key, parties=NEW[:3])
    await over(shire)
    stolen = await _share(shire, "party-2", key, 1)
    another = await _share(shire, "party-3", key, 1)
    group = kept.group
    generator = group.generator
    assert reconstruct(_at((1, stolen), (2, another))) * generator == kept.public_key
    for place in (1, 2, 3):
        for mine in {1, 2, 3} - {place}:
            mixed = reconstruct(_at((mine, kept), (place, stolen)))
            assert mixed * generator != kept.public_key
    # As if it held a share of the new epoch.
    seated = [each.model_copy() for each in bundle.key.facts.holders]
    seated[0] = seated[0].model_copy(
        update={"party_id": "party-1", "identity": shire.identities["party-1"].public.der}
    )
    with monkeypatch.context() as patched:
        asked_by(patched, bundle.key.facts.model_copy(update={"holders": seated}))
        request = shire.sign_request(
            key_id=key.facts.key_id, message=MESSAGE, signers=["party-1", "party-3"]
        )
        await shire.ask(request)
        await shire.run()
        assert only_result(shire, request).status is Status.FAILED
    assert {sender(each) for each in sent(shire, "share_signed")} <= {"party-3"} | set(OLD)
    assert epoch_of(shire, await sign(shire, key, "ed25519")) == 1


async def _share(shire: World, party_id: str, key: CertifiedKey, epoch: int) -> KeyShare:
    record = await shire.party_stores[party_id].key_share(key.facts.session_id, epoch)
    assert isinstance(record, KeyShareRecord)
    return KeyShare.from_bytes(record.secret)


def _at(*shares: tuple[int, KeyShare]) -> dict[PartyIndex, KeyShare]:
    return {PartyIndex(i): share for i, share in shares}
