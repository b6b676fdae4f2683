"""The list of clients: who may ask, by which keys, for what. See `numbered_lists`.

For a client id that the list names, the list alone decides; for others, the follower's own
configuration does. An id that was removed is not given away silently: its keys at the parties are
its owner's, and would be the next one's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import ClassVar, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from .admission import ClientPolicy, Policies
from .identity import PublicIdentity
from .numbered_lists import Entry, ListError, ListOperator, NumberedList
from .operations import OPERATIONS, RIGHTS, known_right
from .primitives import Base64, Contract, Id, UnixMillis

MAX_KEYS: Final = 4


class Action(StrEnum):
    """What an entry does to a client."""

    PUT = "put"
    """These are its keys and what it may ask, from now on."""
    REMOVE = "remove"
    """Nobody is this client any more."""


class ClientKey(Contract):
    """One key of a client's."""

    public_key: Base64
    """DER SubjectPublicKeyInfo, P-256."""
    valid_until: UnixMillis | None = None
    """By the clock of whoever checks; none: until another entry says so."""

    @field_validator("public_key")
    @classmethod
    def _is_one(cls, der: bytes) -> bytes:
        PublicIdentity(der)
        return der


class ClientEntry(Entry):
    """One change of one client."""

    list: Literal["clients"] = "clients"
    action: Action
    client_id: Id
    keys: tuple[ClientKey, ...] | None = Field(default=None, min_length=1, max_length=MAX_KEYS)
    """`put` only. Several, while one takes the place of another."""
    operations: tuple[str, ...] | None = None
    """`put` only. Absent: all of them."""
    again: bool | None = None
    """`put` only: said of an id that was removed before, whose keys are this client's then."""

    @field_validator("operations")
    @classmethod
    def _are_rights(
        cls, names: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        """None is made with another word. Some were signed when what goes with another right could
        be named; nothing came of it, so that is left out of what is read."""
        if names is None:
            return None
        read = info.mode == "json"
        goes_along = {name for name in names if read and name in OPERATIONS and name not in RIGHTS}
        return tuple(known_right(name) for name in names if name not in goes_along)

    @model_validator(mode="after")
    def _fields_of_its_action(self) -> ClientEntry:
        put = self.action is Action.PUT
        if put != (self.keys is not None):
            raise ValueError(f"{self.action} {'needs' if put else 'has no'} keys")
        if not put and (self.operations, self.again) != (None, None):
            raise ValueError(f"{self.action} has no operations and is not again")
        ders = [key.public_key for key in self.keys or ()]
        if len(set(ders)) != len(ders):
            raise ValueError("a key stands there twice")
        return self


class ClientList(NumberedList[ClientEntry]):
    """The clients as operators have said it."""

    name: ClassVar[str] = "clients"
    entry = ClientEntry

    def __init__(self, operators: Iterable[ListOperator]) -> None:
        super().__init__(operators)
        self._clients: dict[str, ClientEntry] = {}
        self._removed: set[str] = set()
        self._owners: dict[bytes, str] = {}

    def check(self, entry: ClientEntry) -> None:
        for key in entry.keys or ():
            owner = self._owners.get(key.public_key, entry.client_id)
            if owner != entry.client_id:
                raise ListError(
                    f"entry {entry.number} gives {entry.client_id} the key of {owner}: each client "
                    "has its own",
                    kind="content",
                )
        if entry.client_id in self._removed and not (entry.action is Action.PUT and entry.again):
            raise ListError(
                f"entry {entry.number} is about {entry.client_id}, which was removed: whoever is "
                "called so again has the keys of the former one, and must be said to be `again`",
                kind="content",
            )

    def apply(self, entry: ClientEntry) -> None:
        client_id = entry.client_id
        if entry.action is Action.REMOVE:
            self._clients.pop(client_id, None)
            self._removed.add(client_id)
            return
        self._removed.discard(client_id)
        self._clients[client_id] = entry
        # Also keys of before: nobody else may come by one that was seen.
        self._owners |= {key.public_key: client_id for key in entry.keys or ()}

    def client(self, client_id: str) -> ClientEntry | None:
        """As the last entry about it has it; None if it is not in the list, or not any more."""
        return self._clients.get(client_id)

    def clients(self) -> list[ClientEntry]:
        """In the order of their ids."""
        return [self._clients[name] for name in sorted(self._clients)]

    def removed(self, client_id: str) -> bool:
        """Whether its last entry removes it."""
        return client_id in self._removed

    def seen(self, public_key: bytes) -> bool:
        """Whether it is or was somebody's."""
        return public_key in self._owners

    def names(self, client_id: str | None) -> bool:
        """Whether the list decides about this client."""
        return client_id in self._clients or client_id in self._removed

    def policies(self) -> Iterator[tuple[ClientPolicy, int | None]]:
        """Each key with what it may sign, and until when."""
        for entry in self._clients.values():
            operations = None if entry.operations is None else frozenset(entry.operations)
            for key in entry.keys or ():
                identity = PublicIdentity(key.public_key)
                policy = ClientPolicy(
                    identity=identity, client_id=entry.client_id, operations=operations
                )
                yield policy, key.valid_until


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class KnownClients(Policies):
    """Whom a process knows at this moment: by its configuration, and by the list where that says
    something.

    Operators are pinned: no entry of a list makes one, or takes one away.

    Arguments:
        base: As the configuration has them.
        clock: Unix milliseconds.
        lenience_ms: For so much longer a key is taken, where others have let it in before.
    """

    def __init__(
        self,
        base: Iterable[ClientPolicy],
        listed: ClientList,
        *,
        clock: Callable[[], int] = _now_ms,
        lenience_ms: int = 0,
    ) -> None:
        self._base = tuple(base)
        self._listed = listed
        self._clock = clock
        self._lenience_ms = lenience_ms
        self._seen = -1
        self._changes_at: int | None = None
        super().__init__(())

    @property
    def ids(self) -> frozenset[str]:
        """Those that have queues of their own."""
        return frozenset(each.client_id for each in self if each.client_id is not None)

    def _current(self) -> Policies:
        now = self._clock() - self._lenience_ms
        ended = self._changes_at is not None and now >= self._changes_at
        if self._seen != self._listed.number or ended:
            self._fill(now)
        return self

    def _fill(self, now: int) -> None:
        kept = (each for each in self._base if each.operator or not self._by_list(each))
        listed = list(self._listed.policies())
        valid = [policy for policy, until in listed if until is None or now < until]
        ends = [until for _, until in listed if until is not None and now < until]
        self._set((*kept, *valid))
        self._changes_at = min(ends, default=None)
        self._seen = self._listed.number

    def _by_list(self, policy: ClientPolicy) -> bool:
        return policy.client_id is not None and self._listed.names(policy.client_id)
