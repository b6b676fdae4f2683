"""Seals again what is not under the newest master key, and key shares of before they could be
erased; and shows that nothing is left.

Each row is replaced by itself, and only if it still holds what was read: workers go on taking and
making rows meanwhile, and whoever is stopped in the middle begins again and finds less to do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from ..store.database import Row
from ..store.interface import PartyStore
from ..store.rows.party import PartyRows
from ..store.rows.sealed import SHAPES, Sealed, is_as_it_should_be, sealed_again
from ..store.sealing import Sealer, SealError

PAGE = 200

Step = Callable[[Sealed], None]
"""Called after each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What does not open with the newest key alone.

    Attributes:
        left: Of each kind, how many; of key shares also those that could not be erased.
        under_way: Sessions whose state is sealed under an older key. They end by themselves, within
            minutes.
    """

    left: Mapping[Sealed, int]
    under_way: int

    @property
    def nothing(self) -> bool:
        return not self.under_way and not any(self.left.values())


async def reseal(store: PartyStore, party_id: str, sealer: Sealer, step: Step) -> dict[Sealed, int]:
    """Returns how many values of each kind were sealed again. Raises SealError at the first key
    share that does not open."""
    rows = await _rows(store, party_id, sealer)
    newest = await _rows(store, party_id, sealer.newest_alone())
    done = dict.fromkeys(Sealed, 0)
    for kind in Sealed:
        async for row in _all(store, kind, rows):
            if not is_as_it_should_be(newest, kind, row):
                done[kind] += await _again(store, rows, kind, row)
            step(kind)
    return done


async def check(store: PartyStore, party_id: str, sealer: Sealer, step: Step) -> Found:
    """Open everything with the newest key alone."""
    alone = sealer.newest_alone()
    rows = await _rows(store, party_id, alone)
    left = dict.fromkeys(Sealed, 0)
    for kind in Sealed:
        async for row in _all(store, kind, rows):
            left[kind] += not is_as_it_should_be(rows, kind, row)
            step(kind)
    states = await store.states_under_way()
    return Found(left=left, under_way=sum(not alone.sealed(state) for state in states if state))


async def _rows(store: PartyStore, party_id: str, sealer: Sealer) -> PartyRows:
    made = PartyRows(party_id, sealer)
    incarnation = await store.incarnation()
    if incarnation is not None:
        made.enter(incarnation.incarnation)
    return made


async def _all(store: PartyStore, kind: Sealed, rows: PartyRows) -> AsyncIterator[Row]:
    after = None
    while page := await store.sealed_page(kind, after, PAGE):
        for row in page:
            yield row
        after = SHAPES[kind].place(page[-1])


async def _again(store: PartyStore, rows: PartyRows, kind: Sealed, row: Row) -> bool:
    try:
        secret = sealed_again(rows, kind, row)
    except SealError:
        if kind is Sealed.KEY_SHARES:
            raise
        return False  # of an incarnation that is over: workers empty those
    return await store.replace_sealed(kind, row, secret)
