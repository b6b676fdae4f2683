"""Which holders of a key have deleted what they had of its earlier epochs: heard, and asked for.

Nobody can be made to delete. Whoever has not told is shown again what proves the later epoch, with
which it deletes by itself, and answers that it did: for ever, ever more seldom, and no more than
its queue was shown before while it is away. When it is there again, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from contracts.errors import ContractError
from contracts.keys import EpochBundle
from contracts.sessions import EpochsRetired

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher, publish_what_has_place
from ..session.coordinator import resharing
from ..session.peers import Peer, by_any
from ..store.interface import CoordinatorStore
from ..store.records import Outgoing, RetirementRecord
from .liveness import Liveness

SHOWN_AT_ONCE = 50
"""Bundles of up to some 100 kB each."""
SHOWN_TO_THE_SILENT = 2
"""Then its queue has them, and nothing more comes to it until it gives a sign of life."""
HASTENED_AGAIN_MS = 600_000
"""Whoever comes and goes all the time must not stand before all others."""


class Retirements:
    """
    Arguments:
        parties: Those whose word counts, by id.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        liveness: Liveness,
        *,
        parties: Mapping[str, Peer],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._liveness = liveness
        self._parties = parties
        self._clock = clock
        self._hastened: dict[str, int] = {}

    async def told(self, sender: str, report: EpochsRetired) -> None:
        """Keep what a party says, for the key's owner, who verifies it too. Raises ContractError,
        and nothing changes, if it is not its own word, or nobody expects it."""
        said = report.retirement
        by_any(
            self._parties[sender].ever,
            lambda key: said.verify(
                key, party_id=sender, key_session=said.key_session, epoch=said.below
            ),
        )
        if not await self._store.keep_retirement(
            said.key_session, sender, said.below, said.model_dump_json()
        ):
            raise ContractError(f"{sender} has nothing to delete of a key made in that session")

    async def seen(self, party_id: str) -> None:
        """A sign of life."""
        now = self._clock()
        if not await self._liveness.seen(party_id):
            return
        if now - self._hastened.get(party_id, 0) >= HASTENED_AGAIN_MS:
            self._hastened[party_id] = now
            await self._store.hasten_retirements(party_id, now)

    async def tend(self) -> None:
        """Show those who have not told what proves the epoch, where that is due."""
        due = await self._store.retirements_due(self._clock(), SHOWN_AT_ONCE)
        bundles: dict[bytes, Mapping[int, EpochBundle]] = {}
        for record in due:
            due_at = self._clock() + resharing.pause_ms(record.shown)
            if not await self._store.put_off_retirement(record, due_at):
                continue  # another process shows it
            if not self._would_hear(record):
                continue
            if record.key_session not in bundles:
                bundles[record.key_session] = await self._bundles(record.key_session)
            shown = self._shown(record, bundles[record.key_session])
            await publish_what_has_place(self._publisher, shown)

    def _would_hear(self, record: RetirementRecord) -> bool:
        if record.party_id not in self._parties:
            return False  # it has left, and there is no queue of its any more
        silent = record.party_id not in self._liveness.alive()
        return not silent or record.shown < SHOWN_TO_THE_SILENT

    async def _bundles(self, key_session: bytes) -> Mapping[int, EpochBundle]:
        return {
            each.epoch: EpochBundle.model_validate_json(each.bundle)
            for each in await self._store.key_epochs(key_session)
            if each.bundle is not None
        }

    def _shown(
        self, record: RetirementRecord, bundles: Mapping[int, EpochBundle]
    ) -> Sequence[Outgoing]:
        return resharing.proof(bundles[record.epoch], [record.party_id], now=self._clock())
