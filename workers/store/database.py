"""What a backend has to offer, so that statements that both understand are written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .records import Outcome


class Row(Protocol):
    """Of a result: its columns by name."""

    def __getitem__(self, column: str, /) -> Any: ...


class Database(Protocol):
    """Each call is a transaction; placeholders are `$1`, `$2` ..."""

    async def open(self) -> None:
        """Or again, if it was closed."""

    async def close(self) -> None:
        """Nothing is left open; doing it twice changes nothing."""

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        """The rows that the statement returns, all of them."""

    async def execute(self, statement: str, *values: object) -> int:
        """Returns how many rows it changed."""

    async def require_writable(self) -> None:
        """Raises ReadOnlyError if it takes no changes."""

    async def attest(self) -> None:
        """Compare it with its witness, if it has one."""

    async def revision(self, table: str) -> str | None:
        """Of the schema, as the migrations left it in `table`; None if it is not there."""


class RefusedError(Exception):
    """Ends a transaction of which nothing may remain."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome
