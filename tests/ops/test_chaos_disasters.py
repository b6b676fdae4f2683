"""What the harness does to a party's shares, on databases and backups of a party that is there, and
a Warren that answers as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.keys import KeyFacts
from contracts.results import Status
from ops.chaos import shares as subject
from ops.chaos.facts import Facts
from ops.chaos.faults import COMMITTEE, SPARE
from ops.chaos.load import Load
from ops.chaos.shares import BackupFailedError, Shares
from tests.contracts.producers import settings
from tests.ops.test_chaos_shares import MADE, result
from tests.session.builders import facts as facts_of
from tests.workers.backup.commands import MASTER_KEY, configure, keep, kept
from tests.workers.backup.shares import certified
from workers.settings import PartySettings
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones

pytestmark = pytest.mark.long

PARTY, OTHERS = "party-1", ["party-2", "party-3"]
ONE = certified()
KEY = facts_of("ed25519")
OWNER: Any = SimpleNamespace(name="svcA")
NAME = ("svcA", KEY.key_id)


@dataclass
class Warren:
    """In place of crew and load: who was down, and what was asked for."""

    config: Path
    names: tuple[str, ...] = ("party-1.signing", "party-1.keygen", "party-2.signing")
    deals: bool = True
    down_: list[str] = field(default_factory=list)
    reshares: list[tuple[list[str], list[str] | None, int]] = field(default_factory=list)
    signed: list[list[str]] = field(default_factory=list)

    @asynccontextmanager
    async def down(self, names: Iterable[str]) -> AsyncIterator[None]:
        self.down_ += names
        yield

    def in_use(self) -> list[tuple[Any, str]]:
        return [(OWNER, KEY.key_id)]

    async def reshare(
        self,
        _: Any,
        facts: KeyFacts,
        first: int,
        parties: Sequence[str],
        dealers: Sequence[str] | None = None,
    ) -> Any:
        """The party has a share again, if it had none."""
        self.reshares.append((list(parties), None if dealers is None else list(dealers), first))
        if not self.deals:
            return None
        if not await kept(self.config):
            await keep(self.config, ONE)
        return result(MADE.bundle())

    async def sign_by(self, _: Any, facts: KeyFacts, signers: Sequence[str]) -> tuple[str, Any]:
        self.signed.append(list(signers))
        done = Status.COMPLETED if len(self.signed) % 2 else Status.FAILED
        return f"r{len(self.signed)}", SimpleNamespace(status=done)


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@dataclass
class Disaster:
    shares: Shares
    warren: Warren
    facts: Facts
    settings: PartySettings


@pytest.fixture
async def disaster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disaster:
    """A party with one share; of its key no epoch was ever made, unless a test says so."""
    monkeypatch.setenv("WARREN_MASTER_KEY", MASTER_KEY)
    monkeypatch.setattr(subject, "PARTIES", (PARTY,))
    monkeypatch.setattr(subject, "GONE_OVER_S", 0.0)
    url = f"sqlite:///{tmp_path / 'party.db'}"
    config = configure(tmp_path, PARTY, url)
    await keep(config, ONE)
    known = {NAME: KEY}
    monkeypatch.setattr(subject, "newest", lambda _: known)
    deployment: Any = SimpleNamespace(directory=tmp_path, database_urls={PARTY: url}, services=None)
    warren, facts = Warren(config), Facts()
    doubles: Any = warren
    shares = Shares(deployment, doubles, doubles, facts, Clock(), tolerance_s=0)
    return Disaster(shares, warren, facts, PartySettings.load(config))


def at_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    monkeypatch.setattr(
        subject, "newest", lambda _: {NAME: KEY.model_copy(update={"epoch": epoch})}
    )


async def test_a_lost_share_is_dealt_anew_by_the_others(disaster: Disaster) -> None:
    assert await disaster.shares.lose(PARTY) == 2
    assert disaster.warren.down_ == ["party-1.signing", "party-1.keygen"]
    assert disaster.warren.reshares == [([PARTY, *OTHERS], OTHERS, 1)]
    assert await kept(disaster.warren.config) == [ONE]
    assert disaster.warren.signed == [], "it knows nothing that it could be behind of"


async def test_a_key_that_comes_into_use_while_shares_are_looked_at_is_known(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, opened = {NAME: KEY}, PartySettings.opened

    def opening(settings: PartySettings) -> Any:
        known["svcA", "another"] = KEY
        return opened(settings)

    monkeypatch.setattr(subject, "newest", lambda _: dict(known))
    monkeypatch.setattr(PartySettings, "opened", opening)
    monkeypatch.setattr(disaster.warren, "in_use", lambda: [(OWNER, name) for _, name in known])
    assert len(await disaster.shares._lacking(PARTY)) in {0, 2}


async def test_what_is_not_dealt_is_asked_for_again_and_not_for_ever(disaster: Disaster) -> None:
    disaster.warren.deals = False
    assert await disaster.shares.lose(PARTY) == 1
    assert len(disaster.warren.reshares) == subject.ROUNDS
    assert await kept(disaster.warren.config) == []


async def test_a_party_that_is_behind_is_asked_to_sign_so_that_it_hears_of_it(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_epoch(monkeypatch, 2)
    assert await disaster.shares._heal(PARTY) == 1
    assert disaster.warren.signed
    assert {tuple(each) for each in disaster.warren.signed} == {(PARTY, "party-2")}
    assert len(disaster.facts.asides) == len(disaster.warren.signed)


async def test_an_old_backup_is_refused_and_that_of_now_is_taken(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disaster.shares.grow_old()
    assert disaster.warren.reshares == [([PARTY, *OTHERS], None, 1)]
    assert await disaster.shares.go_back(PARTY, blind=False) == 0, "nothing is over yet"
    at_epoch(monkeypatch, 1)
    Tombstones(tombstones_beside(disaster.settings.incarnation_file)).rise(ONE.key_session, 1)
    await disaster.shares.until_over(PARTY)
    assert await disaster.shares.go_back(PARTY, blind=False) >= 1
    assert disaster.facts.revived == []


async def test_a_blind_party_takes_an_old_backup_and_does_not_use_it(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disaster.shares._back_up(PARTY, "old")
    at_epoch(monkeypatch, 1)
    beside = tombstones_beside(disaster.settings.incarnation_file)
    Tombstones(beside).rise(ONE.key_session, 1)
    disaster.warren.deals = False
    assert await disaster.shares.go_back(PARTY, blind=True) == 1
    assert disaster.facts.revived == []
    assert not beside.exists()
    assert [share.active for share in await kept(disaster.warren.config)] == [False]


async def test_a_backup_that_nobody_refuses_and_that_fails_ends_the_run(disaster: Disaster) -> None:
    await disaster.shares._back_up(PARTY, "old")
    disaster.warren.config.write_text("nothing")
    with pytest.raises(BackupFailedError, match="warren backup create at party-1"):
        await disaster.shares._back_up(PARTY, "new")


@pytest.mark.parametrize("how", [COMMITTEE, "refresh"])
async def test_keys_get_other_shares(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(subject, "PARTIES", (PARTY, *OTHERS))
    assert await disaster.shares.reshare(how, Random(1)) == 1
    ((parties, dealers, first),) = disaster.warren.reshares
    assert (dealers, first) == (None, 1)
    assert (SPARE in parties) is (how == COMMITTEE)
    assert len(parties) == 3
    disaster.warren.deals = False
    assert await disaster.shares.reshare(how, Random(1)) == 0


async def test_in_the_end_any_t_holders_sign(disaster: Disaster) -> None:
    await disaster.shares.show_that_all_sign()
    assert disaster.warren.signed == [], "of keys that got no other shares nothing is to be shown"
    await disaster.shares.reshare("refresh", Random(1))
    await disaster.shares.show_that_all_sign()
    shown = {tuple(each) for each in disaster.warren.signed}
    assert shown == {(PARTY, "party-2"), (PARTY, "party-3"), ("party-2", "party-3")}
    assert len(disaster.facts.proving) == 3
    assert disaster.facts.asides, "a try that failed is none that has to succeed"


@dataclass
class Hearing:
    """A producer that takes down what it is to ask, and hears nothing."""

    settings: Any = field(default_factory=lambda: settings("amqp://u:p@127.0.0.1:1/w"))
    name: str = "svcA"
    waits_s: float = 1.0
    asked: list[Any] = field(default_factory=list)

    async def ask(self, request: Any) -> None:
        self.asked.append(request)

    async def answer(self, *_: Any) -> None:
        return None


async def test_what_is_asked_of_a_key_is_by_the_facts_that_are_known() -> None:
    producer: Any = Hearing()
    load = Load(producers=[producer], rate_per_s=1, seed=1)
    load._keys["svcA", KEY.curve] = ["one", "two"]
    assert load.in_use() == [(producer, "one"), (producer, "two")]
    assert await load.reshare(producer, KEY, 3, OTHERS, OTHERS) is None
    request_id, result_ = await load.sign_by(producer, KEY, OTHERS)
    reshare, sign = producer.asked
    assert (reshare.public_key, reshare.from_epoch, reshare.first_epoch) == (KEY.public_key, 0, 3)
    assert (reshare.parties, reshare.dealers) == (OTHERS, OTHERS)
    assert (sign.request_id, sign.signers, result_) == (request_id, OTHERS, None)
