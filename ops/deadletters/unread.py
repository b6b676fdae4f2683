"""A client's results that lie in its queue: which there are, what they say, and out with them.

Only what the coordinator has signed for this client is shown or taken out. Anything else that lies
there may be anybody's; a running client refuses it by itself.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from contracts import addresses, results, strict_json
from contracts.client import ClientSettings
from contracts.deliveries import returns_of
from contracts.errors import ContractError
from contracts.results import Delivered, SessionAnnounced
from ops.deadletters import contents
from ops.deadletters.desk import Desk
from ops.deadletters.letter import ID_DIGITS, Letter


class UnknownResultError(Exception):
    """No result, or more than one, is what an id says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A result in the queue; those that share a digest are the same bytes twice."""

    digest: str
    content: Delivered = field(repr=False)
    size: int
    returns: int
    along: frozenset[str] = frozenset()
    """Digests of what came in one message with it, and goes only with it."""

    @property
    def id(self) -> str:
        """The beginning of its digest: as much as people type."""
        return self.digest[:ID_DIGITS]

    @property
    def request_id(self) -> str:
        return self.content.request_id

    @property
    def operation(self) -> str:
        return self.content.result

    def as_json(self) -> dict[str, Any]:
        """What a list has of it, for programs."""
        content = self.content
        ended = None if isinstance(content, SessionAnnounced) else content
        return {
            "id": self.id,
            "result": self.operation,
            "request_id": self.request_id,
            "session_id": None if content.session_id is None else content.session_id.hex(),
            "key_id": getattr(content, "key_id", None),
            "status": None if ended is None else ended.status.value,
            "finished_at": None if ended is None else ended.finished_at,
            "bytes": self.size,
            "returns": self.returns,
        }

    def in_full(self) -> dict[str, Any]:
        """All that it says, but for callers' tickets into sessions."""
        told = contents.without_tokens(self.content.model_dump(mode="json"))
        return {**self.as_json(), "content": told}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pile:
    """
    Attributes:
        results: In the queue's order, the next to be delivered first.
        disbelieved: How many more there are that the coordinator is not shown to have sent us.
        beyond: How many more were not looked at.
        consumers: How many read the queue meanwhile; each may have some in hand.
    """

    results: tuple[Unread, ...]
    disbelieved: int
    beyond: int
    consumers: int


async def look(settings: ClientSettings, most: int) -> Pile:
    """What there is; all of it goes back. Raises AccessError or BrokerAwayError."""
    async with _desk(settings) as desk, desk.look(most) as letters:
        found = [each async for held in letters for each in _read(held.letter, settings)]
    believed = tuple(each for each in found if each is not None)
    return Pile(
        results=believed,
        disbelieved=len(found) - len(believed),
        beyond=desk.beyond,
        consumers=desk.elsewhere,
    )


async def discard(settings: ClientSettings, chosen: Sequence[Unread], done: list[Unread]) -> None:
    """Take them out for good, wherever in the queue they are by now.

    Arguments:
        chosen: With all that came along with them.
        done: Filled while it happens. What is not there at the end went elsewhere meanwhile.
    """
    wanted = Counter(each.digest for each in chosen)
    async with _desk(settings) as desk, desk.look() as letters:
        async for held in letters:
            found = _read(held.letter, settings)
            believed = [each for each in found if each is not None and wanted[each.digest]]
            if len(believed) < len(found):
                continue
            await held.take_out()
            wanted.subtract(each.digest for each in believed)
            done += believed
            if not wanted.total():
                return


def by_ids(ids: Iterable[str], pile: Sequence[Unread]) -> list[Unread]:
    """Those that the ids mean, all copies of each: a result's id or its beginning, or the id of a
    request. Raises UnknownResultError for the first bad one."""
    meant: set[str] = set()
    for name in ids:
        found = {each.digest for each in pile if each.request_id == name}
        if not found:
            found = {each.digest for each in pile if name and each.digest.startswith(name)}
            if len(found) > 1:
                raise UnknownResultError(f"{len(found)} results have ids that begin with {name!r}")
        if not found:
            raise UnknownResultError(f"there is no result {name!r} among the {len(pile)} here")
        meant |= found
    return [each for each in pile if each.digest in meant]


def with_company(chosen: Sequence[Unread], pile: Sequence[Unread]) -> list[Unread]:
    """Those that are chosen, and what came in one message with any of them."""
    digests = {each.digest for each in chosen}.union(*(each.along for each in chosen))
    return [each for each in pile if each.digest in digests]


def _desk(settings: ClientSettings) -> AbstractAsyncContextManager[Desk]:
    return Desk.open(settings.amqp_url, addresses.results_queue(settings.client_id))


def _read(letter: Letter, settings: ClientSettings) -> list[Unread | None]:
    """All that is in it; None for each that is nothing that the coordinator says to this client."""
    alone = letter.one_by_one()
    found = [_read_one(each, settings, returns_of(letter.headers)) for each in alone]
    digests = frozenset(each.digest for each in found if each is not None)
    return [
        each if each is None else replace(each, along=digests - {each.digest}) for each in found
    ]


def _read_one(letter: Letter, settings: ClientSettings, returns: int) -> Unread | None:
    try:
        now = time.time_ns() // 1_000_000
        settings.coordinators.check_result(letter.body, letter.headers, now=now)
        content = strict_json.validated(results.DELIVERED, letter.body)
    except (ValidationError, ContractError):
        return None
    if content.client_id != settings.client_id:
        return None
    return Unread(
        digest=hashlib.sha256(letter.body).hexdigest(),
        content=content,
        size=len(letter.body),
        returns=returns,
    )
