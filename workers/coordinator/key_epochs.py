"""By which epoch a key is asked for signatures, and what proves it.

When an epoch is made its certificates stand in the key's record at once, and requests go to its
holders from `KeyEpoch.signs_from` on: until then to those of the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.keys import CertifiedKey, EpochBundle, KeyFacts

from ..delivery.clock import now_ms
from ..store.interface import CoordinatorStore
from ..store.records import KeyRecord

KEPT_MS = 15_000
"""What was read of a key counts for so long: shorter than an epoch that was made takes until it is
asked, so that no process comes too late."""


@dataclass(frozen=True, slots=True)
class Signing:
    """
    Attributes:
        facts: Of the epoch that requests go to.
        until: When to look again, Unix milliseconds.
    """

    facts: KeyFacts
    until: int


class KeyEpochs:
    def __init__(self, store: CoordinatorStore, *, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock = clock

    async def signing(self, record: KeyRecord) -> Signing:
        now = self._clock()
        until = now + KEPT_MS
        if record.epoch:
            for each in await self._store.key_epochs(record.key_session):
                if each.epoch == record.epoch and (each.signs_from or 0) > now:
                    assert each.signs_from is not None
                    before = _bundle(each.bundle).predecessor.facts
                    return Signing(before, min(until, each.signs_from))
        return Signing(CertifiedKey.model_validate_json(record.certified).facts, until)

    async def of(self, key_session: bytes, epoch: int) -> KeyFacts | None:
        """Of a key's newest epoch, or one that it was made from."""
        record = await self._store.key_of(key_session)
        if record is None or record.epoch == epoch:
            return None if record is None else _certified(record)
        for each in await self._store.key_epochs(key_session):
            if each.bundle is not None:
                before = _bundle(each.bundle).predecessor.facts
                if before.epoch == epoch:
                    return before
        return None

    async def proofs(self, key_session: bytes) -> list[EpochBundle]:
        """Of all epochs of a key that were made, the newest one last: each is believed by who knows
        the one before."""
        made = await self._store.key_epochs(key_session)
        return [_bundle(each.bundle) for each in made if each.bundle is not None]


def _certified(record: KeyRecord) -> KeyFacts:
    return CertifiedKey.model_validate_json(record.certified).facts


def _bundle(stored: str | None) -> EpochBundle:
    assert stored is not None  # it has been made
    return EpochBundle.model_validate_json(stored)
