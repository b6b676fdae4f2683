"""A key's earlier epochs deleted by hand, at a party that nobody reaches any more.

In the same transactions as a process of the party would do it, several of which may run meanwhile:
this is one more, without a broker.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from contracts import strict_json
from contracts.errors import ContractError
from contracts.hosts import AddressError
from contracts.keys import EpochBundle
from contracts.retirements import Retirement
from contracts.signing import explain

from . import following
from .delivery.clock import now_ms
from .delivery.lists import UnusableListError
from .party.machines import Machine
from .party.switching import Switching
from .session.party.acceptance import Party
from .session.party.engines import ENGINES
from .settings import PartySettings, SettingsError
from .store.interface import PartyStore, SchemaError, StoreUnavailableError, WitnessError
from .store.sealing import SealError

MAX_BUNDLE_BYTES = 4 * 1024 * 1024
"""More than any; a file that is larger is none."""


_BUNDLE = TypeAdapter(EpochBundle)


class RetiringError(Exception):
    """Nothing was deleted. Says why.

    Attributes:
        code: The command's exit code.
        kind: One word for scripts.
    """

    def __init__(self, kind: str, code: int, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.code = code


def retire_by_hand(config: Path, file: Path) -> Retirement:
    """What the party says once it is done. Raises RetiringError."""
    try:
        return asyncio.run(_retire(PartySettings.load(config), _read(file)))
    except (
        SettingsError,
        SealError,
        SchemaError,
        WitnessError,
        AddressError,
        UnusableListError,
    ) as error:
        raise RetiringError("configuration", 2, str(error)) from None
    except StoreUnavailableError as error:
        raise RetiringError("unreachable", 4, f"cannot reach the database: {error}") from None
    except ContractError as error:
        raise RetiringError("refused", 1, f"{file}: {error}; nothing was deleted") from None


def _read(file: Path) -> EpochBundle:
    """Raises RetiringError."""
    try:
        with file.open("rb") as opened:
            # What is longer is cut, and then it is no JSON.
            return strict_json.validated(_BUNDLE, opened.read(MAX_BUNDLE_BYTES))
    except OSError as error:
        raise RetiringError("usage", 2, f"{file}: {error.strerror}") from None
    except (ValidationError, ContractError) as error:
        text = f"{file} is not what proves an epoch: {explain(error)}"
        raise RetiringError("refused", 1, text) from None


async def _retire(settings: PartySettings, bundle: EpochBundle) -> Retirement:
    async with settings.opened(fenced=True) as store:
        known = await following.stored_of_party(settings, store)
        return await _switching(settings, known, store).retire_at_once(bundle)


def _switching(settings: PartySettings, known: following.Known, store: PartyStore) -> Switching:
    limits = settings.limits
    party = Party(
        party_id=settings.party_id,
        identity=settings.identity,
        others=settings.other_identities,
        peers=known.parties,
        coordinators=settings.coordinators,
        clients=known.clients,
        clock_tolerance_ms=int(limits.clock_tolerance_seconds * 1000),
    )
    machine = Machine(ENGINES, party, store, limits, os.urandom)
    return Switching(party, store, machine, now_ms)
