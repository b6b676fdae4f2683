"""Who serves which request. An operation that nobody serves, or two do, keeps the coordinator from
starting: its requests would be acked and never answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from contracts.operations import OPERATIONS
from contracts.requests import RequestBase
from contracts.signing import SignedRequest

RequestT = TypeVar("RequestT", bound=RequestBase)


@dataclass(frozen=True, slots=True)
class Service:
    """Requests of one kind, and what is done with each of them."""

    request: type[RequestBase]
    handle: Callable[[SignedRequest, Any], Awaitable[None]]

    @classmethod
    def of(
        cls,
        request: type[RequestT],
        handle: Callable[[SignedRequest, RequestT], Awaitable[None]],
    ) -> Service:
        """The only way to make one that mypy sees through: the handler takes such requests."""
        return cls(request, handle)


class Desk(Protocol):
    """Serves some operations."""

    def services(self) -> tuple[Service, ...]: ...


class UnservedError(Exception):
    """An operation has not exactly one handler at the coordinator."""


def services_of(desks: Iterable[Desk]) -> Mapping[type[RequestBase], Service]:
    """All that they serve. Raises UnservedError unless that is each operation once."""
    every = [service for desk in desks for service in desk.services()]
    for name, operation in OPERATIONS.items():
        count = sum(service.request is operation.request for service in every)
        if count != 1:
            raise UnservedError(
                f"operation {name!r}: {count} desks of workers/coordinator have "
                f"{operation.request.__name__} among their services; exactly one must"
            )
    return {service.request: service for service in every}
