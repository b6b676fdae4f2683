"""Which letters are meant: by an id or its beginning, or by what they have in common."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ops.deadletters import contents, reasons
from ops.deadletters.letter import ID_DIGITS, Letter

_PREFIX = re.compile(r"[0-9a-f]{1,64}")


class SelectionError(Exception):
    """The text says which id, and what is wrong with it."""


class NoSuchLetterError(SelectionError):
    """No letter that was looked at has this id."""


class AmbiguousIdError(SelectionError):
    """Several letters have ids that begin so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A letter in a list: all that is known of it but its content."""

    digest: str
    position: int
    died_at: str | None
    """UTC, ISO 8601; None where nobody noted it."""
    source: str | None
    kind: str
    parts: tuple[str, ...]
    """The kinds of the messages in a bundle."""
    size: int
    reason: str
    message_id: str

    @classmethod
    def of(cls, letter: Letter) -> Entry:
        """What a list shows of a letter."""
        at = letter.died_at
        return cls(
            digest=letter.digest(),
            position=letter.position,
            died_at=None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            source=letter.source,
            kind=letter.kind,
            parts=tuple(part.kind for part in contents.parts_of(letter.body)),
            size=len(letter.body),
            reason=reasons.in_words(letter),
            message_id=letter.message_id,
        )

    @property
    def id(self) -> str:
        """The beginning of its digest: as much as people type."""
        return self.digest[:ID_DIGITS]

    def as_json(self) -> dict[str, Any]:
        """The entry for programs."""
        return {
            "id": self.id,
            "position": self.position,
            "died_at": self.died_at,
            "from": self.source,
            "kind": self.kind,
            **({"parts": list(self.parts)} if self.parts else {}),
            "bytes": self.size,
            "reason": self.reason,
            "message_id": self.message_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """
    Attributes:
        source, kind: Patterns as of a shell: ``warren.inbox.*``, ``keygen/*``; of a bundle, the
            kind of any of its messages.
        reason: A part of it, in upper or lower case.
    """

    source: str | None = None
    kind: str | None = None
    reason: str | None = None

    def passes(self, entry: Entry) -> bool:
        """Whether the entry is among those that were asked for."""
        return (
            (self.source is None or fnmatch.fnmatchcase(entry.source or "", self.source))
            and (self.kind is None or any(map(self._is_kind, (entry.kind, *entry.parts))))
            and (self.reason is None or self.reason.lower() in entry.reason.lower())
        )

    def _is_kind(self, kind: str) -> bool:
        return fnmatch.fnmatchcase(kind, self.kind or "")

    def __bool__(self) -> bool:
        return (self.source, self.kind, self.reason) != (None, None, None)


def by_ids(ids: Iterable[str], entries: Sequence[Entry]) -> list[Entry]:
    """Those that the ids mean, all copies of each. Raises SelectionError for the first bad one."""
    meant: set[str] = set()
    for prefix in ids:
        digests = {entry.digest for entry in entries if entry.digest.startswith(prefix)}
        if not _PREFIX.fullmatch(prefix) or not digests:
            raise NoSuchLetterError(f"there is no letter {prefix!r} among the {len(entries)} here")
        if len(digests) > 1:
            # In full where twelve digits would not tell them apart.
            digits = ID_DIGITS if len({each[:ID_DIGITS] for each in digests}) > 1 else 64
            named = ", ".join(sorted(each[:digits] for each in digests)[:5])
            raise AmbiguousIdError(f"{len(digests)} letters begin with {prefix!r}: {named}")
        meant |= digests
    return [entry for entry in entries if entry.digest in meant]
