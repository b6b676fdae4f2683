"""An API-key authority that signs whatever a test wants."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from contracts.api_keys import DAY_MS, Action, ApiKeyEntry, Chain, SignedApiKeyEntry
from contracts.identity import Identity
from contracts.primitives import Scope

AUTHORITY = Identity.generate()


def now_ms() -> int:
    return round(time.time() * 1000)


@dataclass
class Scribe:
    """Continues its own `entries`, unless it is told another number or predecessor."""

    identity: Identity = AUTHORITY
    client_id: str = "gateway"
    entries: list[SignedApiKeyEntry] = field(default_factory=list)

    def put(self, *named: str, **changes: Any) -> SignedApiKeyEntry:
        signed = self.signed_put(*named, **changes)
        self.entries.append(signed)
        return signed

    def signed_put(
        self, name: str = "shop-1", secret: str = "", **changes: Any
    ) -> SignedApiKeyEntry:
        """Without going on by it."""
        issued_at = changes.get("issued_at", now_ms())
        fields = {
            "api_key_id": name,
            "holder": "shop",
            "key_digest": hashlib.sha256((secret or f"secret of {name}").encode()).digest(),
            "scopes": list(Scope),
            "valid_until": issued_at + 30 * DAY_MS,
        }
        return self.signed(Action.PUT, **fields | changes)

    def revoke(self, name: str = "shop-1", **changes: Any) -> SignedApiKeyEntry:
        return self.write(Action.REVOKE, api_key_id=name, **changes)

    def nothing_after(self, until: int, **changes: Any) -> SignedApiKeyEntry:
        return self.write(Action.NOTHING_AFTER, until=until, **changes)

    def write(self, action: Action, **fields: Any) -> SignedApiKeyEntry:
        signed = self.signed(action, **fields)
        self.entries.append(signed)
        return signed

    def signed(self, action: Action, **fields: Any) -> SignedApiKeyEntry:
        """Without going on by it."""
        entry: dict[str, Any] = {
            "number": len(self.entries) + 1,
            "previous": self.entries[-1].digest if self.entries else bytes(32),
            "authority": self.identity.public.der,
            "client_id": self.client_id,
            "action": action,
            "issued_at": now_ms(),
        }
        return SignedApiKeyEntry.of(ApiKeyEntry(**entry | fields), self.identity)

    def chain(self) -> Chain:
        """As whoever believes this authority has it, without an entry."""
        return Chain(self.identity.public, self.client_id)
