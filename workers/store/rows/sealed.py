"""What of a party's rows is sealed under the master key and stays: where it is, and how it is
sealed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from ..database import Row
from ..sealing import ErasedError, SealError, is_erasable
from .party import (
    KEY_SHARE_COLUMNS,
    NONCE_COLUMNS,
    PRESIGNATURE_COLUMNS,
    PartyRows,
)


class Sealed(StrEnum):
    """The value is what people are told."""

    KEY_SHARES = "key shares"
    NONCES = "nonces"
    PRESIGNATURES = "presignatures"


@dataclass(frozen=True, slots=True)
class Shape:
    """
    Attributes:
        key: Of the table; rows are read in its order.
    """

    table: str
    columns: str
    key: tuple[str, ...]

    def place(self, row: Row) -> tuple[object, ...]:
        """Of a row: its key's values."""
        return tuple(row[column] for column in self.key)


SHAPES: Mapping[Sealed, Shape] = {
    Sealed.KEY_SHARES: Shape("key_shares", KEY_SHARE_COLUMNS, ("key_session", "epoch")),
    Sealed.NONCES: Shape("nonces", NONCE_COLUMNS, ("nonce_id",)),
    Sealed.PRESIGNATURES: Shape("presignatures", PRESIGNATURE_COLUMNS, ("batch", "position")),
}


def sealed_again(rows: PartyRows, kind: Sealed, row: Row) -> bytes:
    """The row's secret, under the newest key. Raises SealError if it does not open."""
    values: tuple[object, ...]
    match kind:
        case Sealed.KEY_SHARES:
            values = rows.key_share_values(rows.key_share(row))
        case Sealed.NONCES:
            values = rows.nonce_values(rows.nonce(row))
        case Sealed.PRESIGNATURES:
            values = rows.presignature_values(rows.presignature(row))
        case _:
            assert_never(kind)
    secret = values[SHAPES[kind].columns.split(", ").index("secret")]
    assert isinstance(secret, bytes)
    return secret


def is_as_it_should_be(rows: PartyRows, kind: Sealed, row: Row) -> bool:
    """Whether the newest key, which these rows have alone, opens it, and it can be erased."""
    try:
        check_opens(rows, kind, row)
    except ErasedError:  # nothing opens it any more
        return True
    except SealError:
        return False
    return is_erasable(row["secret"])


def check_opens(rows: PartyRows, kind: Sealed, row: Row) -> None:
    """Raises SealError if the row's secret does not open."""
    match kind:
        case Sealed.KEY_SHARES:
            rows.key_share(row)
        case Sealed.NONCES:
            rows.nonce(row)
        case Sealed.PRESIGNATURES:
            rows.presignature(row)
        case _:
            assert_never(kind)
