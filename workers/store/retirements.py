"""What the stores can do with what parties say of a key's earlier epochs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .records import RetirementRecord


class PartyRetirements(Protocol):
    """What a party says itself. It is stored by `PartyStore.retire_epochs`, and due from then on
    until it is told."""

    async def retirement(self, key_session: bytes) -> str | None:
        """The latest of this key, JSON of `contracts.retirements.Retirement`."""

    async def retirements_due(self, now: int, limit: int) -> list[bytes]:
        """Keys of which there is something to be told, the longest due first."""

    async def retirement_told(self, key_session: bytes, below: int) -> None:
        """The broker has it: it is not due any more, unless a later one is."""

    async def note_backup(self, at: int) -> None:
        """Of each key the latest share goes into a backup."""

    async def backed_up_at(self, key_session: bytes, below: int) -> int | None:
        """When a share of one of these epochs last went into one, as far as we know."""

    async def backup_kept(
        self, shares: Iterable[tuple[bytes, int]], at: int, *, unless_due_by: int
    ) -> None:
        """These, each a key's session and an epoch, stand in a backup that is on its disk: which
        `note_backup` does not say. What waits for that is due, unless it is by that time."""

    async def is_backed_up(self, key_session: bytes, epoch: int) -> bool:
        """Whether our share of this epoch stands in a backup that was written."""

    async def kept_epochs(self, key_session: bytes) -> list[int]:
        """Of one key, by their number: all of which we have a share, usable or not."""

    async def drop_prepared(self, key_session: bytes, below: int) -> None:
        """Delete the nonces and presignatures of lower epochs: their shares stay."""


class CoordinatorRetirements(Protocol):
    """What parties have said, and who has not. They are expected by `CoordinatorStore.commit`."""

    async def retirements(self, key_session: bytes) -> list[RetirementRecord]:
        """All that are or were expected, by epoch and party."""

    async def retirements_due(self, now: int, limit: int) -> list[RetirementRecord]:
        """Who is to be shown again what proves an epoch, the longest due and the lowest first."""

    async def put_off_retirement(self, record: RetirementRecord, due_at: int) -> bool:
        """It is shown now, and again then. False if another process was faster."""

    async def hasten_retirements(self, party_id: str, now: int) -> int:
        """The party is there again: all that it has not said is due. Returns how much."""

    async def keep_retirement(
        self, key_session: bytes, party_id: str, below: int, retirement: str
    ) -> bool:
        """The party has said it of all epochs up to `below`, as their lower ones are over for it;
        the first word stays. False if nothing of this key is expected of it, nor ever was."""
