"""Carries the questions of parties that have restored a share to its other holders, and what these
say back. If there is a later epoch, who asks is shown what proves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from contracts.errors import ContractError
from contracts.keys import KeyFacts
from contracts.sessions import VoucherAsked, VoucherGiven, VoucherShown, VouchersWanted

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher, publish_what_has_place
from ..session.coordinator import resharing
from ..session.peers import Peer, by_any
from ..session.sending import instruction
from ..store.interface import CoordinatorStore
from .key_epochs import KeyEpochs
from .repeats import Repeats


class Vouching:
    """Arguments: clock: Unix milliseconds."""

    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        *,
        parties: Mapping[str, Peer],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._publisher = publisher
        self._epochs = KeyEpochs(store, clock=clock)
        self._parties = parties
        self._repeats = Repeats(clock=clock)
        self._clock = clock

    async def wanted(self, sender: str, nonce: bytes, report: VouchersWanted) -> None:
        """Ask the other holders, or show that the epoch is over."""
        facts = await self._epochs.of(report.key_session, report.epoch)
        others = self._others(facts, sender)
        if not others or not self._repeats.due(report.key_session, sender):
            return
        made = await self._epochs.proofs(report.key_session)
        if made and made[-1].key.facts.epoch > report.epoch:
            shown = resharing.proof(made[-1], [sender], made[:-1], now=self._clock())
            await publish_what_has_place(self._publisher, shown)
        asked = VoucherAsked(
            session_id=nonce,
            issued_at=self._clock(),
            asked_by=sender,
            key_session=report.key_session,
            epoch=report.epoch,
        )
        told = [instruction(asked, name, nonce) for name in others]
        await publish_what_has_place(self._publisher, told)
        self._repeats.left(report.key_session, sender)

    async def given(self, sender: str, report: VoucherGiven, nonce: bytes) -> None:
        """Show it to who asked. Raises ContractError unless its sender said it."""
        voucher = report.voucher
        if voucher.party_id != sender:
            raise ContractError(f"{sender} brings a voucher of {voucher.party_id}")
        by_any(self._parties[sender].current, voucher.verify)
        if voucher.asked_by not in self._parties or not self._repeats.due(nonce, voucher.party_id):
            return
        shown = VoucherShown(session_id=nonce, issued_at=self._clock(), voucher=voucher)
        told = instruction(shown, voucher.asked_by, nonce)
        named = replace(told, message_id=f"{told.message_id}-{voucher.party_id}")
        await publish_what_has_place(self._publisher, [named])
        self._repeats.left(nonce, voucher.party_id)

    def _others(self, facts: KeyFacts | None, sender: str) -> list[str]:
        """The key's other holders; nobody, if who asks is none."""
        holders = [] if facts is None else [each.party_id for each in facts.holders]
        if sender not in holders:
            return []
        return [name for name in holders if name != sender and name in self._parties]
