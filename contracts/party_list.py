"""The list of parties: who they are, by which keys, and whether they take part. See
`numbered_lists`.

For a party that the list names, the list alone decides; for others, the follower's own
configuration does. Ids, indices and keys are given once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from .identity import PublicIdentity
from .numbered_lists import Entry, ListError, ListOperator, NumberedList
from .peers import Peer, Role
from .primitives import Base64, Contract, Id, UnixMillis

MAX_KEYS: Final = 4
MAX_LABELS: Final = 8
MAX_INDEX: Final = 1_000_000

Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
LabelText = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")]

logger = logging.getLogger(__name__)


class Action(StrEnum):
    """What an entry does to a party."""

    PUT = "put"
    """This is the party from now on, which takes part unless it is said to stay drained."""
    DRAIN = "drain"
    """It is to get nothing new."""
    RETIRE = "retire"
    """It is a party no more, and nobody is called so again."""
    LOST = "lost"
    """One of its keys says nothing any more. What it certified before stays valid."""


class PartyKey(Contract):
    """One key of a party's."""

    public_key: Base64
    """DER SubjectPublicKeyInfo, P-256."""
    valid_from: UnixMillis | None = None
    """From when sessions name the party by it, by the coordinator's clock; it is believed before.
    None: at once."""
    valid_until: UnixMillis | None = None
    """By the clock of whoever checks; none: until another entry says so."""

    @field_validator("public_key")
    @classmethod
    def _is_one(cls, der: bytes) -> bytes:
        PublicIdentity(der)
        return der

    @property
    def identity(self) -> PublicIdentity:
        return PublicIdentity(self.public_key)


class PartyEntry(Entry):
    """One change of one party."""

    list: Literal["parties"] = "parties"
    action: Action
    party_id: Id
    index: int | None = Field(default=None, ge=1, le=MAX_INDEX)
    """`put` only. Orders the parties of every key."""
    role: Role | None = None
    """`put` only."""
    labels: dict[Label, LabelText] | None = Field(default=None, max_length=MAX_LABELS)
    """`put` only: where it is and what it is, such as its zone."""
    keys: tuple[PartyKey, ...] | None = Field(default=None, min_length=1, max_length=MAX_KEYS)
    """`put` only. Several, while one takes the place of another."""
    drained: Literal[True] | None = None
    """`put` only: it still is to get nothing new."""
    lost: Base64 | None = None
    """`lost` only: the public key that it is about."""

    @model_validator(mode="after")
    def _fields_of_its_action(self) -> PartyEntry:
        put = self.action is Action.PUT
        if any((field is not None) != put for field in (self.index, self.role, self.keys)):
            raise ValueError(f"{self.action} {'needs' if put else 'has no'} index, role and keys")
        if not put and (self.labels, self.drained) != (None, None):
            raise ValueError(f"{self.action} has no labels, and does not say what is drained")
        if (self.lost is not None) != (self.action is Action.LOST):
            raise ValueError("a lost key goes with lost, and always does")
        ders = [key.public_key for key in self.keys or ()]
        if len(set(ders)) != len(ders):
            raise ValueError("a key stands there twice")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedParty:
    """
    Attributes:
        keys: As the last `put` has them, but for lost ones.
        seen: All keys that were ever its in the list, in their order.
    """

    party_id: str
    index: int
    role: Role
    labels: Mapping[str, str]
    keys: tuple[PartyKey, ...]
    seen: tuple[PublicIdentity, ...]
    lost: frozenset[bytes] = frozenset()
    drained: bool = False
    retired: bool = False


class PartyList(NumberedList[PartyEntry]):
    """The parties as operators have said it."""

    name: ClassVar[str] = "parties"
    entry = PartyEntry

    def __init__(self, operators: Iterable[ListOperator]) -> None:
        super().__init__(operators)
        self._parties: dict[str, ListedParty] = {}
        self._indices: dict[int, str] = {}
        self._owners: dict[bytes, str] = {}

    def check(self, entry: PartyEntry) -> None:
        known = self._parties.get(entry.party_id)
        if known is not None and known.retired:
            raise _wrong(entry, "has retired, and nobody is called so again")
        if entry.action is Action.PUT:
            self._check_put(entry, known)
        elif known is None:
            raise _wrong(entry, "is not in the list: it has to be put there first")
        elif entry.lost is not None and (
            entry.lost in known.lost or self._owners.get(entry.lost) != entry.party_id
        ):
            raise _wrong(entry, "has no such key to lose")

    def _check_put(self, entry: PartyEntry, known: ListedParty | None) -> None:
        assert entry.index is not None  # by the entry's own check
        owner = self._indices.get(entry.index, entry.party_id)
        if owner != entry.party_id:
            raise _wrong(entry, f"gets the index of {owner}: each party has its own for ever")
        if known is not None and known.index != entry.index:
            raise _wrong(entry, f"has index {known.index}, and keeps it")
        for key in entry.keys or ():
            owner = self._owners.get(key.public_key, entry.party_id)
            if owner != entry.party_id:
                raise _wrong(entry, f"gets the key of {owner}: each party has its own")
            if known is not None and key.public_key in known.lost:
                raise _wrong(entry, "gets a key that was lost")

    def apply(self, entry: PartyEntry) -> None:
        name = entry.party_id
        if entry.action is Action.PUT:
            self._put(entry)
            return
        known = self._parties[name]
        if entry.action is Action.DRAIN:
            self._parties[name] = replace(known, drained=True)
        elif entry.action is Action.RETIRE:
            self._parties[name] = replace(known, retired=True)
        else:
            assert entry.lost is not None
            left = tuple(key for key in known.keys if key.public_key != entry.lost)
            self._parties[name] = replace(known, keys=left, lost=known.lost | {entry.lost})

    def _put(self, entry: PartyEntry) -> None:
        assert entry.index is not None
        assert entry.role is not None
        name, keys = entry.party_id, entry.keys or ()
        before = self._parties.get(name)
        seen = () if before is None else before.seen
        self._parties[name] = ListedParty(
            party_id=name,
            index=entry.index,
            role=entry.role,
            labels=entry.labels or {},
            keys=keys,
            seen=(*seen, *(key.identity for key in keys if key.identity not in seen)),
            lost=frozenset() if before is None else before.lost,
            drained=entry.drained is True,
        )
        self._indices[entry.index] = name
        self._owners |= {key.public_key: name for key in keys}

    def party(self, party_id: str) -> ListedParty | None:
        """As it was said last; None if it is not in the list."""
        return self._parties.get(party_id)

    def parties(self) -> list[ListedParty]:
        """In the order of their indices, those that have retired included."""
        return sorted(self._parties.values(), key=lambda party: party.index)


