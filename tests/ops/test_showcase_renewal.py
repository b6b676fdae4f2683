"""What the demonstration tries with stolen shares is a try."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.client import Client
from contracts.keys import CertifiedKey, KeyFacts
from ops.showcase import renewal, tour
from ops.showcase.errors import StolenSharesSignError
from ops.showcase.renewal import Renewed, signs, try_stolen
from tests.ops.showcase_samples import performance
from tests.protocols.reshare_parties import SAME, undisturbed
from tests.protocols.simulate import index, random_key
from tests.workers.backup.commands import MASTER_KEY, ONE, configure, keep
from workers.protocols.groups import ED25519
from workers.protocols.key_share import KeyShare

OLD = random_key(ED25519, 2, 3, "stolen")
NEW = undisturbed(OLD, SAME.members(), 2)


def old(number: int) -> KeyShare:
    return OLD[index(number)]


def new(number: int) -> KeyShare:
    return NEW[index(number)]


def test_two_shares_of_one_epoch_sign() -> None:
    assert signs([old(1), old(2)])
    assert signs([new(1), new(2)])


def test_a_share_of_before_and_one_of_after_do_not() -> None:
    assert not signs([old(1), new(2)])
    assert not signs([new(1), old(2)])
    try_stolen(old(1), [new(1), new(2)])


def test_a_share_that_was_not_made_anew_is_found() -> None:
    """As after a refresh that changes nothing."""
    with pytest.raises(StolenSharesSignError, match="one of after the refresh make a signature"):
        try_stolen(old(1), [old(1), old(2)])


def test_a_try_that_could_not_have_succeeded_is_none() -> None:
    with pytest.raises(StolenSharesSignError, match="the try is worth nothing"):
        try_stolen(old(1), [old(1), new(2)])


class Quiet:
    """In place of whoever tells what is done."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    @contextmanager
    def step(self, name: str, _: str) -> Iterator[None]:
        self.steps.append(name)
        yield


class Played:
    """A client whose wishes come true as in the samples."""

    def __init__(self) -> None:
        self.performance = performance()
        renewed = self.performance.renewed
        self.epochs = [renewed.refreshed, renewed.moved]
        self.asked: list[dict[str, Any]] = []

    async def create_key(self, key_id: str, **wish: Any) -> CertifiedKey:
        self.asked.append(wish)
        return self.performance.renewed.made

    async def reshare(self, _: str, **wish: Any) -> Any:
        self.asked.append(wish)
        return SimpleNamespace(bundle=self.epochs.pop(0), signs_from=None, finished_at=7)

    async def sign(self, _: str, **wish: Any) -> Any:
        self.asked.append(wish)
        return self.performance.outcomes[-1].result


PARTIES = {f"p{number}": Path(f"p{number}") for number in (1, 2, 3, 4)}


async def test_a_key_is_renewed_and_a_party_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stolen(config: Path, facts: KeyFacts) -> KeyShare:
        share_of = new if facts.epoch else old
        return share_of(int(config.name[1:]))

    monkeypatch.setattr(renewal, "_stolen", stolen)
    played, quiet = Played(), Quiet()
    client: Any = played
    narrator: Any = quiet
    renewed = await renewal.renew(client, PARTIES, narrator)
    assert played.asked == [
        {
            "curve": renewal.ACT.curve,
            "threshold": 2,
            "party_count": 3,
            "parties": ["p1", "p2", "p3"],
        },
        {},
        {"parties": ["p2", "p3", "p4"]},
    ]
    assert (renewed.stolen, renewed.signs_from) == (("p1", "p2"), 7)
    assert (renewed.leaver, renewed.newcomer) == ("p1", "p4")
    paid = await renewal.pay(client, renewed, narrator)
    assert paid.signed == played.performance.outcomes[-1].signed
    assert (
        played.asked[-1]["signers"]
        == [holder.party_id for holder in renewed.moved.key.facts.holders][-2:]
    )
    assert quiet.steps[-2:] == ["sign renewed", "verify renewed"]


async def test_what_a_thief_has_is_the_share_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARREN_MASTER_KEY", MASTER_KEY)
    config = configure(tmp_path, "party-1", f"sqlite:///{tmp_path / 'party.db'}")
    await keep(config, ONE)
    share = await renewal._stolen(config, KeyFacts.model_validate_json(ONE.facts))
    assert share == KeyShare.from_bytes(ONE.secret)


async def test_the_tour_signs_all_that_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = performance()

    class Connected(Played):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.results = [each.result for each in shown.outcomes if each.act.client == name]
            self.keys = [each.key for each in shown.outcomes if each.act.client == name]

        async def create_key(self, key_id: str, **wish: Any) -> CertifiedKey:
            if key_id == renewal.ACT.key_id:
                return await super().create_key(key_id, **wish)
            return self.keys[0]

        async def sign(self, _: str, **wish: Any) -> Any:
            return self.results.pop(0)

    @asynccontextmanager
    async def connect(settings: Any) -> AsyncIterator[Connected]:
        yield Connected(settings)

    async def renewed(*_: Any) -> Renewed:
        return shown.renewed

    monkeypatch.setattr(Client, "connect", connect)
    monkeypatch.setattr(renewal, "renew", renewed)
    settings: Any = {act.client: act.client for act in tour.ACTS}
    narrator: Any = Quiet()
    played = await tour.tour(settings, PARTIES, narrator)
    assert [each.signed for each in played.outcomes] == [each.signed for each in shown.outcomes]
    assert played.renewed == shown.renewed
