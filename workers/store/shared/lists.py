# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""Entries of lists that operators sign, in words that both databases understand."""

from __future__ import annotations

from ..database import Database
from ..records import ListEntryRecord
from ..rows.lists import LIST_ENTRY_COLUMNS, list_entry, list_entry_values

ADD_LIST_ENTRY = f"""
    INSERT INTO list_entries ({LIST_ENTRY_COLUMNS}) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING
"""

LIST_ENTRY = f"""
    SELECT {LIST_ENTRY_COLUMNS} FROM list_entries WHERE list_name = $1 AND number = $2
"""

LIST_ENTRIES = f"""
    SELECT {LIST_ENTRY_COLUMNS} FROM list_entries
    WHERE list_name = $1 AND number > $2
    ORDER BY number
    LIMIT $3
"""


class SharedLists:
    """What both roles' stores know of them."""

    _database: Database

    async def add_list_entry(self, entry: ListEntryRecord, previous: bytes) -> bool:
        # Entries are neither changed nor taken out, so what is there before stays there.
        if entry.number > 1 and await self._digest_of(entry, entry.number - 1) != previous:
            return False
        if await self._database.execute(ADD_LIST_ENTRY, *list_entry_values(entry)):
            return True
        return await self._digest_of(entry, entry.number) == entry.digest

    async def _digest_of(self, entry: ListEntryRecord, number: int) -> bytes | None:
        """Of the entry of this number in the same list."""
        found = await self._database.fetch(LIST_ENTRY, entry.list_name, number)
        return list_entry(found[0]).digest if found else None

    async def list_entries(
        self, list_name: str, *, after: int, limit: int
    ) -> list[ListEntryRecord]:
        found = await self._database.fetch(LIST_ENTRIES, list_name, after, limit)
        return [list_entry(row) for row in found]