def _wrong(entry: PartyEntry, text: str) -> ListError:
    return ListError(
        f"entry {entry.number} is about {entry.party_id}, which {text}", kind="content"
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class KnownParties(Mapping[str, Peer]):
    """Whom a process knows as parties at this moment, in the order of their indices: by its
    configuration, and by the list where that says something. Those that have retired are among
    them, for what they certified, and speak no more.

    Arguments:
        base: As the configuration has them.
        clock: Unix milliseconds.
        lenience_ms: For so much longer a key is believed.
    """

    def __init__(
        self,
        base: Mapping[str, Peer],
        listed: PartyList,
        *,
        clock: Callable[[], int] = _now_ms,
        lenience_ms: int = 0,
    ) -> None:
        self._base = dict(base)
        self._listed = listed
        self._clock = clock
        self._lenience_ms = lenience_ms
        self._seen = -1
        self._changes_at: int | None = None
        self._peers: Mapping[str, Peer] = {}
        self._alarmed: set[str] = set()

    def __getitem__(self, party_id: str) -> Peer:
        return self._current()[party_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def __repr__(self) -> str:
        return f"KnownParties({', '.join(self)})"

    def _current(self) -> Mapping[str, Peer]:
        now = self._clock()
        ended = self._changes_at is not None and now >= self._changes_at
        if self._seen != self._listed.number or ended:
            self._fill(now)
        return self._peers

    def _fill(self, now: int) -> None:
        listed = self._listed.parties()
        names = {party.party_id for party in listed}
        found = {name: peer for name, peer in self._base.items() if name not in names}
        found |= {party.party_id: self._peer(party, now) for party in listed if self._fits(party)}
        self._peers = dict(sorted(found.items(), key=lambda each: each[1].index))
        moments = [
            moment
            for party in listed
            for key in party.keys
            for moment in (
                key.valid_from,
                None if key.valid_until is None else key.valid_until + self._lenience_ms,
                key.valid_until,
            )
            if moment is not None and moment > now
        ]
        self._changes_at = min(moments, default=None)
        self._seen = self._listed.number

    def _peer(self, party: ListedParty, now: int) -> Peer:
        counting = [
            key
            for key in party.keys
            if key.valid_until is None or now < key.valid_until + self._lenience_ms
        ]
        base = self._base.get(party.party_id)
        seen = dict.fromkeys((*(() if base is None else base.ever), *party.seen))
        name = _name(counting, now) or party.seen[-1]
        counts = [key.identity for key in counting]
        return Peer(
            index=party.index,
            identity=name,
            others=tuple(each for each in counts if each != name),
            former=tuple(each for each in seen if each not in (name, *counts)),
            role=party.role,
            labels=party.labels,
            drained=party.drained,
            present=bool(counting) and not party.retired,
        )

    def _fits(self, party: ListedParty) -> bool:
        """Nobody gets what the configuration gives somebody else."""
        for name, peer in self._base.items():
            own = name == party.party_id
            other_index = peer.index != 0 and (peer.index == party.index) != own
            if other_index or (not own and not set(peer.ever).isdisjoint(party.seen)):
                if party.party_id not in self._alarmed:
                    self._alarmed.add(party.party_id)
                    logger.error(
                        "ALARM: the list of parties contradicts the configuration",
                        extra={"party": party.party_id, "configured": name},
                    )
                return False
        return True


def _name(counting: Iterable[PartyKey], now: int) -> PublicIdentity | None:
    """The newest that has begun and not ended; or else the one that comes nearest to it."""
    best = max(
        enumerate(counting),
        key=lambda each: (
            each[1].valid_until is None or now < each[1].valid_until,
            (each[1].valid_from or 0) <= now,
            each[1].valid_from or 0,
            each[0],
        ),
        default=None,
    )
    return None if best is None else best[1].identity
