"""A party that other coordinators know, and this one does not: nothing is lost, nothing refused
before the others were asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts import addresses, sessions
from contracts.allowances import Allowance
from contracts.errors import UnauthenticatedError
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.results import CancelResult
from tests.workers.callers import answer, wish
from tests.workers.crew import clients, peers
from tests.workers.ecdsa import sender, sent
from tests.workers.simulate import LIMITS, World, world
from tests.workers.tries import everyone_is_alive
from workers.coordinator.liveness import KNOWN_FOR
from workers.coordinator.wiring import Coordinator
from workers.delivery.deliveries import GIVEN_ON, Delivery, ElsewhereError, Ended, settle
from workers.delivery.strangers import Strangers
from workers.session.sending import report

THIRD = "party-3"


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
        made.dead.clear()


def forget(shire: World, *consumers: Any) -> None:
    """As a coordinator whose configuration lacks the third party."""
    for consumer in consumers:
        consumer._parties = {
            party_id: peer for party_id, peer in consumer._parties.items() if party_id != THIRD
        }


def delivery(body: bytes, *, attempts: int) -> Delivery:
    return Delivery(
        queue=addresses.REPORTS_QUEUE,
        kind="report",
        body=body,
        headers={},
        routing_key="",
        message_id="m",
        attempts=attempts,
    )


async def report_of_the_third(shire: World) -> bytes:
    """Of a session that all know."""
    await everyone_is_alive(shire)
    await shire.ask(shire.keygen_request())
    found: list[bytes] = []

    def caught(message: Any) -> bool:
        if message.exchange == addresses.REPORTS and sender(message) == THIRD:
            found.append(message.body)
        return False

    await shire.run(dropped=caught)
    return found[0]


async def test_its_reports_are_given_on_and_at_last_are_a_strangers(shire: World) -> None:
    body = await report_of_the_third(shire)
    forget(shire, shire.reports)
    for attempts in range(GIVEN_ON):
        with pytest.raises(ElsewhereError, match="another coordinator may know it"):
            await shire.reports.handle(delivery(body, attempts=attempts))
    with pytest.raises(UnauthenticatedError, match="not one of our parties"):
        await shire.reports.handle(delivery(body, attempts=GIVEN_ON))


async def test_so_many_a_second_are_given_on_and_no_more(shire: World) -> None:
    body = await report_of_the_third(shire)
    forget(shire, shire.reports)
    shire.reports._given_on = Allowance(2, lambda: 0.0)
    for _ in range(2):
        with pytest.raises(ElsewhereError):
            await shire.reports.handle(delivery(body, attempts=0))
    with pytest.raises(UnauthenticatedError):
        await shire.reports.handle(delivery(body, attempts=0))


async def test_its_signs_of_life_are_no_dead_letters_and_noted_in_the_log_now_and_then(
    shire: World, caplog: pytest.LogCaptureFixture
) -> None:
    forget(shire, shire.reports)
    alive = report(
        sessions.PartyAlive(at=shire.clock()), identity=shire.identities[THIRD], party_id=THIRD
    )
    for _ in range(5):
        await shire.reports.handle(delivery(alive.body, attempts=0))
    assert caplog.text.count("sign of life of a party that we do not know") == 1
    assert THIRD not in shire.liveness.alive()


async def test_what_is_given_on_goes_back_to_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(_: Delivery) -> None:
        raise ElsewhereError("another may know")

    monkeypatch.setattr("workers.delivery.deliveries.FIRST_DELAY_S", 0)
    publisher: Any = None
    ended = await settle(
        delivery(b"", attempts=0), elsewhere, publisher, Strangers(addresses.REPORTS_QUEUE)
    )
    assert ended is Ended.RETURNED


@pytest.mark.parametrize("named", [True, False])
async def test_a_key_for_more_parties_than_we_know_is_left_to_others_while_there_are_more(
    shire: World, named: bool
) -> None:
    await everyone_is_alive(shire)
    forget(shire, shire.requests)
    parties = sorted(shire.identities) if named else None
    request = shire.keygen_request(parties=parties)
    with pytest.raises(ElsewhereError, match="another coordinator may know"):
        await shire.ask(request)
    # Silent for now, as a busy one is, or one that is started anew.
    silent_after_ms = shire.liveness._silent_after_ms
    shire.liveness._last_seen[THIRD] = shire.clock() - silent_after_ms - 1
    assert THIRD not in shire.liveness.alive()
    with pytest.raises(ElsewhereError, match="another coordinator may know"):
        await shire.ask(shire.keygen_request(parties=parties))
    assert shire.results() == []

    shire.liveness._last_seen[THIRD] = shire.clock() - KNOWN_FOR * silent_after_ms - 1
    other = shire.keygen_request(parties=parties)
    await shire.ask(other)
    (result,) = shire.results()
    assert result.failure is not None
    expected = FailureCode.UNKNOWN_PARTY if named else FailureCode.TOO_FEW_PARTIES
    assert result.failure.code is expected


@pytest.mark.parametrize("is_silent", [False, True])
async def test_it_is_asked_what_it_knows_of_a_cancelled_request(
    shire: World, is_silent: bool
) -> None:
    """Where it is not asked, nothing is final: it may hold the key."""
    await everyone_is_alive(shire)
    publisher: Any = shire.network
    older = Coordinator.over(
        shire.coordinator_store,
        publisher,
        identities=[shire.coordinator],
        parties={name: peer for name, peer in peers(shire).items() if name != THIRD},
        clients=clients(shire),
        limits=LIMITS,
        pool_limits=shire.pool_limits,
        clock=shire.clock,
    )
    await older.liveness.refresh()
    if is_silent:  # for now
        older.liveness._last_seen[THIRD] -= older.liveness._silent_after_ms + 1
        assert THIRD not in older.liveness.alive()
    shire.requests = older.requests
    cancel = wish(shire, "cancel", target="nothing-yet")
    await shire.submit(cancel)
    asked = [message.routing_key for message in sent(shire, "request_cancelled")]
    assert asked == sorted(shire.identities)
    await shire.run()
    told = answer(shire, cancel.request, CancelResult)
    assert [each.party_id for each in told.statements] == sorted(shire.identities)
    assert told.silent == []


async def test_who_has_retired_or_lost_its_key_is_not_heard_though_all_know_it(
    shire: World,
) -> None:
    body = await report_of_the_third(shire)
    known = shire.reports._parties
    gone = replace(known[THIRD], present=False)
    rotated = replace(
        known[THIRD], identity=Identity.generate().public, former=(known[THIRD].identity,)
    )
    for peer, text in ((gone, "no key that counts now"), (rotated, "wrong signature")):
        shire.reports._parties = {**known, THIRD: peer}
        with pytest.raises(UnauthenticatedError, match=text):
            await shire.reports.handle(delivery(body, attempts=0))
    both = replace(rotated, others=rotated.former, former=())
    shire.reports._parties = {**known, THIRD: both}
    await shire.reports.handle(delivery(body, attempts=0))
