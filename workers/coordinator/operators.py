"""Who may look at anybody's sessions, and cancel anybody's requests."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.admission import ClientPolicy
from contracts.requests import RequestBase


class Operators:
    def __init__(self, clients: Iterable[ClientPolicy]) -> None:
        self._keys = {
            (policy.client_id, policy.identity.der) for policy in clients if policy.operator
        }

    def include(self, request: RequestBase) -> bool:
        """Whether the request, whose signature is verified, is by an operator's key."""
        return (request.client_id, request.signer) in self._keys
