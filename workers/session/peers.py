"""The other parties, as a worker knows them: by its configuration, and by the list of parties."""

from __future__ import annotations

from contracts.peers import Certifying, Peer, Speaking, by_any

__all__ = ["Certifying", "Peer", "Speaking", "by_any"]
