"""What operators have signed, as it is kept: see `contracts.numbered_lists`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntryRecord:
    """One entry of a list. (list_name, number) is unique.

    Attributes:
        digest: What the next entry names.
        body: As the operator signed it.
    """

    list_name: str
    number: int
    digest: bytes
    body: bytes
    signature: bytes
