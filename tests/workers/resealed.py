"""Key shares of which some are under the newest master key, and the others are not."""

from __future__ import annotations

import pytest

from workers.resealing.resealing import reseal
from workers.store.interface import PartyStore
from workers.store.rows.sealed import Sealed
from workers.store.sealing import Sealer


class KilledError(Exception):
    pass


async def reseal_some(store: PartyStore, party_id: str, sealer: Sealer, count: int) -> None:
    """As if the command had been killed after so many key shares."""
    done = 0

    def step(_: Sealed) -> None:
        nonlocal done
        done += 1
        if done == count:
            raise KilledError

    with pytest.raises(KilledError):
        await reseal(store, party_id, sealer, step)
