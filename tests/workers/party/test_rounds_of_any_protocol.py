"""Sessions of a protocol in which some deal and others receive, at parties with a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts import sessions
from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.results import Status
from tests.session.builders import IDENTITIES, NOW, party
from tests.session.party.handing import ENGINE, HAND, Run, created
from tests.workers.doubles import FakePublisher
from tests.workers.simulate import World
from workers.delivery.locks import SessionLocks
from workers.delivery.scopes import SessionScopes
from workers.party.commits import PartyCommits
from workers.party.machines import Machine
from workers.party.rounds import RoundSessions
from workers.settings import PartyLimits
from workers.store.records import Outgoing, Session

ME = "party-3"


class Receiver:
    """Party 3, which only receives, with a store and what it publishes."""

    def __init__(self, shire: World) -> None:
        us, limits, clock = party(3), PartyLimits(), lambda: NOW
        self.store = shire.party_stores[ME]
        self.publisher = FakePublisher()
        publisher: Any = self.publisher
        self.commits = PartyCommits(us, self.store, publisher, clock)
        self.machine = Machine({HAND.name: ENGINE}, us, self.store, limits, bytes)
        self.rounds = RoundSessions(
            self.store, self.commits, self.machine, SessionScopes(), SessionLocks(), limits, clock
        )

    async def begin(self) -> None:
        step = await self.machine.begin(HAND.name, created())
        await self.commits.first(
            created().session_id,
            step,
            protocol=HAND.name,
            key_session=None,
            cause="begun",
            time_left_ms=1_000,
        )

    async def hear(self, envelope: Envelope) -> None:
        await self.rounds.enter(envelope, envelope.seal(IDENTITIES[envelope.sender]))

    async def session(self) -> Session:
        session = await self.store.session(created().session_id)
        assert session is not None
        return session


@pytest.fixture
def receiver(shire: World) -> Receiver:
    return Receiver(shire)


def to_us(sent: list[Outgoing], kind: str) -> list[Envelope]:
    return [
        UnverifiedEnvelope.from_bytes(each.body).claimed
        for each in sent
        if (each.kind, each.routing_key) == (kind, ME)
    ]


async def test_the_deadline_names_the_dealers_that_were_silent(receiver: Receiver) -> None:
    await receiver.begin()
    said = Run().play().sent
    for envelope in to_us(said, "hand/1"):
        await receiver.hear(envelope)
    assert (await receiver.session()).status == Status.IN_PROGRESS
    await receiver.rounds.expire(created().session_id)
    assert (await receiver.session()).status == Status.EXPIRED
    word = UnverifiedEnvelope.from_bytes(receiver.publisher.sent[-1].body).claimed
    failure = sessions.SessionFailed.model_validate_json(word.payload).failure
    assert failure.code is FailureCode.EXPIRED
    assert failure.silent == ["party-1", "party-2"]
    assert failure.message == "no message of party-1, party-2 in round 2"


async def test_a_message_of_one_who_does_not_deal_changes_nothing(receiver: Receiver) -> None:
    await receiver.begin()
    before = await receiver.session()
    place = receiver.machine.seat(before).place("party-4", ME)
    with pytest.raises(ContractError, match="party-4 has no hand/2 to send us"):
        await receiver.hear(replace(place, round=2))
    assert await receiver.session() == before
