"""Following a list that operators sign: verified, stored, and only then does it count.

Every process reads the stream for itself, from its beginning whenever it connects: what it missed
it hears then, and what it knows costs nothing. What others of its role have stored it knows, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol

from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity
from prometheus_client import Counter, Gauge

from contracts import addresses, list_log
from contracts.absence import is_missing
from contracts.errors import ContractError, UnauthenticatedError
from contracts.numbered_lists import ListError, NumberedList, SignedEntry

from ..store.floors import Floor, Reached
from ..store.interface import StoreUnavailableError, WitnessError
from ..store.records import ListEntryRecord
from .permissions import ForbiddenError
from .publisher import TopologyError, admitted
from .strangers import Strangers

logger = logging.getLogger(__name__)

PAGE = 500
RETRY_S = 1.0
"""While the store is away."""
BEHIND_S = 2.0
"""Between two looks for a list that was known before."""

NUMBER = Gauge(
    "warren_list_number",
    "The last entry of a list that operators sign which counts here.",
    ["list"],
    registry=None,
)
REFUSED_ENTRIES = Counter(
    "warren_list_entries_refused",
    "Entries of such a list that changed nothing, by what is wrong with them. A fork is an alarm: "
    "two entries of one number, both signed by operators.",
    ["list", "kind"],
    registry=None,
)


class ListStore(Protocol):
    """What is needed of a store."""

    async def add_list_entry(self, entry: ListEntryRecord, previous: bytes) -> bool: ...

    async def list_entries(
        self, list_name: str, *, after: int, limit: int
    ) -> list[ListEntryRecord]: ...


class UnusableListError(Exception):
    """What is stored of a list does not check out, or a newer one was known before. The text says
    what to do."""


async def _nothing() -> None:
    """Nobody wants to hear of a change."""


class ListFollower:
    """
    Arguments:
        listed: What counts in this process; empty yet.
        floor: Where it is kept outside of the store how far the list had come.
    """

    def __init__(
        self, store: ListStore, listed: NumberedList[Any], floor: Floor | None = None
    ) -> None:
        self._store = store
        self._listed = listed
        self._floor = floor
        self._lock = asyncio.Lock()
        self._strangers = Strangers(addresses.LISTS_QUEUE)
        self.changed: Callable[[], Awaitable[None]] = _nothing
        """Called after a change."""
        NUMBER.labels(listed.name).set(0)

    @property
    def number(self) -> int:
        """Of the last entry that counts here."""
        return self._listed.number

    async def load(self) -> None:
        """Go on by what is stored. Raises UnusableListError if it does not check out."""
        before = self.number
        async with self._lock:
            while page := await self._store.list_entries(
                self._listed.name, after=self.number, limit=PAGE
            ):
                for record in page:
                    self._take_stored(record)
        if self.number > before:
            await self._tell()

    async def hear(self, name: str, body: bytes) -> None:
        """One message of the stream; whatever is refused changes nothing."""
        if name != self._listed.name:
            return
        try:
            heard = await self._hear(SignedEntry.from_bytes(body))
        except ContractError as error:
            self._refuse(error)
        else:
            if heard:
                await self._tell()

    async def hear_patiently(self, name: str, body: bytes) -> None:
        """The same, as often as it takes until the store is there: what is not heard now is not
        said again as long as the connection lasts."""
        while True:
            try:
                return await self.hear(name, body)
            except (StoreUnavailableError, WitnessError) as error:
                logger.warning("a list's entry waits for the store", extra={"reason": str(error)})
                await asyncio.sleep(RETRY_S)

    def require_reached(self) -> None:
        """Raises UnusableListError unless we are where we were before."""
        reached = None if self._floor is None else self._floor.read()
        if reached is None or self._floor is None:
            return
        name, path = self._listed.name, self._floor.path
        if self.number < reached.number:
            raise UnusableListError(
                f"the list of {name} ends with entry {self.number} in the database, and entry "
                f"{reached.number} counted here before ({path}): the database has gone back, and "
                f"the broker does not have the rest. Publish it again: `warren client publish`"
            )

    async def _hear(self, signed: SignedEntry) -> bool:
        if self._listed.knows(signed):
            return False
        async with self._lock:
            if self._listed.knows(signed):
                return False
            entry = self._listed.verified(signed)
            self._require_same(signed)
            record = ListEntryRecord(
                list_name=self._listed.name,
                number=entry.number,
                digest=signed.digest,
                body=signed.body,
                signature=signed.signature,
            )
            if not await self._store.add_list_entry(record, entry.previous):
                raise ListError(
                    f"a fork: the store has another entry {entry.number} of the list of "
                    f"{self._listed.name}",
                    kind="fork",
                )
            self._count(signed)
            return True

    def _take_stored(self, record: ListEntryRecord) -> None:
        signed = SignedEntry(body=record.body, signature=record.signature)
        try:
            self._listed.verified(signed)
            self._require_same(signed)
        except ContractError as error:
            raise UnusableListError(
                f"entry {record.number} of the list of {self._listed.name}, as it is stored, does "
                f"not check out: {error}. Somebody who was an operator stays known by "
                "signed_entries_up_to under [[clients]]"
            ) from None
        self._count(signed)

    def _require_same(self, signed: SignedEntry) -> None:
        """Raises ListError if another entry of the next number counted here before."""
        reached = None if self._floor is None else self._floor.read()
        if reached is None or reached.number != self.number + 1:
            return
        if reached.digest != signed.digest:
            raise ListError(
                f"a fork: entry {reached.number} of the list of {self._listed.name} is another "
                "one than counted here before the database went back",
                kind="fork",
            )

    def _count(self, signed: SignedEntry) -> None:
        """Stored is it. Before it counts, it is known outside, too."""
        if self._floor is not None:
            self._floor.reach(Reached(self.number + 1, signed.digest))
        self._listed.take(signed)

    async def _tell(self) -> None:
        name = self._listed.name
        NUMBER.labels(name).set(self.number)
        logger.info("a list went on", extra={"list": name, "number": self.number})
        try:
            await self.changed()
        except Exception:
            # Of any kind: the entry counts all the same, and the next ones must be heard.
            logger.exception("what follows from a list is put off", extra={"list": name})

    def _refuse(self, error: ContractError) -> None:
        match error:
            case ListError():
                kind = error.kind
            case UnauthenticatedError():
                kind = error.kind
            case _:
                kind = "malformed"
        REFUSED_ENTRIES.labels(self._listed.name, kind).inc()
        if kind == "fork":
            logger.error("ALARM: a list has a fork", extra={"reason": str(error)})
        elif self._strangers.keeps(error):
            logger.warning("a list's entry was refused", extra={"reason": str(error)})


async def catch_up(url: str, *followers: ListFollower) -> None:
    """Hear all that was said so far, before anything is served by it.

    Raises TopologyError, ForbiddenError: the stream is not there, or not to be read by us.
    """
    async with contextlib.aclosing(said_so_far(url)) as said:
        async for name, body in said:
            for follower in followers:
                await follower.hear(name, body)


async def said_so_far(url: str) -> AsyncGenerator[list_log.Logged]:
    """All that lies in the stream. Raises TopologyError, ForbiddenError, NoAdmissionError."""
    async with await admitted(url) as connection:
        try:
            async with contextlib.aclosing(list_log.read(connection)) as said:
                async for logged in said:
                    yield logged
        except ChannelNotFoundEntity as error:
            if not is_missing(error):
                raise
            raise TopologyError("queue", addresses.LISTS_QUEUE) from None
        except ChannelAccessRefused:
            lack = f'may not read queue "{addresses.LISTS_QUEUE}"'
            raise ForbiddenError(url, lack) from None
