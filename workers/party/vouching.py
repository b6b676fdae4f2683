"""A party whose share came from a backup asks the other holders, and answers them.

Until enough have said that they know of no later epoch, the share is not used. Whoever knows of one
says so, and its bundle comes from the coordinator. What was said is kept where messages are parked:
any process of the party may hear it, and it goes by itself.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from contracts.errors import ContractError
from contracts.keys import KeyFacts
from contracts.sessions import VoucherAsked, VoucherGiven, VoucherShown, VouchersWanted
from contracts.vouchers import Voucher

from ..delivery.publisher import Publisher
from ..session.party import vouching
from ..session.party.acceptance import Party, key_facts
from ..session.sending import report
from ..settings import PartyLimits
from ..store.interface import PartyStore
from ..store.records import EpochRecord, EpochStatus, Parked

ASKS_AGAIN_MS = 20_000
SLOT = "voucher"

logger = logging.getLogger(__name__)


class Vouching:
    """Arguments: clock: Unix milliseconds."""

    def __init__(
        self,
        party: Party,
        store: PartyStore,
        publisher: Publisher,
        limits: PartyLimits,
        clock: Callable[[], int],
    ) -> None:
        self._party = party
        self._store = store
        self._publisher = publisher
        self._limits = limits
        self._clock = clock

    async def ask(self, record: EpochRecord) -> None:
        """The other holders, again and again until they have answered."""
        key_session, epoch = record.key_session, record.epoch
        await self._store.put_off_epoch(key_session, epoch, self._clock() + ASKS_AGAIN_MS)
        wanted = VouchersWanted(key_session=key_session, epoch=epoch)
        await self._publisher.publish(
            report(
                wanted,
                identity=self._party.speaker,
                party_id=self._party.party_id,
                session_id=record.session_id,
                epoch=epoch,
            )
        )

    async def answer(self, asked: VoucherAsked) -> None:
        """What we know of the key; nothing, if that is nothing."""
        key_session, epoch = asked.key_session, asked.epoch
        share = await self._store.key_share(key_session, epoch)
        epochs = await self._store.epochs(key_session)
        signing = await self._store.signing_epochs(key_session)
        known = [each.epoch for each in signing]
        newest = vouching.newest(epochs, known, share, epoch)
        if newest is None:
            return
        voucher = Voucher.signed(
            self._party.speaker,
            self._party.party_id,
            asked_by=asked.asked_by,
            key_session=key_session,
            epoch=epoch,
            nonce=asked.session_id,
            newest=newest,
            at=self._clock(),
        )
        await self._publisher.publish(
            report(
                VoucherGiven(voucher=voucher),
                identity=self._party.speaker,
                party_id=self._party.party_id,
                session_id=asked.session_id,
                epoch=epoch,
            )
        )

    async def shown(self, told: VoucherShown) -> None:
        """Count it. Raises ContractError if it is none for us."""
        voucher = told.voucher
        record = await self._suspended(voucher.key_session, voucher.epoch)
        share = await self._store.key_share(voucher.key_session, voucher.epoch)
        if record is None or share is None:
            return  # others were faster
        facts, now = key_facts(share), self._clock()
        vouching.check(voucher, record, facts, self._party, now=now)
        about = {"key_session": record.key_session.hex(), "epoch": record.epoch}
        if voucher.newest > record.epoch:
            later = {"says": voucher.party_id, "later_epoch": voucher.newest}
            logger.warning("a restored share is of an earlier epoch", extra=about | later)
            return
        parked = Parked(
            session_id=record.session_id,
            sender=voucher.party_id,
            slot=SLOT,
            body=voucher.model_dump_json().encode(),
        )
        before = {each.sender for each in await self._store.parked(record.session_id)}
        if voucher.party_id in before - await self._said(record, facts):
            # What it said before counts no more, and stands in the way of what it says now.
            await self._store.unpark(record.session_id)
        limits = self._limits
        await self._store.park(
            parked, max_count=limits.parked_messages, max_bytes=limits.parked_bytes, now=now
        )
        if len(await self._said(record, facts)) < vouching.enough(facts):
            return
        if await self._store.resume_epoch(record.key_session, record.epoch, now):
            logger.info("a restored share is used again", extra=about)
        await self._store.unpark(record.session_id)

    async def _said(self, record: EpochRecord, facts: KeyFacts) -> set[str]:
        """Whose vouchers are here and still count. What else is parked under the number, anybody
        can have sent."""
        said = set()
        for each in await self._store.parked(record.session_id):
            if each.slot != SLOT:
                continue
            voucher = Voucher.model_validate_json(each.body)
            with contextlib.suppress(ContractError):
                vouching.check(voucher, record, facts, self._party, now=self._clock())
                said.add(voucher.party_id)
        return said

    async def _suspended(self, key_session: bytes, epoch: int) -> EpochRecord | None:
        for each in await self._store.epochs(key_session):
            if (each.epoch, each.status) == (epoch, EpochStatus.SUSPENDED):
                return each
        return None
