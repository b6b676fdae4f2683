"""What every round of every protocol is made of: parties, inbox, outbox, faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NewType, TypeVar

PartyIndex = NewType("PartyIndex", int)
"""A party's place in one key and the x-coordinate of its share: 1..n, never 0."""

MAX_PARTIES = 20
"""Largest ``party_count``. Keeps indices in one byte and a key generation within milliseconds."""

M = TypeVar("M")
B = TypeVar("B")
D = TypeVar("D")

Inbox = Mapping[PartyIndex, M]
"""One message from every *other* party of a round. A step knows what it sent itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox(Generic[B, D]):
    """What one round sends. Two fields, so that a share cannot be broadcast by a slip."""

    broadcast: B | None = None
    direct: Mapping[PartyIndex, D] = field(default_factory=dict)


class ProtocolError(Exception):
    """Base of everything a protocol step raises. The class says what to do next."""


class MisuseError(ProtocolError):
    """Our own code or data is at fault. No party is to blame, and trying again will not help."""


class SpoiltSessionError(ProtocolError):
    """The session cannot go on and nobody's guilt is proven: new session, new coins."""


class EchoMismatchError(SpoiltSessionError):
    """Parties saw different broadcasts. The relay may have framed any of them.

    Attributes:
        parties: Those whose digest differs from ours. Not culprits.
    """

    def __init__(self, parties: frozenset[PartyIndex]) -> None:
        super().__init__(f"parties {sorted(parties)} saw other broadcasts than we did")
        self.parties = parties


class DisputeError(SpoiltSessionError):
    """One party says that what others sealed for it is wrong, and nobody else can look.

    Either the accuser lies or an accused did. The next try separates each pair.

    Attributes:
        accuser: Who says so: the party whose step raised this.
        accused: Whose sealed messages it could not use.
    """

    def __init__(self, accuser: PartyIndex, accused: frozenset[PartyIndex], check: str) -> None:
        super().__init__(f"{check} failed: party {accuser} disputes it with {sorted(accused)}")
        self.accuser = accuser
        self.accused = accused
        self.check = check


class PartyFaultError(ProtocolError):
    """A peer deviated from the protocol.

    Attributes:
        culprits: The parties whose own authenticated messages prove the fault.
        check: Which checks failed, as ``"opening"`` or ``"RFC 9591 5.4"``; several are joined by
            ``", "``.
        ban: The fault may have leaked a bit of a long-lived secret: never run with them again.
    """

    def __init__(self, culprits: frozenset[PartyIndex], check: str, *, ban: bool = False) -> None:
        super().__init__(f"{check} failed for parties {sorted(culprits)}")
        self.culprits = culprits
        self.check = check
        self.ban = ban


class Blame:
    """Collects faults, so that a round names every culprit instead of the first one found."""

    def __init__(self) -> None:
        self._checks: dict[PartyIndex, str] = {}

    def add(self, party: PartyIndex, check: str) -> None:
        """Note what a party failed; of several checks the last one counts."""
        self._checks[party] = check

    def raise_if_any(self) -> None:
        """Raises PartyFaultError with all culprits and all checks."""
        if self._checks:
            check = ", ".join(sorted(set(self._checks.values())))
            raise PartyFaultError(frozenset(self._checks), check)


def require_senders(inbox: Inbox[M], expected: Iterable[PartyIndex]) -> None:
    """Refuse to run a round before its inbox is complete, or with strangers in it.

    Raises:
        MisuseError: The senders are not exactly ``expected``.
    """
    if inbox.keys() != set(expected):
        raise MisuseError(f"inbox from {sorted(inbox)}, needed from {sorted(expected)}")
