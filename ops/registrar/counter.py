"""Where entries of the lists that all follow are signed and published."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Generic, TypeVar

from aio_pika.abc import AbstractConnection

from contracts import list_log
from contracts.client_list import Action, ClientEntry, ClientKey, ClientList
from contracts.connecting import connect
from contracts.errors import ContractError
from contracts.list_file import ListFile
from contracts.numbered_lists import Entry, NumberedList, SignedEntry

from .errors import HeldError, RefusedError
from .intents import kept_whole
from .settings import RegistrarSettings

E = TypeVar("E", bound=Entry)


class ListCounter(Generic[E]):
    """A list while it is held: nobody else signs on this machine.

    Arguments:
        path: Of its file.
    """

    def __init__(
        self,
        settings: RegistrarSettings,
        listed: NumberedList[E],
        file: ListFile[E],
        path: Path,
    ) -> None:
        self._list = listed
        self.file = file
        self._settings = settings
        self._path = path
        self._outstanding = Outstanding(path)

    async def agree(self) -> None:
        """Take what the stream has more, and give it what it lacks. Raises RefusedError if it lacks
        what is not here either."""
        async with await connect(self._settings.amqp_url) as connection:
            there = await self._read(connection)
            if missing := self.file.missing:
                raise RefusedError(
                    f"entries {missing.start} to {missing.stop - 1} of the list are neither in "
                    f"{self._path} nor at the broker, which has later ones: whoever "
                    "signed now would make a fork. Bring back the file, or that of another operator"
                )
            entries = self.file.entries
            lost = next(
                (at for at, each in enumerate(entries) if each.digest not in there), len(entries)
            )
            # With all that follow: whoever reads them from the beginning needs them in their order.
            await list_log.publish(connection, self._list.name, entries[lost:])
            await self._end_what_was_begun(connection)

    async def _end_what_was_begun(self, connection: AbstractConnection) -> None:
        """What was signed may be anywhere: another entry of its number would be a fork."""
        if (signed := self._outstanding.read()) is None:
            return
        if not self._list.knows(signed) and self._may_come(signed):
            await list_log.publish(connection, self._list.name, [signed])
            await self._read(connection)
            self._require_shown(signed)
        self._outstanding.done()

    def _may_come(self, signed: SignedEntry) -> bool:
        try:
            self._list.verified(signed)
        except ContractError:
            return False  # another one has its number
        return True

    async def _read(self, connection: AbstractConnection) -> set[bytes]:
        """Returns the digests of what is there and counts."""
        there: set[bytes] = set()
        async with contextlib.aclosing(list_log.read_to_end(connection)) as said:
            async for logged in said:
                if (signed := self.file.take(logged)) is not None:
                    there.add(signed.digest)
        return there

    def _signed(self, **content: Any) -> SignedEntry:
        now = time.time_ns() // 1_000_000
        return self._list.signed(self._settings.operator, issued_at=now, **content)

    async def say(self, **content: Any) -> int:
        """The next entry. Returns its number. Raises ContractError if it may not be said, and as
        `_publish` does."""
        return await self._publish(self._signed(**content))

    def require_fit_for(self, **content: Any) -> None:
        """Raises ContractError if that could not be said: before anything is done for it."""
        self._signed(**content)

    async def _publish(self, signed: SignedEntry) -> int:
        """It counts once it is in the stream, which orders what several operators sign. Returns its
        number. Raises RefusedError if another one was first, HeldError if none is to be seen."""
        number = self._list.number + 1
        self._outstanding.keep(signed)
        async with await connect(self._settings.amqp_url) as connection:
            await list_log.publish(connection, self._list.name, [signed])
            await self._read(connection)
        self._require_shown(signed)
        self._outstanding.done()
        if not self._list.knows(signed):
            raise RefusedError(
                "another operator has signed an entry at the same time, and that one counts: run "
                "this again. Followers report a fork, which this was"
            )
        return number

    def _require_shown(self, signed: SignedEntry) -> None:
        """Raises HeldError if the broker has confirmed it and shows no entry of its number."""
        if not self._list.knows(signed) and self._may_come(signed):
            raise HeldError(
                f"the broker has confirmed entry {self._list.number + 1} and does not show it. It "
                "is signed and kept, and the next command publishes it again: run this again"
            )


class Counter(ListCounter[ClientEntry]):
    """Of the list of clients."""

    def __init__(
        self, settings: RegistrarSettings, listed: ClientList, file: ListFile[ClientEntry]
    ) -> None:
        super().__init__(settings, listed, file, settings.list_file)
        self.listed = listed

    async def put(
        self,
        client_id: str,
        keys: tuple[ClientKey, ...],
        operations: tuple[str, ...] | None,
        *,
        again: bool = False,
    ) -> int:
        """These are the client's keys from now on; nothing is signed if they are already."""
        entry = self.listed.client(client_id)
        if entry is not None and (entry.keys, entry.operations) == (keys, operations):
            return self.listed.number
        return await self._publish(self._put(client_id, keys, operations, again=again))

    def require_fit(
        self,
        client_id: str,
        keys: tuple[ClientKey, ...],
        operations: tuple[str, ...] | None,
        *,
        again: bool = False,
    ) -> None:
        """Raises ContractError if that could not be said: before anything is done for it."""
        self._put(client_id, keys, operations, again=again)

    async def remove(self, client_id: str) -> int:
        """Nobody is this client from now on."""
        return await self.say(action=Action.REMOVE, client_id=client_id)

    def _put(
        self,
        client_id: str,
        keys: tuple[ClientKey, ...],
        operations: tuple[str, ...] | None,
        *,
        again: bool,
    ) -> SignedEntry:
        return self._signed(
            action=Action.PUT,
            client_id=client_id,
            keys=keys,
            operations=operations,
            again=True if again and self.listed.removed(client_id) else None,
        )


class Outstanding:
    """What was signed last, until it is seen in the stream. Whoever is cut short before that, or
    has a broker that keeps it back, must not sign another entry of its number."""

    def __init__(self, list_file: Path) -> None:
        self._path = list_file.with_name(f"{list_file.name}.signed")

    def read(self) -> SignedEntry | None:
        """None if there is nothing, or it was not written to its end: then nobody else has it."""
        try:
            return SignedEntry.from_bytes(self._path.read_bytes())
        except (FileNotFoundError, ContractError):
            return None

    def keep(self, signed: SignedEntry) -> None:
        """On the disk before anybody else has it. Raises OSError."""
        kept_whole(self._path, signed.to_bytes())

    def done(self) -> None:
        """It is seen, or never will be."""
        self._path.unlink(missing_ok=True)
