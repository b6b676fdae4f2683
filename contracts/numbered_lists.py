"""Lists that operators sign and many processes follow, such as that of the clients.

A list is a chain of entries. Each has a number and the digest of the entry before, so that nobody
between can make one up, leave one out, or bring an old one back: all that they can do is to hide
the newest end. Entry 0 is what stands in a follower's own configuration.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from pydantic import Field, ValidationError

from . import strict_json
from .encoding import digest
from .errors import ContractError, UnauthenticatedError
from .identity import Identity, PublicIdentity
from .primitives import Base64, Contract, Hex32, UnixMillis
from .signing import explain

ENTRY_TAG: Final = b"warren/list-entry/v1"
CHAIN_TAG: Final = b"warren/list-chain/v1"
MAX_ENTRY_BYTES: Final = 8192
MAX_SIGNED_BYTES: Final = 12_288
"""Of an entry with its signature, as it is published. Looked at before anything else."""
MAX_ENTRIES: Final = 1_000_000
"""Of one list; about a kilobyte each."""
FIRST: Final = bytes(32)
"""What the first entry has for its predecessor's digest."""


class Entry(Contract):
    """What all lists' entries have. Which list it is stands in a field of each list's own, so that
    an entry of one is none of another."""

    number: int = Field(ge=1, le=MAX_ENTRIES)
    """From 1, without gaps."""
    previous: Hex32
    """Digest of the entry before; zeros in the first."""
    signer: Base64
    """The operator's public key, DER SubjectPublicKeyInfo."""
    issued_at: UnixMillis


E = TypeVar("E", bound=Entry)


class SignedEntry(Contract):
    """An entry as an operator wrote and signed it. Not to be believed before a list has it."""

    body: Base64 = Field(max_length=MAX_ENTRY_BYTES)
    """JSON of an `Entry`."""
    signature: Base64 = Field(max_length=256)
    """ECDSA-P256-SHA256, DER, over the tag ``warren/list-entry/v1`` and the body, each behind its
    length in four bytes."""

    @classmethod
    def of(cls, entry: Entry, operator: Identity) -> SignedEntry:
        """Raises ValueError if the entry names another signer."""
        if entry.signer != operator.public.der:
            raise ValueError("the entry names another signer")
        body = entry.model_dump_json(exclude_none=True).encode()
        return cls(body=body, signature=operator.sign(ENTRY_TAG, body))

    @property
    def digest(self) -> bytes:
        """What the next entry names. Without the signature, for there are many of one body."""
        return digest(CHAIN_TAG, self.body)

    def to_bytes(self) -> bytes:
        """As it is published, and stands in a file."""
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedEntry:
        """Raises UnauthenticatedError for what is no signed entry by its size or form."""
        if len(data) > MAX_SIGNED_BYTES:
            raise _not_believed(
                f"{len(data)} bytes; an entry of a list has at most {MAX_SIGNED_BYTES}", "oversized"
            )
        try:
            return cls.model_validate_json(strict_json.checked(data))
        except (ValidationError, ContractError) as error:
            raise _not_believed(f"no signed entry: {explain(error)}", "malformed") from None


class ListError(ContractError):
    """An operator has signed it, and it does not continue the list that we know: a gap, a fork, or
    what a list must not say.

    Attributes:
        kind: ``gap``, ``fork`` or ``content``.
        number: Of a gap: that of the entry behind it.
    """

    def __init__(self, reason: str, *, kind: str, number: int = 0) -> None:
        super().__init__(reason)
        self.kind = kind
        self.number = number


@dataclass(frozen=True, slots=True)
class ListOperator:
    """Whose entries count.

    Attributes:
        last: The number of the last entry that may be theirs, of somebody who is no operator any
            more; None: there is no such end.
    """

    identity: PublicIdentity
    last: int | None = None


