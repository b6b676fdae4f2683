"""The parties as somebody knows them: by which keys each speaks now, and by which it ever did."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeVar

from .errors import ContractError, UnauthenticatedError
from .identity import PublicIdentity

T = TypeVar("T")


class Role(StrEnum):
    """What a party is there for."""

    PERSISTENT = "persistent"
    """It holds shares and signs."""
    RECOVERY = "recovery"
    """It holds shares of keys whose requests name it, and is asked where it is named, or where the
    other holders are too few."""


@dataclass(frozen=True, slots=True)
class Peer:
    """
    Attributes:
        index: Its place among all parties, from 1; 0 where nobody orders them.
        identity: The key that sessions name it by.
        others: Further keys that count now.
        former: Those that counted before: what they certified stays valid.
        drained: It is to get nothing new.
        present: False of one that has retired, or has no key that counts.
    """

    index: int
    identity: PublicIdentity
    others: tuple[PublicIdentity, ...] = ()
    former: tuple[PublicIdentity, ...] = ()
    role: Role = Role.PERSISTENT
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    drained: bool = False
    present: bool = True

    @property
    def current(self) -> tuple[PublicIdentity, ...]:
        """By which it speaks now."""
        return (self.identity, *self.others) if self.present else ()

    @property
    def ever(self) -> tuple[PublicIdentity, ...]:
        """By which it speaks or spoke at any time."""
        return (self.identity, *self.others, *self.former)


Pinned: TypeAlias = PublicIdentity | Collection[PublicIdentity]
"""One key, or all that are as good."""


def identities(pinned: Pinned) -> Collection[PublicIdentity]:
    """All of them."""
    return (pinned,) if isinstance(pinned, PublicIdentity) else pinned


def by_any(pinned: Pinned, check: Callable[[PublicIdentity], T]) -> T:
    """What the check returns for the first key that passes it.

    Raises ContractError: that of the last one, for which it is called in any case.
    """
    *firsts, last = identities(pinned) or (None,)
    if last is None:
        raise UnauthenticatedError("the party has no key that counts now", kind="stranger")
    for each in firsts:
        try:
            return check(each)
        except ContractError:
            continue
    return check(last)


class Speaking(Mapping[str, Collection[PublicIdentity]]):
    """Those who speak now, by the keys that count now. Who spoke before is found and has none, so
    that nobody takes a key of before for it. Looks at each use."""

    def __init__(self, peers: Mapping[str, Peer]) -> None:
        self._peers = peers

    def __getitem__(self, party_id: str) -> Collection[PublicIdentity]:
        return self._peers[party_id].current

    def __iter__(self) -> Iterator[str]:
        return (name for name, peer in self._peers.items() if peer.present)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Certifying(Mapping[str, Collection[PublicIdentity]]):
    """All that there are or were, by the keys that were ever theirs. Looks at each use."""

    def __init__(self, peers: Mapping[str, Peer]) -> None:
        self._peers = peers

    def __getitem__(self, party_id: str) -> Collection[PublicIdentity]:
        return self._peers[party_id].ever

    def __iter__(self) -> Iterator[str]:
        return iter(self._peers)

    def __len__(self) -> int:
        return len(self._peers)
