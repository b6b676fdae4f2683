"""Whatever is committed in one moment, by two processes: some order explains it."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field

import pytest

from workers.store.records import Outcome, PartyChange

from .conftest import RawDatabase, open_party
from .examples import nonce, outgoing, party_change, received, session_id

ROLE = "party"


@dataclass
class Model:
    """One after the other."""

    versions: dict[str, int] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    nonces: set[str] = field(default_factory=set)
    received: set[tuple[str, str]] = field(default_factory=set)

    def copy(self) -> Model:
        return Model(dict(self.versions), set(self.over), set(self.nonces), set(self.received))

    def commit(self, wish: Wish) -> Outcome:
        name = wish.session
        if name in self.over or self.versions.get(name, 0) != wish.version:
            return Outcome.LOST_RACE
        if not wish.final and (name, wish.slot) in self.received:
            return Outcome.LOST_RACE
        if wish.takes is not None and wish.takes not in self.nonces:
            return Outcome.NONCE_GONE
        self.versions[name] = wish.version + 1
        if wish.final:
            self.over.add(name)
            self.received = {each for each in self.received if each[0] != name}
        else:
            self.received.add((name, wish.slot))
        self.nonces.discard(wish.takes or "")
        return Outcome.COMMITTED


@dataclass(frozen=True)
class Wish:
    session: str
    version: int
    slot: str
    final: bool
    takes: str | None
    cause: str

    def change(self) -> PartyChange:
        return party_change(
            self.session,
            expected_version=self.version,
            status="completed" if self.final else "in_progress",
            cause=self.cause,
            take_nonce=None if self.takes is None else session_id(self.takes),
            received=(received(self.slot),),
            outgoing=(outgoing(self.cause),),
        )


def wished(dice: random.Random, model: Model, number: int) -> Wish:
    session = dice.choice("abcd")
    version = model.versions.get(session, 0)
    return Wish(
        session=session,
        version=max(0, version + dice.choice([0, 0, 0, 1, -1])),
        slot=dice.choice(["round-1", "round-2", f"slot {number}"]),
        final=dice.random() < 0.1,
        takes=dice.choice([None, None, None, "0", "1", "2", "3", "4", "5", "6"]),
        cause=f"cause {number}",
    )


@pytest.mark.parametrize("seed", range(8))
async def test_any_moment_is_as_if_one_came_after_the_other(
    url: str, raw: RawDatabase, seed: int
) -> None:
    """Of two processes. Some order explains what each was told, and what is there then."""
    dice, model = random.Random(seed), Model(nonces=set("0123456"))
    async with open_party(url) as store, open_party(url) as twin:
        await store.commit(
            party_change("prepared", status="completed", nonces=tuple(map(nonce, "0123456")))
        )
        for moment in range(12):
            wishes = [wished(dice, model, 10 * moment + n) for n in range(dice.choice([2, 4, 6]))]
            made = [dice.choice([store, twin]).commit(each.change()) for each in wishes]
            outcomes = dict(zip(wishes, await asyncio.gather(*made), strict=True))
            orders = [explained(model, order, outcomes) for order in itertools.permutations(wishes)]
            possible = [each for each in orders if each is not None]
            assert possible, outcomes
            there = await standing(raw)
            assert there in possible
            model = there


def explained(model: Model, order: tuple[Wish, ...], outcomes: dict[Wish, Outcome]) -> Model | None:
    after = model.copy()
    for wish in order:
        if after.commit(wish) is not outcomes[wish]:
            return None
    return after


async def standing(raw: RawDatabase) -> Model:
    names = {session_id(each): each for each in "abcd0123456"}
    found = await raw.query("SELECT session_id, version, ended_at FROM sessions")
    sessions = [each for each in found if each[0] in names]
    slots = await raw.query("SELECT session_id, slot FROM inbox")
    nonces = await raw.query("SELECT nonce_id FROM nonces")
    return Model(
        versions={names[each]: version for each, version, _ in sessions},
        over={names[each] for each, _, ended_at in sessions if ended_at is not None},
        nonces={names[each] for (each,) in nonces},
        received={(names[each], slot) for each, slot in slots},
    )
