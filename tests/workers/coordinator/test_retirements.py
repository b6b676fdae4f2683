"""After a reshare: who has said that its shares of before are deleted, who is asked again, and what
the key's owner is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import sessions
from contracts.admission import ClientPolicy
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.keys import CertifiedKey
from contracts.results import QueryKeyHistoryResult
from contracts.retirements import Retirement
from tests.workers.callers import answered, wish
from tests.workers.coordinator.test_tenants import allow
from tests.workers.ecdsa import sent
from tests.workers.reshares import NEW, OLD, make, pass_, reshared
from tests.workers.simulate import World, world
from tests.workers.tries import everyone_is_alive
from workers.coordinator import histories
from workers.coordinator.retirements import SHOWN_TO_THE_SILENT
from workers.session.coordinator.resharing import RETIRED_S
from workers.session.epochs import ENDS_S, SIGNS_ON_S, SWITCH_S
from workers.session.sending import report
from workers.store.records import Outgoing

pytestmark = pytest.mark.long

HOURLY_S = 3600


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made


def to(party_id: str, kind: str = "epoch_proven") -> Callable[[Outgoing], bool]:
    """Of what is never to arrive; a report's routing key has its kind in front."""
    keys = {party_id, f"{kind}.{party_id}"}
    return lambda message: message.kind == kind and message.routing_key in keys


async def go_over(shire: World, **lost: Any) -> None:
    """All the time that it takes to delete, and to tell."""
    for seconds in (SIGNS_ON_S, ENDS_S, 0):
        await pass_(shire, seconds)
        await shire.run(**lost)


async def history(shire: World, key: CertifiedKey, **fields: Any) -> QueryKeyHistoryResult:
    asked = wish(shire, "query_key_history", **({"key_id": key.facts.key_id} | fields))
    return await answered(shire, asked, QueryKeyHistoryResult)


async def who_told(shire: World, key: CertifiedKey) -> dict[int, list[str]]:
    """By epoch, of its former holders."""
    told = await history(shire, key)
    return {
        view.facts.epoch: sorted(each.party_id for each in view.retirements) for view in told.epochs
    }


async def open_ones(shire: World, key: CertifiedKey) -> list[str]:
    found = await shire.coordinator_store.retirements(key.facts.session_id)
    return [each.party_id for each in found if each.retirement is None]


def shown(shire: World, party_id: str) -> int:
    return sum(message.routing_key == party_id for message in sent(shire, "epoch_proven"))


async def watch(shire: World, seconds: float, **lost: Any) -> None:
    """With everybody there, as far as signs of life tell."""
    shire.clock.offset_ms += int(seconds * 1000)
    await everyone_is_alive(shire)
    await shire.retirements.tend()
    await shire.run(**lost)


###
### Who has told
###


async def test_an_owner_is_told_which_former_holders_have_deleted(shire: World) -> None:
    key = await make(shire, "ed25519")
    made_at = shire.clock()
    bundle = await reshared(shire, key, parties=NEW, threshold=3)
    assert await who_told(shire, key) == {1: [], 0: []}
    await go_over(shire)
    told = await history(shire, key)
    assert told.key == bundle.key
    assert [view.facts for view in told.epochs] == [bundle.key.facts, key.facts]
    newest, first = told.epochs
    assert (newest.made_at, newest.signs_from) == (made_at, made_at + int(SWITCH_S * 1000))
    assert (first.made_at, first.signs_from, first.retirements) == (None, None, [])
    assert [each.party_id for each in newest.retirements] == OLD
    for said in newest.retirements:
        said.verify(
            shire.identities[said.party_id].public,
            party_id=said.party_id,
            key_session=key.facts.session_id,
            epoch=1,
        )
        assert said.retired_at == made_at + int((SIGNS_ON_S + ENDS_S) * 1000)
    # Who has its first share is asked, too: it tells that it knows of the epoch.
    assert await open_ones(shire, key) == []
    before = len(shire.network.sent)
    await watch(shire, 10 * HOURLY_S)
    assert len(shire.network.sent) == before, "nothing is shown any more"
    assert shire.dead == []


