"""The other parties, as a worker's own configuration knows them."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.identity import PublicIdentity


@dataclass(frozen=True, slots=True)
class Peer:
    """Attributes: index: Its place among all configured parties, from 1."""

    index: int
    identity: PublicIdentity
