"""What a client remembers of a request: enough to know who could have answered it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..primitives import Id
from ..requests import KeygenRequest, Request, ReshareRequest, SignRequest


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request id stands for.

    Attributes:
        issued_at: None where the request was not found again.
        made: The key that it is to make, or the epoch of one.
        key_id: The key that is to sign, else.
    """

    issued_at: int | None = None
    made: KeygenRequest | ReshareRequest | None = None
    key_id: Id | None = None

    def beside(self, other: Wish) -> Wish:
        """What is known of an id that two requests have had: what is stated of it must hold for
        both, and for two groups of parties nothing does."""
        if self.issued_at is None or other.issued_at is None or self._group != other._group:
            return Wish()
        return replace(self, issued_at=min(self.issued_at, other.issued_at))

    @property
    def _group(self) -> object:
        """What says which parties could have answered."""
        if self.made is None:
            return self.key_id
        return self.made.parties, self.made.party_count, self.made.threshold

    @classmethod
    def of(cls, request: Request) -> Wish | None:
        match request:
            case KeygenRequest() | ReshareRequest():
                return cls(request.issued_at, made=request)
            case SignRequest():
                return cls(request.issued_at, key_id=request.key_id)
            case _:
                return None
