"""Entries of lists as rows and back."""

from __future__ import annotations

from ..database import Row
from ..records import ListEntryRecord

LIST_ENTRY_COLUMNS = "list_name, number, digest, body, signature"


def list_entry_values(entry: ListEntryRecord) -> tuple[object, ...]:
    """In the order of `LIST_ENTRY_COLUMNS`."""
    return entry.list_name, entry.number, entry.digest, entry.body, entry.signature


def list_entry(row: Row) -> ListEntryRecord:
    return ListEntryRecord(
        list_name=row["list_name"],
        number=row["number"],
        digest=row["digest"],
        body=row["body"],
        signature=row["signature"],
    )
