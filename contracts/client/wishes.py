"""What a client remembers of a request: enough to know who could have answered it."""

from __future__ import annotations

from dataclasses import dataclass

from ..primitives import Id
from ..requests import KeygenRequest, Request, SignRequest


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request id stands for.

    Attributes:
        issued_at: None where the request was not found again.
        made: The key that it is to make.
        key_id: The key that is to sign, else.
    """

    issued_at: int | None = None
    made: KeygenRequest | None = None
    key_id: Id | None = None

    @classmethod
    def of(cls, request: Request) -> Wish | None:
        match request:
            case KeygenRequest():
                return cls(request.issued_at, made=request)
            case SignRequest():
                return cls(request.issued_at, key_id=request.key_id)
            case _:
                return None