async def test_one_word_counts_for_all_epochs_below(shire: World) -> None:
    """One epoch follows another at once, and who holds a share of both retires both together."""
    key = await make(shire, "ed25519")
    first = await reshared(shire, key)
    await reshared(shire, first.key, parties=NEW)
    for _ in range(3):
        await go_over(shire)
    assert await who_told(shire, key) == {2: OLD, 1: OLD, 0: []}
    told = (await history(shire, key)).epochs[1].retirements
    assert {each.below for each in told} <= {1, 2}


###
### Who has not
###


async def test_a_leaver_that_heard_of_nothing_is_shown_it_until_it_has_told(shire: World) -> None:
    key = await make(shire, "ed25519")
    await everyone_is_alive(shire)
    request = shire.reshare_request(key.facts, parties=NEW)
    await shire.ask(request)
    await shire.run(dropped=to("party-1"))
    await go_over(shire, dropped=to("party-1"))
    assert await who_told(shire, key) == {1: ["party-2", "party-3"], 0: []}
    assert await open_ones(shire, key) == ["party-1"]
    await watch(shire, RETIRED_S - SIGNS_ON_S - ENDS_S)
    assert shown(shire, "party-1") == 2
    await go_over(shire)
    assert (await who_told(shire, key))[1] == OLD
    assert await shire.party_stores["party-1"].key_shares() == []


async def test_a_word_that_was_lost_is_said_again(shire: World) -> None:
    """After the broker had it: the party's own store owes nothing any more."""
    key = await make(shire, "ed25519")
    await reshared(shire, key)
    await go_over(shire, dropped=to("party-3", "epochs_retired"))
    assert (await who_told(shire, key))[1] == ["party-1", "party-2"]
    store = shire.party_stores["party-3"]
    assert await store.retirements_due(shire.clock(), 10) == []
    await watch(shire, RETIRED_S - SIGNS_ON_S - ENDS_S)
    assert (await who_told(shire, key))[1] == OLD
    assert [shown(shire, name) for name in OLD] == [1, 1, 2]


async def test_it_is_shown_ever_more_seldom(shire: World) -> None:
    key = await make(shire, "ed25519")
    await reshared(shire, key)
    lost = {"dropped": to("party-3", "epochs_retired")}
    await go_over(shire, **lost)
    told = shown(shire, "party-3")
    await watch(shire, RETIRED_S - SIGNS_ON_S - ENDS_S, **lost)
    for pause_s in (10, 60, 600, HOURLY_S, HOURLY_S, HOURLY_S):
        told += 1
        assert shown(shire, "party-3") == told
        await watch(shire, pause_s - 1, **lost)
        assert shown(shire, "party-3") == told
        await watch(shire, 1, **lost)
    assert await open_ones(shire, key) == ["party-3"]
    assert shown(shire, "party-1") == 1


async def test_a_silent_party_finds_it_when_it_is_there_again(shire: World) -> None:
    key = await make(shire, "ed25519")
    await reshared(shire, key)
    await go_over(shire, dropped=to("party-3", "epochs_retired"))

    def away(message: Outgoing) -> bool:
        return message.routing_key == "party-3"

    for _ in range(10):
        shire.clock.offset_ms += HOURLY_S * 1000
        await shire.retirements.tend()
        await shire.run(dropped=away)
    assert shown(shire, "party-3") == 1 + SHOWN_TO_THE_SILENT
    for seconds in (0, 1, 1):
        shire.clock.offset_ms += seconds * 1000
        alive = sessions.PartyAlive(at=shire.clock())
        await say(shire, "party-3", alive)
        await shire.retirements.tend()
    assert shown(shire, "party-3") == 2 + SHOWN_TO_THE_SILENT, "once, with the first sign"
    await shire.run()
    assert await open_ones(shire, key) == []


async def test_one_that_comes_and_goes_all_the_time_does_not_stand_before_the_others(
    shire: World,
) -> None:
    key = await make(shire, "ed25519")
    await reshared(shire, key)
    await go_over(shire, dropped=to("party-3", "epochs_retired"))
    before = shown(shire, "party-3")
    for _ in range(20):
        shire.clock.offset_ms += 20_000
        await say(shire, "party-3", sessions.PartyAlive(at=shire.clock()))
        await shire.retirements.tend()
    # As everybody after ten seconds, a minute and ten, and once for coming back.
    assert shown(shire, "party-3") - before <= 4


