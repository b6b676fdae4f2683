"""When a database's round state, nonces and presignatures may be answered from.

They are good for one answer each, so they must not come back: not from a dump, a restored backup, a
copied file, a rolled-back volume or a promoted replica. Each party's database therefore is in an
*incarnation*. Whoever opens it compares it with its `Witness`; if the two do not agree, a new
incarnation begins: everything ephemeral is emptied in one transaction, and what was sealed in
another incarnation does not open any more. Key shares, bans, evidence and cancellations stay.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .records import IncarnationRecord
from .witness import INCARNATION_BYTES, Sighting, Witness

EPHEMERAL = ("sessions", "inbox", "outbox", "nonces", "presignatures", "parked", "answers")
"""The tables that a new incarnation begins without."""

COLUMNS = "id, progress, origin, relations, begun_at, reason"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """The incarnation a database says it is in, and where we found the database.

    Attributes:
        origin: Where the database was when the incarnation began.
        place: Where it is now.
    """

    incarnation: bytes
    progress: int
    origin: str
    place: str


def doubt(seen: Sighting | None, found: Found | None) -> str | None:
    """Why what is in the database may have been answered from before; None if it was not."""
    if found is None and seen is None:
        return IncarnationRecord.FIRST
    if found is None:
        return "the database is in none: crashed, restored without round state, or promoted"
    if found.origin != found.place:
        return "the database was copied or restored, or its machine was started anew"
    if seen is None:
        return "the witness file is new or damaged"
    if seen.incarnation != found.incarnation:
        return "the witness knows another incarnation"
    if seen.progress > found.progress:
        return f"the database has gone back from {seen.progress} to {found.progress}"
    return None


class Fence:
    """What both backends' fences keep: the witness, and the incarnation that we are in.

    Arguments:
        tell: Hears of each incarnation that we come to be in.
    """

    def __init__(self, path: Path, tell: Callable[[bytes], None]) -> None:
        self.witness = Witness(path)
        self.incarnation: bytes | None = None
        """None until the database was looked at for the first time."""
        self._tell = tell

    def close(self) -> None:
        """Be in no incarnation any more; the next look finds out anew."""
        self.incarnation = None
        self.witness.close()

    def enter(self, sighting: Sighting) -> None:
        """Be in this incarnation, and let the witness know; to be held."""
        known = self.witness.read()
        if known is None or known.incarnation != sighting.incarnation:
            self.witness.write(sighting)
        else:
            self.witness.reach(sighting)
        self.incarnation = sighting.incarnation
        self._tell(sighting.incarnation)


def new_incarnation() -> bytes:
    """A random id, never used before."""
    return os.urandom(INCARNATION_BYTES)


def announce(incarnation: bytes, reason: str) -> None:
    """Let operators know: sessions under way and pools are lost by it."""
    logger.warning(
        "a new incarnation begins: round state, nonces and presignatures are emptied",
        extra={"incarnation": incarnation.hex(), "reason": reason},
    )


def record(row: object) -> IncarnationRecord:
    """From `COLUMNS`."""
    return IncarnationRecord(
        incarnation=row["id"],  # type: ignore[index]
        progress=row["progress"],  # type: ignore[index]
        begun_at=row["begun_at"],  # type: ignore[index]
        reason=row["reason"],  # type: ignore[index]
    )