class NumberedList(ABC, Generic[E]):
    """What operators have said so far, verified entry by entry.

    A list of another kind names its entries' class and says what they do: `check`, which changes
    nothing, and `apply`, which cannot fail after it.
    """

    name: ClassVar[str]
    entry: type[E]

    def __init__(self, operators: Iterable[ListOperator]) -> None:
        self._operators = tuple(operators)
        self._digests: list[bytes] = []
        self._known: set[bytes] = set()

    @property
    def number(self) -> int:
        """Of the last entry; 0 before the first."""
        return len(self._digests)

    @property
    def head(self) -> bytes:
        """Digest of the last entry."""
        return self._digests[-1] if self._digests else FIRST

    def digest_of(self, number: int) -> bytes:
        """Of the entry of this number, which is known."""
        return self._digests[number - 1] if number else FIRST

    def knows(self, signed: SignedEntry) -> bool:
        """Whether it stands in the list. Costs no verification: its bytes were verified."""
        return signed.digest in self._known

    def verified(self, signed: SignedEntry) -> E:
        """The entry, if it may come next. Nothing changes: whoever keeps it, does so before it
        counts.

        Raises:
            UnauthenticatedError: no operator's.
            ListError: another entry has its number, or it does not follow the last one.
        """
        entry = self._opened(signed)
        if entry.number <= self.number:
            raise ListError(
                f"a fork: entry {entry.number} of the list of {self.name} is another one than was "
                "verified before. Two operators signed at the same time, or an operator's key is "
                "in use elsewhere",
                kind="fork",
            )
        if entry.number != self.number + 1:
            raise ListError(
                f"a gap: entry {entry.number} of the list of {self.name} came after entry "
                f"{self.number}",
                kind="gap",
                number=entry.number,
            )
        if entry.previous != self.head:
            raise ListError(
                f"a fork: entry {entry.number} of the list of {self.name} follows another entry "
                f"{self.number} than was verified before",
                kind="fork",
            )
        self.check(entry)
        return entry

    def take(self, signed: SignedEntry) -> bool:
        """Go on by one entry, `verified` here. False if it is known already."""
        if self.knows(signed):
            return False
        entry = self.verified(signed)
        self.apply(entry)
        self._digests.append(signed.digest)
        self._known.add(signed.digest)
        return True

    def signed(self, operator: Identity, *, issued_at: int, **content: Any) -> SignedEntry:
        """The next entry, by this operator. Raises ContractError if it may not come next."""
        try:
            entry = self.entry(
                number=self.number + 1,
                previous=self.head,
                signer=operator.public.der,
                issued_at=issued_at,
                **content,
            )
        except ValidationError as error:
            raise ContractError(explain(error)) from None
        made = SignedEntry.of(entry, operator)
        self.verified(made)
        return made

    @abstractmethod
    def check(self, entry: E) -> None:
        """Raises ListError for what this list must not say after what it has said."""

    @abstractmethod
    def apply(self, entry: E) -> None:
        """What the entry says counts from now on."""

    def _opened(self, signed: SignedEntry) -> E:
        try:
            entry = self.entry.model_validate_json(strict_json.checked(signed.body))
        except (ValidationError, ContractError) as error:
            reason = f"no entry of the list of {self.name}: {explain(error)}"
            raise _not_believed(reason, "malformed") from None
        for operator in self._operators:
            if operator.identity.der == entry.signer:
                operator.identity.verify(ENTRY_TAG, signed.body, signed.signature)
                _still(operator, entry)
                return entry
        raise _not_believed(
            "signed by a key that is no operator's here: it must stand under [[clients]] with "
            "operator = true",
            "stranger",
        )


def _still(operator: ListOperator, entry: Entry) -> None:
    if operator.last is not None and entry.number > operator.last:
        raise _not_believed(
            f"signed by somebody who is no operator any more since entry {operator.last}",
            "former_operator",
        )


def _not_believed(reason: str, kind: str) -> UnauthenticatedError:
    return UnauthenticatedError(reason, kind=kind)