async def test_one_that_is_none_of_our_parties_any_more_is_listed_and_left_alone(
    shire: World,
) -> None:
    key = await make(shire, "ed25519")
    await reshared(shire, key, parties=NEW)
    await go_over(shire, dropped=to("party-1", "epochs_retired"))
    parties = {name: peer for name, peer in shire.retirements._parties.items() if name in NEW}
    shire.retirements._parties = parties
    await watch(shire, HOURLY_S)
    assert shown(shire, "party-1") == 1
    assert await open_ones(shire, key) == ["party-1"]


###
### What is not believed
###


async def say(shire: World, party_id: str, content: sessions.Report) -> None:
    identity = shire.identities[party_id]
    await shire.deliver(report(content, identity=identity, party_id=party_id))


async def test_of_what_a_party_says_only_its_own_word_on_its_own_shares_is_kept(
    shire: World,
) -> None:
    key = await make(shire, "ed25519")
    await reshared(shire, key)
    session = key.facts.session_id

    def said(name: str, by: Identity, of: bytes = session) -> sessions.EpochsRetired:
        word = Retirement.signed(by, name, of, 1, retired_at=1, backed_up_at=None)
        return sessions.EpochsRetired(retirement=word)

    one, two = shire.identities["party-1"], shire.identities["party-2"]
    good = said("party-1", one)
    later = good.retirement.model_copy(update={"below": 2})
    for name, content, reason in (
        ("party-2", good, "party-1 says it, and not party-2"),
        ("party-1", said("party-1", two), "wrong signature"),
        ("party-1", sessions.EpochsRetired(retirement=later), "wrong signature"),
        ("party-1", said("party-1", one, of=bytes(32)), "nothing to delete of a key"),
        ("party-5", said("party-5", shire.identities["party-5"]), "nothing to delete of a key"),
    ):
        await say(shire, name, content)
        _, told = shire.dead.pop()
        assert reason in told
    assert await who_told(shire, key) == {1: [], 0: []}
    await say(shire, "party-1", good)
    await say(shire, "party-1", good)
    assert shire.dead == []
    assert await who_told(shire, key) == {1: ["party-1"], 0: []}


###
### Who may ask
###


async def test_a_key_of_before_any_reshare_has_one_epoch(shire: World) -> None:
    key = await make(shire, "ed25519")
    told = await history(shire, key)
    assert told.key == key
    assert [view.facts for view in told.epochs] == [key.facts]


async def test_a_history_comes_in_pages(shire: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await make(shire, "ed25519")
    bundle = await reshared(shire, key)
    (newest, first) = (await history(shire, key)).epochs
    monkeypatch.setattr(histories, "PAGE_BYTES", len(newest.model_dump_json()) + 1)
    page = await history(shire, key)
    assert (page.epochs, page.more) == ([newest], True)
    page = await history(shire, key, before=1)
    assert (page.key, page.epochs, page.more) == (bundle.key, [first], False)


async def test_somebody_elses_key_is_an_operators_business_only(shire: World) -> None:
    key = await make(shire, "ed25519")
    stranger, operator = Identity.generate(), Identity.generate()
    allow(
        shire,
        ClientPolicy(identity=stranger.public, client_id="svcB"),
        ClientPolicy(identity=operator.public, client_id="ops", operator=True),
    )
    by_session = {"key_id": None, "key_session": key.facts.session_id}
    assert (await history(shire, key, **by_session)).key == key
    theirs: Any = {"by": stranger, "client_id": "svcB"}
    for names in ({}, by_session):
        told = await history(shire, key, **names, **theirs)
        assert told.failure is not None
        assert told.failure.code is FailureCode.UNKNOWN_KEY
        assert told.key is None
    ops: Any = {"by": operator, "client_id": "ops"}
    assert (await history(shire, key, **by_session, **ops)).key == key
    assert (await history(shire, key, **ops)).key is None, "by its id, it is another's"
